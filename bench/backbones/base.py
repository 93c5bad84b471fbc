"""What a method may ask of a backbone, and the named places where a latent variable can enter its decoder."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from bench.batch import Batch
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.backbones.attending import Attended


@dataclass(frozen=True)
class Injection:
    """Where a latent variable enters the decoder; ``None`` leaves a place alone. N is the number of sequences.

    Attributes
    ----------
    embedding: [N, 1, d] added to every input embedding (word + position); DELLA Sec. 3.3 "Embedding".
    memory: one [N, M, v] a layer, M extra positions whose key and value it is, seen by all; Sec. 3.3 "Memory".
    value: one function [N, T, v] -> [N, T, v] a layer, on the value vectors before the head split; DELLA Eq. 9.
    hidden: [N, 1 or T, d] added to the last hidden states before the LM head; Sec. 3.3 "Softmax".
    beside: [N, 1, D] concatenated to the last hidden states, for a map to logits that reads as many more numbers.
    positions: [N, T, d] added to the input embeddings of the T positions of text that are read, each its own, and to
        none of a prompt; TRACE Sec. 4.1.
    inputs: [N, 1, D] concatenated to every input embedding of an LSTM.
    cell: [N, d], the cell c_0 an LSTM starts from, with h_0 = tanh(c_0).
    attend: the latent sequence that an LSTM attends to before every word, by its state before it; DAVAM Eq. 3.

    v is the width of value vectors, ``Backbone.values``. A layer's ``memory`` or ``value`` may be None: the layers of
    Fig. 2 that have no latent variable.
    """

    embedding: Tensor | None = None
    memory: Sequence[Tensor | None] | None = None
    value: Sequence[Callable[[Tensor], Tensor] | None] | None = None
    hidden: Tensor | None = None
    beside: Tensor | None = None
    positions: Tensor | None = None
    inputs: Tensor | None = None
    cell: Tensor | None = None
    attend: Attended | None = None

    @property
    def into_blocks(self) -> bool:
        """Whether anything enters before or inside the blocks, so that their pass depends on z."""
        into_transformer = (self.embedding, self.positions, self.memory, self.value)
        return any(place is not None for place in (*into_transformer, self.inputs, self.cell, self.attend))

    def after(self, hidden: Tensor) -> Tensor:
        """The last hidden states [N, T, d] as the LM head reads them: [N, T, d], or [N, T, d + D]."""
        if self.hidden is not None:
            hidden = (hidden + self.hidden).to(hidden.dtype)
        if self.beside is None:
            return hidden
        return torch.cat([hidden, self.beside.expand(-1, hidden.shape[1], -1).to(hidden.dtype)], -1)


NOTHING = Injection()


@dataclass(frozen=True)
class Context:
    """What a decoder is given of the condition c of N sequences: its tokens, and for cross attention its states.

    Attributes
    ----------
    ids: [N, S] right-padded ``BOS c EOS``.
    mask: [N, S] True at real tokens.
    states: [N, S, d] the encoder's output, or None where the decoder reads c as a prompt.
    """

    ids: Tensor
    mask: Tensor
    states: Tensor | None = None

    def repeat(self, times: int) -> Context:
        """The N sequences over again: [times * N, ...], as ``Tensor.repeat`` orders them."""
        states = None if self.states is None else self.states.repeat(times, 1, 1)
        return Context(self.ids.repeat(times, 1), self.mask.repeat(times, 1), states)

    def select(self, rows: Tensor) -> Context:
        """These sequences."""
        return replace(
            self, ids=self.ids[rows], mask=self.mask[rows], states=None if self.states is None else self.states[rows]
        )


class Cache:
    """Keys and values of the positions decoded so far, one pair a layer, each [N, heads, positions, d/heads]."""

    def __init__(self) -> None:
        self.layers: list[tuple[Positions, Positions]] = []
        self.cross: list[tuple[Tensor, Tensor]] = []  # of the condition, where the decoder attends to it across
        self.positions = 0  # decoded positions; memory slots and a prompt are not counted

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new positions of one layer and return all of them."""
        if layer == len(self.layers):
            self.layers.append((Positions(key[:, :, :0]), Positions(value[:, :, :0])))
        keys, values = self.layers[layer]
        return keys.append(key), values.append(value)

    def select(self, rows: Tensor) -> None:
        """Keep (and reorder to) these sequences, by index: beams that survive, samples not yet finished."""
        for part in itertools.chain.from_iterable(self.layers):
            part.room = part.room[rows]
        self.cross = [(key[rows], value[rows]) for key, value in self.cross]


