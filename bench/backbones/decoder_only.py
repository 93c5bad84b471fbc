"""What GPT-2 and LLaMA share: one stack of causal blocks, run as the decoder and, bidirectionally, as the encoder.

A condition is a prompt: the decoder reads ``BOS c EOS`` and then ``BOS x EOS``. Prompts of a batch differ in length, so
each is padded on its right and the padding between prompt and text is masked; positions count on without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.backbones.base import NOTHING, Backbone, Cache, Context, Injection, Watch
from bench.batch import Batch


class DecoderOnly(Backbone):
    """One set of weights for both directions (DELLA Sec. 5.2).

    Attributes
    ----------
    positions: the longest prompt and text together, in tokens.
    """

    config: Any
    positions: int

    @property
    @abstractmethod
    def words(self) -> nn.Embedding:
        """[V, d], the word embeddings, which are the map to logits too."""

    @abstractmethod
    def extend(self, tokens: int, positions: int) -> None:
        """More entries of the vocabulary and more positions, after those there are."""

    @abstractmethod
    def _embed(self, ids: Tensor, position: Tensor, injected: Tensor | None) -> tuple[Tensor, Any]:
        """What the first block reads [N, T, d], and what blocks are told of positions."""

    @abstractmethod
    def _block(
        self, layer: int, x: Tensor, place: Any, allowed: Tensor | None, *,
        value: Callable[[Tensor], Tensor] | None = None, memory: Tensor | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """One transformer block. ``allowed`` None means plain causal attention."""

    @abstractmethod
    def _normalised(self, x: Tensor) -> Tensor:
        """The states between blocks as the next one reads them, but for the scales it has learnt: [N, T, d]."""

    @abstractmethod
    def _last(self, x: Tensor) -> Tensor:
        """What follows the last block."""

    def decode(
        self, ids: Tensor, injection: Injection = NOTHING, context: Context | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """See :meth:`Backbone.decode`; the last hidden states are those after the final normalisation.

        Right padding of the text needs no mask: a causal position never sees what is to its right.
        """
        past = cache.positions if cache is not None else 0
        text = past + torch.arange(ids.shape[1], device=ids.device)
        prompt = 0
        if context is None:
            x, place = self._embed(ids, text, _added(injection, 0))
        else:
            position = context.mask.sum(1, keepdim=True) + text
            if past == 0:
                prompt = context.ids.shape[1]
                before = torch.arange(prompt, device=ids.device).expand(len(ids), -1)
                ids, position = torch.cat([context.ids, ids], 1), torch.cat([before, position], 1)
            x, place = self._embed(ids, position, _added(injection, prompt))
        slots = next((m.shape[1] for m in injection.memory or () if m is not None), 0)
        plain = _causal_mask(len(text), past, context, 0, x.device)
        with_memory = _causal_mask(len(text), past, context, slots, x.device) if slots else plain
        for layer in range(self.layers):
            value = injection.value[layer] if injection.value is not None else None
            memory = injection.memory[layer] if injection.memory is not None else None
            allowed = plain if memory is None else with_memory
            x = self._block(layer, x, place, allowed, value=value, memory=memory, cache=cache, watch=watch)
        if cache is not None:
            cache.positions += len(text)
        x = self._last(x[:, prompt:])
        return injection.after(x)

    def encode(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.encode`: the states after each block, not yet normalised; those of padding mean nothing.

        Of a pretrained model they are normalised, as its blocks read them too: a few units of its states are thousands
        of times as large as the rest (at BOS above all), and so would be the posteriors made of them.
        """
        x, place = self._embed(ids, torch.arange(ids.shape[1], device=ids.device), None)
        allowed = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        states = []
        for layer in range(self.layers):
            x = self._block(layer, x, place, allowed)
            states.append(self._normalised(x) if self.pretrained else x)
        return states

    def context(self, condition: Batch, states: Sequence[Tensor] | None = None) -> Context:
        return Context(condition.ids, condition.mask)

    @property
    def output_weight(self) -> Tensor:
        return self.words.weight

    def _grown(self, old: nn.Embedding, more: int, like: Tensor) -> nn.Embedding:
        """With more rows, which start as fresh ones do; beside pretrained ones all as ``like`` [d].

        A random row is a token that pretrained states may find likelier than all others (the logits of GPT-2's own are
        far below 0); their mean is never likelier than the best of them.
        """
        new = nn.Embedding(old.num_embeddings + more, old.embedding_dim)
        nn.init.normal_(new.weight, 0.0, self.config.initializer_range)
        with torch.no_grad():
            if self.pretrained:
                new.weight[:] = like
            new.weight[: old.num_embeddings] = old.weight
        return new


def _added(injection: Injection, prompt: int) -> Tensor | None:
    """What is added to the input embeddings of ``prompt`` positions of a prompt and of the text after it."""
    if injection.positions is None:
        return injection.embedding
    positions = F.pad(injection.positions, (0, 0, prompt, 0))
    return positions if injection.embedding is None else positions + injection.embedding


def _causal_mask(new: int, past: int, context: Context | None, slots: int, device: torch.device) -> Tensor | None:
    """True where attention is allowed: [Q, keys], or [N, 1, Q, keys] with prompts; None where it is plainly causal.

    Keys are ``slots`` memory positions, the prompt, and ``past + new`` text positions. Queries are the ``new`` ones,
    and before any text is past also the prompt's.
    """
    if slots == 0 and past == 0 and context is None:
        return None
    prompt = 0 if context is None else context.ids.shape[1]
    keys = prompt + past + new
    queries = new if past else keys
    allowed = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    if context is not None:
        real = F.pad(context.mask, (0, past + new), value=True)
        allowed = allowed & real[:, None, None, :]
    return F.pad(allowed, (slots, 0), value=True)
