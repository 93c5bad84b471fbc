"""The n-gram index of a generated and a reference text set: every n-gram metric is arithmetic on it.

Built once, in time and memory linear in tokens. For each order n = 1..5 it holds, sorted by n-gram and then text, one
row (n-gram, text, count) for every n-gram that occurs **at least twice** over both sets together. An n-gram that occurs
once overall can match nothing, so it needs no row: how many of them a text has is ``TextCounts.singletons``. That is
what keeps high orders cheap: an n-gram is a candidate only where both (n-1)-grams inside it occur twice.

An n-gram's key is the id of its first n-1 tokens above the id of its last, where ids are dense ranks; the position is
packed below the key, so that one in-place int64 sort an order gives the groups and the permutation at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.metrics.tokenise import SEPARATOR_ID, dense_ids, token_ids

MAX_ORDER = 5

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float64]

_KEY_BITS = 63
_AT_ONCE = 1 << 20  # elements of a long array taken at a time where temporaries would be large


@dataclass(frozen=True)
class TextCounts:
    """n-gram counts of one set of N texts at order n: P rows sorted by n-gram, then text.

    ``starts`` [n_grams + 1]: the rows of n-gram g are starts[g] to starts[g + 1] - 1, none where only the other set has
    it (ids are shared by both sets); ``text`` [P] in 0..N-1; ``count`` [P] >= 1, of the narrowest unsigned type (beware
    of differences); ``lengths`` [N], in tokens.
    """

    n: int
    starts: Ints
    text: Ints
    count: NDArray[np.unsignedinteger]
    lengths: Longs

    @property
    def n_grams(self) -> int:
        """How many n-grams the index holds, over both sets."""
        return len(self.starts) - 1

    @property
    def gram(self) -> Ints:
        """[P]: the n-gram of each row."""
        return self.per_row(np.arange(self.n_grams, dtype=np.int32))

    @property
    def windows(self) -> Longs:
        """[N]: how many n-grams each text has, with repetitions: ``max(0, length - n + 1)``."""
        return np.maximum(0, self.lengths - self.n + 1)

    @property
    def total(self) -> int:
        """Number of n-grams in the set, with repetitions."""
        return int(self.windows.sum())

    @cached_property
    def indexed(self) -> Floats:
        """[N]: how many n-grams of each text have a row, with repetitions."""
        return self.per_text(self.count)

    @property
    def singletons(self) -> Floats:
        """[N]: how many n-grams of each text occur nowhere else in either set, and only once there."""
        return self.windows - self.indexed

    @cached_property
    def corpus(self) -> Floats:
        """[n_grams]: how often each indexed n-gram occurs in this set; 0 where only the other set has it."""
        return self.total_of(self.count).astype(np.float64)

    def maximum(self, row_values: NDArray) -> NDArray:
        """[P] -> [n_grams]: the largest value over the rows of each n-gram, 0 where it has none."""
        return self._reduce(np.maximum, row_values)

    def total_of(self, row_values: NDArray) -> Longs:
        """[P] -> [n_grams]: the sum of whole numbers (or bools) over the rows of each n-gram."""
        return self._reduce(np.add, row_values, np.int64)

    def per_row(self, gram_values: NDArray) -> NDArray:
        """[n_grams] -> [P]: to each row the value of its n-gram."""
        return np.repeat(gram_values, np.diff(self.starts))

    def per_text(self, row_values: NDArray, rows: slice | Longs = slice(None)) -> Floats:
        """[P] -> [N]: sums over the rows of each text, or over some of its rows; exact for integers."""
        summed = np.bincount(self.text[rows], row_values.astype(np.float64, copy=False), len(self.lengths))
        return summed.astype(np.float64, copy=False)  # bincount of no rows ignores its weights

    def _reduce(self, ufunc: np.ufunc, row_values: NDArray, dtype: type | None = None) -> NDArray:
        present = np.flatnonzero(np.diff(self.starts))
        reduced = np.zeros(self.n_grams, dtype or row_values.dtype)
        if len(present):
            reduced[present] = ufunc.reduceat(row_values, self.starts[present], dtype=dtype)
        return reduced


@dataclass(frozen=True)
class Order:
    """Counts of both sets at one order, over the same n-gram ids."""

    generated: TextCounts
    references: TextCounts


class NgramIndex:
    """n-gram counts, orders 1..5, of N generated and M reference texts (either may be empty).

    ``lengths``/``reference_lengths``: int64 [N]/[M], in tokens of :func:`bench.metrics.tokenise.tokenise`.

    >>> index = NgramIndex(["a b a", "c"], ["a b", "b a"])
    >>> index.lengths, sorted(index.order(1).generated.corpus)  # b, a; c occurs once overall and is not indexed
    (array([3, 1]), [np.float64(1.0), np.float64(2.0)])
    >>> index.order(1).generated.singletons
    array([0., 1.])
    """

    def __init__(self, generated: Sequence[str], references: Sequence[str]) -> None:
        lengths, self._orders = _count_orders([*generated, *references], len(generated))
        self.lengths, self.reference_lengths = np.split(lengths, [len(generated)])

    def order(self, n: int) -> Order:
        """Counts of the n-grams, 1 <= n <= 5."""
        if not 1 <= n <= MAX_ORDER:
            raise ValueError(f"order {n}: the index holds orders 1..{MAX_ORDER}")
        return self._orders[n - 1]


def _count_orders(texts: Sequence[str], n_generated: int) -> tuple[Longs, list[Order]]:
    """Text lengths [N+M] and one :class:`Order` for n = 1..5; long arrays are dropped as soon as they may be."""
    ids = token_ids(texts)  # [T], with separators
    lengths = np.diff(np.flatnonzero(ids == SEPARATOR_ID)) - 1
    text_of = np.repeat(np.arange(-1, len(texts), dtype=np.int32), np.concatenate([[1], lengths + 1]))
    position_bits = len(ids).bit_length()
    positions = np.flatnonzero(ids != SEPARATOR_ID).astype(np.int32)
    keys = _packed(ids[positions].astype(np.int64), positions, position_bits)
    del ids, positions
    orders: list[Order] = []
    for n in range(1, MAX_ORDER + 1):
        positions, gram = _repeated(keys, position_bits)
        del keys
        n_grams = int(gram[-1]) + 1 if len(gram) else 0
        rank = np.full(len(text_of), -1, np.int32)  # id of the n-gram that starts at a position; -1: none, or seen once
        rank[positions] = gram
        text = text_of[positions]
        del positions
        orders.append(_rows(gram, text, n_grams, n, lengths, n_generated))
        del gram, text
        if n == 1:
            unigram_rank, n_unigrams = rank, n_grams
        # Separators have rank -1, so no candidate crosses from one text into the next.
        positions = np.flatnonzero((rank[:-1] >= 0) & (rank[1:] >= 0)).astype(np.int32)
        keys = rank[positions].astype(np.int64)
        keys *= n_unigrams
        keys += unigram_rank[positions + n]
        keys = _packed(keys, positions, position_bits)
        del positions
    return lengths, orders


def _packed(keys: Longs, positions: Ints, position_bits: int) -> Longs:
    """Each key with its position in the low bits; dense ids in place of keys that leave no room. Spoils keys."""
    if int(keys.max(initial=0)).bit_length() + position_bits > _KEY_BITS:
        keys = dense_ids(keys.astype(np.uint64) + np.uint64(1))[0].astype(np.int64)
    keys <<= position_bits
    keys |= positions
    return keys


def _repeated(keys: Longs, position_bits: int) -> tuple[Ints, Ints]:
    """Positions, by key and then position, of packed keys that occur at least twice, and dense key ids. Sorts keys."""
    keys.sort()
    again = np.zeros(len(keys) + 1, bool)  # is this key that of its predecessor?
    for start in range(1, len(keys), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(keys))
        again[start:stop] = (keys[start:stop] ^ keys[start - 1 : stop - 1]) >> position_bits == 0
    positions, heads = [np.empty(0, np.int32)], [np.empty(0, bool)]
    for start in range(0, len(keys), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(keys))
        twice = start + np.flatnonzero(again[start:stop] | again[start + 1 : stop + 1])
        positions.append((keys[twice] & ((1 << position_bits) - 1)).astype(np.int32))
        heads.append(~again[twice])
    gram = np.cumsum(np.concatenate(heads), dtype=np.int32)
    gram -= 1
    return np.concatenate(positions), gram


def _rows(gram: Ints, text: Ints, n_grams: int, n: int, lengths: Longs, n_generated: int) -> Order:
    """Collapse occurrences, sorted by n-gram and then text, into rows, and share these out between the two sets."""
    first = _run_starts(gram, text)
    count = np.diff(first, append=np.int32(len(gram)))
    count = count.astype(np.min_scalar_type(int(count.max(initial=0))))
    gram, text = gram[first], text[first]
    del first
    ours = text < n_generated

    def of_set(rows: Longs, lengths: Longs, offset: int) -> TextCounts:
        starts = _starts(gram[rows], n_grams)
        own_text = text[rows]
        own_text -= np.int32(offset)
        return TextCounts(n, starts, own_text, count[rows], lengths)

    return Order(
        of_set(np.flatnonzero(ours), lengths[:n_generated], 0),
        of_set(np.flatnonzero(~ours), lengths[n_generated:], n_generated),
    )


def _starts(gram: Ints, n_grams: int) -> Ints:
    """[n_grams + 1]: where the rows of each n-gram start, from the n-gram of each row."""
    runs = _run_starts(gram)
    starts = np.zeros(n_grams + 1, np.int32)
    starts[gram[runs] + 1] = np.diff(runs, append=len(gram))
    return np.cumsum(starts, out=starts)


def _run_starts(*columns: NDArray) -> Ints:
    """Where a new row begins: indices at which any of the equally long columns differs from its predecessor."""
    changed = np.zeros(len(columns[0]), bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed).astype(np.int32)
