"""One-layer LSTMs: the decoder of DAVAM and of the LSTM baselines, and the encoder their methods put beside it.

Sizes, initialisation and dropout follow the public code of the lagging-encoder and the pretraining-encoder baselines
(He et al. 2019; Li et al. 2019): weights U(-0.01, 0.01), word embeddings U(-0.1, 0.1), dropout on what the decoder
reads and on what it says, an output layer without bias that is not tied to the embeddings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.backbones.attending import attending_lstm
from bench.backbones.base import NOTHING, Backbone, Cache, Context, Injection, Watch
from bench.batch import Batch
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench import schema

State = tuple[Tensor, Tensor]  # h and c, each [N, d]


class LSTM(Backbone):
    """The decoder. Its encoder is a method's to have or not: a language model reads nothing twice."""

    kind = "lstm"

    def __init__(self, width: int, embedding: int, vocabulary: int, max_tokens: int, dropout: float) -> None:
        super().__init__()
        self.layers, self.width, self.heads, self.vocabulary = 1, width, 0, vocabulary
        self.embedding, self.max_tokens, self.conditional = embedding, max_tokens, False
        self.words = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, width, batch_first=True)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.dropout = Dropout(dropout)
        initialise(self)

    def widen(self, inputs: int) -> None:
        """Read so many numbers beside every word, ``Injection.inputs`` or ``Injection.attend``."""
        self.lstm = nn.LSTM(self.embedding + inputs, self.width, batch_first=True)
        initialise(self.lstm)

    def cache(self) -> RecurrentCache:
        return RecurrentCache()

    def encode(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        raise BenchError("backbone lstm is a decoder; its methods have an encoder of their own")

    def context(self, condition: Batch, states: Sequence[Tensor] | None = None) -> Context:
        raise BenchError("backbone lstm reads no condition")

    def decode(
        self, ids: Tensor, injection: Injection = NOTHING, context: Context | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """See :meth:`Backbone.decode`. Right padding needs no mask: a state never sees what is to its right."""
        assert context is None and watch is None and isinstance(cache, RecurrentCache | None)
        _readable(injection)
        state = cache.state if cache is not None and cache.state is not None else self._first(len(ids), injection)
        read = self.dropout(self.words(ids))
        if injection.attend is not None:
            hidden, state = attending_lstm(read, state, injection.attend, self.lstm.all_weights[0])
        else:
            if injection.inputs is not None:
                read = torch.cat([read, injection.inputs.expand(-1, read.shape[1], -1)], -1)
            hidden, (h, c) = run(self.lstm, read, (state[0][None], state[1][None]))
            state = h[0], c[0]
        if cache is not None:
            cache.state, cache.positions = state, cache.positions + ids.shape[1]
        hidden = self.dropout(hidden)
        return injection.after(hidden)

    @property
    def output_weight(self) -> Tensor:
        return self.output.weight

    def _first(self, n: int, injection: Injection) -> State:
        """The state before BOS: c_0 as injected and h_0 = tanh(c_0), or zeros."""
        cell = injection.cell if injection.cell is not None else self.output.weight.new_zeros(n, self.width)
        return cell.tanh(), cell


def _readable(injection: Injection) -> None:
    """Raise where z enters what an LSTM has not: that it would never be read is what nobody would see."""
    for place in ("embedding", "positions", "memory", "value"):
        if getattr(injection, place) is not None:
            raise BenchError(f"backbone lstm has no place '{place}' for z: it reads inputs or attend, cell and hidden")
    if injection.inputs is not None and injection.attend is not None:
        raise BenchError("backbone lstm reads either 'inputs' or 'attend' beside a word, not both")


class RecurrentCache(Cache):
    """The state after the positions decoded so far."""

    def __init__(self) -> None:
        super().__init__()
        self.state: State | None = None

    def select(self, rows: Tensor) -> None:
        if self.state is not None:
            self.state = self.state[0][rows], self.state[1][rows]


class Dropout(nn.Dropout):
    """The same, of uniform numbers: on the CPU they are drawn four times as fast as PyTorch's own choices."""

    def forward(self, read: Tensor) -> Tensor:
        if read.is_cuda or not self.training or not self.p:
            return super().forward(read)
        kept = torch.rand(read.shape) >= self.p
        return read * kept.to(read.dtype).div_(1 - self.p)


class LSTMEncoder(nn.Module):
    """Reads ``BOS x EOS`` from left to right, with word embeddings of its own and without dropout."""

    def __init__(self, like: LSTM) -> None:
        super().__init__()
        self.words = nn.Embedding(like.vocabulary, like.embedding)
        self.lstm = nn.LSTM(like.embedding, like.width, batch_first=True)
        initialise(self)

    def forward(self, batch: Batch) -> Tensor:
        """The state after every token, [B, T, d]; after padding it is meaningless."""
        return run(self.lstm, self.words(batch.ids))[0]


def run(lstm: nn.LSTM, read: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """The states [N, T, d] of inputs [N, T, E], and the last (h, c), each [1, N, d].

    On a GPU in float32: told to lower a product to bfloat16, PyTorch lowers cuDNN's LSTM to float16, which loses small
    gradients.
    """
    with torch.autocast("cuda", enabled=False) if read.is_cuda else contextlib.nullcontext():
        hidden, last = lstm(read, state)
        return hidden, last


def initialise(module: nn.Module) -> None:
    """Embeddings U(-0.1, 0.1), everything else U(-0.01, 0.01), biases too."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.01, 0.01)
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            nn.init.uniform_(part.weight, -0.1, 0.1)


def make(size: schema.Backbone, conditional: bool) -> LSTM:
    """With fresh weights."""
    if conditional:
        raise BenchError("backbone lstm reads no condition")
    return LSTM(size.width, size.embedding or size.width, size.vocabulary, size.max_tokens, size.dropout)
