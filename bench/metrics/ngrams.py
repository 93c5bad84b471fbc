"""The n-gram index of a generated and a reference text set: every n-gram metric is arithmetic on it.

Built once, in time and memory linear in tokens. For each order n = 1..5 it holds, sorted by n-gram and then text, one
row (n-gram id, text id, count) for every n-gram that occurs **at least twice** over both sets together. An n-gram that
occurs once overall can match nothing, so it needs no row: how many of them a text has is ``TextCounts.singletons``.
That is what keeps high orders cheap: an n-gram is a candidate only where both (n-1)-grams inside it occur twice.

An n-gram's key is ``id of its first n-1 tokens x vocabulary + id of its last token``, where ids are dense ranks; the
position is packed below the key where both fit 63 bits, so that one in-place int64 sort an order gives the groups and
the permutation at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from bench.metrics.tokenise import tokenise

MAX_ORDER = 5

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

_SEPARATOR = "\0"  # never part of a token, see bench.metrics.tokenise
_SEPARATOR_ID = 0
_BLOCK = 16_384  # texts tokenised at a time: bounds the memory that strings take


@dataclass(frozen=True)
class TextCounts:
    """n-gram counts of one text set at one order: P rows sorted by n-gram, then text.

    ``gram`` [P] in 0..n_grams-1 (ids shared by both sets), ``text`` [P] in 0..N-1, ``count`` [P] >= 1;
    ``windows`` [N]: how many n-grams each text has, ``max(0, length - n + 1)``.
    """

    gram: Ints
    text: Ints
    count: Ints
    windows: NDArray[np.int64]
    n_grams: int

    @cached_property
    def singletons(self) -> Floats:
        """[N]: how many n-grams of each text occur nowhere else in either set, and only once there."""
        return self.windows - self.per_text(self.count)

    @cached_property
    def corpus(self) -> Floats:
        """[n_grams]: how often each indexed n-gram occurs in this set; 0 where only the other set has it."""
        return np.bincount(self.gram, self.count, self.n_grams).astype(np.float64, copy=False)

    @property
    def total(self) -> int:
        """Number of n-grams in the set, with repetitions."""
        return int(self.windows.sum())

    def per_text(self, row_values: NDArray) -> Floats:
        """[P] -> [N]: sums over the rows of each text, exact for integers."""
        return np.bincount(self.text, row_values, len(self.windows)).astype(np.float64, copy=False)

    def maximum(self, row_values: NDArray) -> NDArray:
        """[P] -> [n_grams]: the largest value over the rows of each n-gram, 0 where it has none."""
        largest = np.zeros(self.n_grams, row_values.dtype)
        if len(self.gram):
            starts = _run_starts(self.gram)
            largest[self.gram[starts]] = np.maximum.reduceat(row_values, starts)
        return largest


@dataclass(frozen=True)
class Order:
    """Counts of both sets at one order, over the same n-gram ids."""

    generated: TextCounts
    references: TextCounts


class NgramIndex:
    """n-gram counts, orders 1..5, of N generated and M reference texts (either may be empty).

    ``lengths``/``reference_lengths``: int64 [N]/[M], in tokens of :func:`bench.metrics.tokenise.tokenise`.

    >>> index = NgramIndex(["a b a", "c"], ["a b", "b a"])
    >>> index.lengths, index.order(1).generated.corpus  # a, b; c occurs once overall and is not indexed
    (array([3, 1]), array([2., 1.]))
    >>> index.order(1).generated.singletons
    array([0., 1.])
    """

    def __init__(self, generated: Sequence[str], references: Sequence[str]) -> None:
        ids = _token_ids([*generated, *references])
        lengths = np.diff(np.flatnonzero(ids == _SEPARATOR_ID)) - 1
        self.lengths, self.reference_lengths = np.split(lengths, [len(generated)])
        self._orders = _count_orders(ids, lengths, len(generated))

    def order(self, n: int) -> Order:
        """Counts of the n-grams, 1 <= n <= 5."""
        if not 1 <= n <= MAX_ORDER:
            raise ValueError(f"order {n}: the index holds orders 1..{MAX_ORDER}")
        return self._orders[n - 1]


def _token_ids(texts: Sequence[str]) -> Ints:
    """Token ids of all texts [T], with a separator (id 0) before the first, between any two and after the last.

    Tokens never contain white space, so only the distinct white-space chunks need the tokeniser: far fewer than tokens.
    """
    chunk_id: defaultdict[str, int] = defaultdict(count().__next__)
    blocks = [np.array([chunk_id[_SEPARATOR]], np.int32)]
    for start in range(0, len(texts), _BLOCK):
        chunks: list[str] = []
        for text in texts[start : start + _BLOCK]:
            chunks += text.replace(_SEPARATOR, " ").split()
            chunks.append(_SEPARATOR)
        blocks.append(np.fromiter(map(chunk_id.__getitem__, chunks), np.int32, len(chunks)))
    token_id: defaultdict[str, int] = defaultdict(count(_SEPARATOR_ID + 1).__next__)
    tokens_of_chunk = [[token_id[token] for token in tokenise(chunk)] for chunk in chunk_id]
    tokens_of_chunk[0] = [_SEPARATOR_ID]
    return _gather(tokens_of_chunk, np.concatenate(blocks))


def _gather(lists: list[list[int]], which: Ints) -> Ints:
    """``concatenate([lists[i] for i in which])``."""
    sizes = np.fromiter(map(len, lists), np.int32, len(lists))
    flat = np.fromiter(chain.from_iterable(lists), np.int32)
    first = np.cumsum(sizes) - sizes  # of each list, in flat
    size = sizes[which]
    ends = np.cumsum(size)
    index = np.repeat(first[which] - ends + size, size)  # first[list] - start in the output, + place in the output
    index += np.arange(len(index))
    return flat[index]


def _count_orders(ids: Ints, lengths: NDArray[np.int64], n_generated: int) -> list[Order]:
    """One :class:`Order` for n = 1..5 from token ids [T] (with separators) and text lengths [N+M]."""
    text_of = np.cumsum(ids == _SEPARATOR_ID, dtype=np.int32) - np.int32(1)
    orders = []
    candidates = np.flatnonzero(ids != _SEPARATOR_ID).astype(np.int32)  # positions where an n-gram to count starts
    keys = ids[candidates].astype(np.int64)
    unigram_rank, n_unigrams = np.empty(0, np.int32), 0
    for n in range(1, MAX_ORDER + 1):
        position, gram = _repeated(keys, candidates)
        n_grams = int(gram[-1]) + 1 if len(gram) else 0
        windows = np.maximum(lengths - n + 1, 0)
        orders.append(_group_by_text(gram, text_of[position], n_grams, windows, n_generated))
        rank = np.full(len(ids), -1, np.int32)  # id of the n-gram that starts at a position; -1: none, or seen once
        rank[position] = gram
        if n == 1:
            unigram_rank, n_unigrams = rank, n_grams
        # Separators have rank -1, so no candidate crosses from one text into the next.
        candidates = np.flatnonzero((rank[:-1] >= 0) & (rank[1:] >= 0)).astype(np.int32)
        keys = rank[candidates].astype(np.int64)
        keys *= n_unigrams
        keys += unigram_rank[candidates + n]
    return orders


def _repeated(keys: NDArray[np.int64], positions: Ints) -> tuple[Ints, Ints]:
    """Positions (sorted by key, then position) of keys that occur at least twice, and dense key ids. Spoils keys."""
    bits = len(keys).bit_length()
    if len(keys) and int(keys.max()) < 1 << (63 - bits):
        keys <<= bits
        keys |= np.arange(len(keys), dtype=np.int32)
        keys.sort()
        permutation = (keys & ((1 << bits) - 1)).astype(np.int32)
        keys >>= bits
    else:
        permutation = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[permutation]
    runs = np.diff(_run_starts(keys), append=len(keys))
    twice = runs > 1
    gram = np.repeat(np.arange(np.count_nonzero(twice), dtype=np.int32), runs[twice])
    return positions[permutation[np.repeat(twice, runs)]], gram


def _run_starts(*columns: NDArray) -> NDArray[np.int64]:
    """Where a new row begins: indices at which any of the equally long columns differs from its predecessor."""
    changed = np.zeros(len(columns[0]), bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def _group_by_text(gram: Ints, text: Ints, n_grams: int, windows: NDArray[np.int64], n_generated: int) -> Order:
    """Collapse occurrences (sorted by n-gram, then text) into (n-gram, text, count) rows, split into the two sets."""
    starts = _run_starts(gram, text)
    counts = np.diff(starts, append=len(gram)).astype(np.int32)
    gram, text = gram[starts], text[starts]
    ours = text < n_generated
    return Order(
        TextCounts(gram[ours], text[ours], counts[ours], windows[:n_generated], n_grams),
        TextCounts(gram[~ours], text[~ours] - np.int32(n_generated), counts[~ours], windows[n_generated:], n_grams),
    )
