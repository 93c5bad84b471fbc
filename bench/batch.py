"""A batch of token sequences and how sequences are grouped into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.vocabulary import PAD


@dataclass(frozen=True)
class Batch:
    """Right-padded sequences ``BOS x EOS``.

    Attributes
    ----------
    ids: [B, T] int64, padded with PAD on the right.
    lengths: [B] int64, tokens including BOS and EOS (at least 2).
    condition: what each text is conditioned on, in the same order; None where texts are unconditional.
    breaks: [B, T] bool, True at the first token of every sentence but a text's first; None where nobody looked.
    known_predictions, known_longest: ``predictions`` and ``longest`` where they are known already: a GPU would have to
        be waited for to tell.
    """

    ids: Tensor
    lengths: Tensor
    condition: Batch | None = None
    breaks: Tensor | None = None
    known_predictions: Tensor | None = None
    known_longest: int | None = None

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def mask(self) -> Tensor:
        """[B, T] bool, True at real tokens."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    @property
    def inputs(self) -> Tensor:
        """[B, T-1] decoder inputs: ``BOS x``."""
        return self.ids[:, :-1]

    @property
    def targets(self) -> Tensor:
        """[B, T-1] what each input position predicts: ``x EOS``."""
        return self.ids[:, 1:]

    @property
    def predicted(self) -> Tensor:
        """[B] number of predicted tokens, x and EOS (``targets`` that are not padding)."""
        return self.lengths - 1

    @property
    def predictions(self) -> Tensor:
        """[P] int64, where the ``targets``, one row after the other, are not padding."""
        known = self.known_predictions
        return self.mask[:, 1:].flatten().nonzero()[:, 0] if known is None else known

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence, at most T."""
        return int(self.lengths.max()) if self.known_longest is None else self.known_longest

    @property
    def tensors(self) -> list[Tensor]:
        """All that it is of; batches of the same sizes have them in the same order."""
        own = [self.ids, self.lengths, self.breaks, self.known_predictions]
        return [part for part in own if part is not None] + ([] if self.condition is None else self.condition.tensors)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        condition = None if self.condition is None else self.condition.to(device)
        breaks, known = (None if part is None else _to(part, device) for part in (self.breaks, self.known_predictions))
        return Batch(_to(self.ids, device), _to(self.lengths, device), condition, breaks, known, self.known_longest)


@dataclass(frozen=True)
class Sequences:
    """A data set as token ids, each sequence ``BOS x EOS``.

    Attributes
    ----------
    texts: what a model generates.
    sources: what each text is conditioned on, or None.
    breaks: of each text, the positions where its second and later sentences begin, rising; or None.
    """

    texts: Sequence[Sequence[int]]
    sources: Sequence[Sequence[int]] | None = None
    breaks: Sequence[Sequence[int]] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, its condition's included."""
        if self.sources is None:
            return [len(text) for text in self.texts]
        return [len(text) + len(source) for text, source in zip(self.texts, self.sources, strict=True)]

    @property
    def sizes(self) -> np.ndarray:
        """[N, 1 or 2] int64, tokens of each text, and of its condition: the two are padded apart."""
        parts = [self.texts] if self.sources is None else [self.texts, self.sources]
        return np.array([[len(sequence) for sequence in part] for part in parts], dtype=np.int64).T

    def first(self, n: int | None) -> Sequences:
        """The first n examples."""
        sources, breaks = (None if part is None else part[:n] for part in (self.sources, self.breaks))
        return Sequences(self.texts[:n], sources, breaks)

    def batch(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> Batch:
        """These examples, collated."""
        batch = collate([self.texts[i] for i in rows])
        condition = None if self.sources is None else collate([self.sources[i] for i in rows])
        breaks = None
        if self.breaks is not None:
            breaks = torch.zeros(batch.ids.shape, dtype=torch.bool)
            for row, i in zip(breaks, rows, strict=True):
                row[list(self.breaks[i])] = True
        return replace(batch, condition=condition, breaks=breaks)


def host(tensor: Tensor, device: torch.device | str) -> Tensor:
    """For a GPU the same in pinned memory, from which it copies without being waited for; else the tensor itself."""
    return tensor.pin_memory() if torch.device(device).type == "cuda" and not tensor.is_cuda else tensor


def _to(tensor: Tensor, device: torch.device | str) -> Tensor:
    return host(tensor, device).to(device, non_blocking=torch.device(device).type == "cuda")


def collate(sequences: Sequence[Sequence[int]]) -> Batch:
    """Token id lists (each ``BOS x EOS``) -> a right-padded :class:`Batch`."""
    lengths = [len(s) for s in sequences]
    ids = np.full((len(sequences), max(lengths)), PAD, dtype=np.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = sequence
    batch = Batch(torch.from_numpy(ids), torch.tensor(lengths, dtype=torch.int64))
    return replace(batch, known_predictions=batch.predictions, known_longest=batch.longest)


def sorted_batches(sequences: Sequences, size: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Evaluation order: longest first (so memory peaks at once); yields (indices into ``sequences``, batch)."""
    order = np.argsort([-length for length in sequences.lengths], kind="stable")
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        yield chosen, sequences.batch(chosen)


def training_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Index batches of one epoch: shuffled, then bucketed by length within pools of 32 batches, then shuffled again.

    A function of (seed, epoch) alone, so a resumed run sees the batches an undisturbed one would have seen.
    The last, smaller batch is dropped: every step averages over the same number of examples.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    order = order[: len(order) // size * size]
    pool = 32 * size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        chunk = order[start : start + pool]
        chunk = chunk[np.argsort(np.asarray(lengths)[chunk], kind="stable")]
        batches.extend(np.split(chunk, len(chunk) // size))
    return [batches[i] for i in rng.permutation(len(batches))]


def length_batches(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Index batches of one epoch, each of sequences of one length, shuffled: no padding, where they have no sources.

    Every sequence is in one; the last batch of a length may be smaller, or sequences of rare lengths would never be
    trained on.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    by_length = order[np.argsort(np.asarray(lengths)[order], kind="stable")]
    changes = np.flatnonzero(np.diff(np.asarray(lengths)[by_length])) + 1
    batches = [
        of_length[start : start + size]
        for of_length in np.split(by_length, changes)
        for start in range(0, len(of_length), size)
    ]
    return [batches[i] for i in rng.permutation(len(batches))]


def token_batches(sizes: np.ndarray, tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Index batches of one epoch, shuffled, each of texts of about one length and of at most so many padded tokens.

    ``sizes`` are :attr:`Sequences.sizes`. Every sequence is in one, and every epoch has as many batches: sorted sizes
    are the same in all, and which texts have them is drawn.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(sizes))
    by_length = order[np.lexsort((sizes[order, 0], sizes[order].sum(1)))]
    batches = cut(by_length, sizes, tokens)
    return [batches[i] for i in rng.permutation(len(batches))]


def cut(rows: np.ndarray, sizes: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Rows in parts of at most so many padded tokens, in the order given; a text of more than that is a part alone."""
    starts: list[int] = []
    longest = np.zeros_like(sizes[0])
    for at, size in enumerate(sizes[rows]):
        longest = np.maximum(longest, size)
        if not starts or (at + 1 - starts[-1]) * longest.sum() > tokens:
            starts.append(at)
            longest = size
    return np.split(rows, starts[1:])