class Positions:
    """Positions of N sequences [N, heads, t, d/heads], with room for more: a step copies none but its own."""

    def __init__(self, room: Tensor) -> None:
        self.room, self.used = room, 0

    def append(self, new: Tensor) -> Tensor:
        """All positions, the new ones last; where they do not fit, the room becomes twice what is needed."""
        before, self.used = self.used, self.used + new.shape[2]
        if self.used > self.room.shape[2]:
            old, self.room = self.room, new.new_empty(*new.shape[:2], 2 * self.used, new.shape[3])
            self.room[:, :, :before] = old[:, :, :before]
        self.room[:, :, before : self.used] = new
        return self.room[:, :, : self.used]


Watch = Callable[[int, Tensor, Tensor, Tensor | None], None]  # (layer, q, k, allowed) of each self-attention


class Backbone(nn.Module, ABC):
    """An encoder and a decoder of L layers and hidden size d, shared weights or not.

    Attributes
    ----------
    kind: its name in a suite.
    layers, width, heads: L, d and the attention heads of a layer.
    vocabulary: V.
    conditional: whether texts are generated given a condition.
    has_unknown: whether <unk> is a word of the texts, as among words, or never there, as in byte-level BPE.
    pretrained: whether it starts from the weights of a pretrained model.
    """

    kind: ClassVar[str]
    layers: int
    width: int
    heads: int
    vocabulary: int
    conditional: bool
    has_unknown: bool = False
    pretrained: bool = False

    @property
    def values(self) -> int:
        """Width of the value vectors of a layer, and of its memory slots: d, but for grouped-query attention."""
        return self.width

    def cache(self) -> Cache:
        """What is kept of the positions decoded so far, empty."""
        return Cache()

    @abstractmethod
    def encode(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Bidirectional pass. ids [B, T], mask [B, T] True at real tokens -> states after each block, L × [B, T, d].

        A mask [B, T, T] says for each position which others it sees (at least one).
        """

    @abstractmethod
    def context(self, condition: Batch, states: Sequence[Tensor] | None = None) -> Context:
        """What the decoder is given of a batch of conditions; ``states`` are theirs by ``encode``, where known."""

    @abstractmethod
    def decode(
        self, ids: Tensor, injection: Injection = NOTHING, context: Context | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """Causal pass. ids [N, T] -> last hidden states [N, T, d], as :meth:`Injection.after` leaves them.

        With ``cache`` the ids are the next positions, and the cache is extended in place. ``watch`` sees the queries,
        keys and mask of every self-attention.
        """

    @property
    @abstractmethod
    def output_weight(self) -> Tensor:
        """[V, d], the linear map from last hidden states to logits."""


class AttentionPooling(nn.Module):
    """A learned attention over positions: sum_t softmax_t(tanh(w · h_t)) h_t, padding excluded.

    DELLA's paper takes the first token's state, its code pools like this (and lets padding in, which we do not).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)  # start from the mean over positions
        nn.init.zeros_(self.score.bias)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states [B, T, d], mask [B, T] -> [B, d]."""
        scores = torch.tanh(self.score(states)).squeeze(-1).masked_fill(~mask, float("-inf"))
        return torch.einsum("bt,btd->bd", scores.softmax(-1), states)


class FirstToken(nn.Module):
    """The state of the first token (BOS), as DELLA Sec. 4.1 writes it."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states [B, T, d], mask [B, T] (unused) -> [B, d]."""
        return states[:, 0]


def check_positions(needed: int, config: Any) -> None:
    """A pretrained model has so many positions and no more."""
    if needed > config.max_position_embeddings:
        raise BenchError(f"texts of {needed} tokens on a model of {config.max_position_embeddings} positions")


def make_pooling(kind: str, width: int) -> nn.Module:
    """The pooling named in a suite: "attention" or "first_token"."""
    return AttentionPooling(width) if kind == "attention" else FirstToken()
