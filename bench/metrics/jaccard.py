"""JS: n-gram Jaccard similarity between generated texts, in percent. Lower is more diverse.

    J_n(i, j) = |A_i & A_j| / |A_i | A_j|,    A_i: the set of n-grams of text i; 0 where both sets are empty
    js<n>  = 100 mean over all pairs i < j of J_n(i, j)
    js     = 100 mean over n = 2..4 of the above: what the values printed by DELLA and TRACE fit
    js_max = 100 mean over n = 2..4 and texts i of max_{j != i} J_n(i, j): one minus SentiGAN's Diversity

The unit is percent; ``js_max`` grows with N, which is in its signature. Intersections of all pairs are products of 0/1
text x n-gram matrices, taken tile by tile (never [N, N] in memory) in integers, and divided in float64. Tiles are
shared out among threads and summed in a fixed order, so that values do not depend on how many there are.

All intervals come from the values without each text in turn (see :mod:`bench.metrics.bootstrap`): for the means,
which are U-statistics, from each text's mean over its partners; for ``js_max``, from each text's two largest
similarities, because without text i the maximum of a text whose one nearest it was falls to the second largest.

Wang & Wan (2018), "SentiGAN", section 4.4 (Jaccard, maximum); Hu et al. (2022), "DELLA", appendix A.3 (all pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.cpus import cpus
from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import NgramIndex, TextCounts
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]
T = TypeVar("T")

ORDERS = range(1, 5)
COLUMN_ORDERS = range(2, 5)  # averaged in js and js_max
_TILE = 512  # texts: large enough that Python's part is small, small enough for the cache
_DENSE = 1 << 26  # elements of a dense text x n-gram block: bounds memory
_MOST_THREADS = 2  # numpy and scipy release Python's lock, but more threads wait for it longer than they gain
_SPARSE_BELOW = 0.1  # share of pairs with something in common below which sparse x sparse is faster than tiles


@dataclass(frozen=True)
class Similarity:
    """Jaccard similarity, in 0..1, of each text to the N-1 others. All fields are [N].

    ``second`` is the second-largest one with repetitions, so equal to ``maximum`` where two others attain that;
    ``nearest``: a text that attains the maximum.
    """

    mean: Floats
    maximum: Floats
    second: Floats
    nearest: Longs


def jaccard(index: NgramIndex, n: int) -> Similarity:
    """n-gram Jaccard similarity of each of N >= 2 generated texts to the others.

    >>> similarity = jaccard(NgramIndex(["a b", "b c d", "c e"], []), 1)
    >>> similarity.maximum, similarity.second, similarity.nearest
    (array([0.25, 0.25, 0.25]), array([0.  , 0.25, 0.  ]), array([1, 0, 1]))
    >>> similarity.mean
    array([0.125, 0.25 , 0.125])
    """
    counts = index.order(n).generated
    n_texts = len(index.lengths)
    ones = np.ones_like(counts.count)
    sizes = counts.per_text(ones) + counts.singletons
    texts_with = counts.total_of(ones).astype(np.float64)
    few_pairs = (texts_with**2).sum() < _SPARSE_BELOW * n_texts**2
    sums, top = (_sparse_rows if few_pairs else _dense_tiles)(counts, np.maximum(1, sizes))
    return Similarity(sums / (n_texts - 1), top.first, top.second, top.nearest)


@dataclass(frozen=True)
class _Top:
    """The two largest similarities of each text and the text that attains the largest, all [N]; changed in place."""

    first: Floats
    second: Floats
    nearest: Longs

    @classmethod
    def of(cls, n_texts: int) -> _Top:
        return cls(np.zeros(n_texts), np.zeros(n_texts), np.zeros(n_texts, np.int64))

    @classmethod
    def of_rows(cls, similarity: Floats, offset: int) -> _Top:
        """Of the rows of a matrix whose columns are texts offset, offset + 1, ... Spoils the matrix."""
        rows, best = np.arange(len(similarity)), similarity.argmax(axis=1)
        first = similarity[rows, best]
        similarity[rows, best] = 0.0
        return cls(first, similarity.max(axis=1), best + offset)

    def merge(self, texts: slice | Longs, other: _Top) -> None:
        """Take in similarities of the given texts to texts not yet seen."""
        first, second = self.first[texts], self.second[texts]
        self.second[texts] = np.maximum(np.minimum(first, other.first), np.maximum(second, other.second))
        self.nearest[texts] = np.where(other.first > first, other.nearest, self.nearest[texts])
        self.first[texts] = np.maximum(first, other.first)


def _dense_tiles(counts: TextCounts, sizes: Floats) -> tuple[Floats, _Top]:
    """Row sums and row maxima [N] of J without its diagonal, from the tiles on and below the diagonal."""
    n_texts = len(sizes)
    tile_size = min(_TILE, max(64, _DENSE // max(1, counts.n_grams)))
    starts = range(0, n_texts, tile_size)
    # The narrowest integers that hold a union's bound, the sum of both sizes, are the fastest.
    narrow = sizes.astype(np.min_scalar_type(2 * int(sizes.max())))
    members = _memberships(counts, narrow.dtype)
    blocks = [members[start : start + tile_size] for start in starts]

    def strip(b: int) -> tuple[Floats, _Top]:
        """The tiles of column block b on and below the diagonal: what they add to texts starts[b] and later."""
        begin, own = starts[b], narrow[starts[b] :]
        sums, top = np.zeros(len(own)), _Top.of(len(own))
        dense = blocks[b].T.toarray(order="C")
        columns = slice(dense.shape[1])
        tile = np.empty((tile_size, dense.shape[1]))  # one for all: fresh memory would cost more than the arithmetic
        for start, block in zip(range(0, len(own), tile_size), blocks[b:], strict=True):
            rows = slice(start, start + tile_size)
            common = block @ dense
            union = own[rows, None] - common
            union += own[columns]
            similarity = tile[: len(common)]
            similarity[:] = common
            np.divide(similarity, union, out=similarity)
            if start == 0:
                np.fill_diagonal(similarity, 0.0)
            else:
                sums[columns] += similarity.sum(axis=0)
                # Few columns of a tile can still change what is known of theirs.
                better = np.flatnonzero(similarity.max(axis=0) > top.second[columns])
                top.merge(better, _Top.of_rows(similarity.T[better], begin + start))
            sums[rows] += similarity.sum(axis=1)
            top.merge(rows, _Top.of_rows(similarity, begin))
        return sums, top

    sums, top = np.zeros(n_texts), _Top.of(n_texts)
    for start, (strip_sums, strip_top) in zip(starts, _in_threads(strip, range(len(starts))), strict=True):
        sums[start:] += strip_sums
        top.merge(slice(start, None), strip_top)
    return sums, top


def _sparse_rows(counts: TextCounts, sizes: Floats) -> tuple[Floats, _Top]:
    """The same from the pairs that share an n-gram alone, by blocks of rows."""
    n_texts = len(sizes)
    members = _memberships(counts, np.dtype(np.int32))
    transposed = members.T.tocsr()

    def block(start: int) -> tuple[Floats, _Top]:
        shared = members[start : start + _TILE] @ transposed
        n_rows, entries = shared.shape[0], np.diff(shared.indptr)
        row, column, common = np.repeat(np.arange(n_rows), entries), shared.indices, shared.data
        similarity = common / (sizes[start + row] + sizes[column] - common)
        similarity[column == start + row] = 0.0
        sums, top = np.bincount(row, similarity, n_rows).astype(np.float64), _Top.of(n_rows)
        filled = np.flatnonzero(entries)
        if len(filled):
            begins = shared.indptr[filled]
            top.first[filled] = np.maximum.reduceat(similarity, begins)
            attained = np.flatnonzero(similarity == top.first[row])
            best = attained[np.diff(row[attained], prepend=-1) > 0]  # one a row that is filled
            top.nearest[filled] = column[best]
            similarity[best] = 0.0
            top.second[filled] = np.maximum.reduceat(similarity, begins)
        return sums, top

    sums, top = np.zeros(n_texts), _Top.of(n_texts)
    starts = range(0, n_texts, _TILE)
    for start, (block_sums, block_top) in zip(starts, _in_threads(block, starts), strict=True):
        rows = slice(start, start + _TILE)
        sums[rows] = block_sums
        top.merge(rows, block_top)
    return sums, top


def _in_threads(work: Callable[[int], T], items: Sequence[int]) -> Iterator[T]:
    """``map``, in order, in one thread for each CPU that this process may use, but at most two."""
    with ThreadPoolExecutor(min(_MOST_THREADS, cpus())) as threads:
        yield from threads.map(work, items)


def _memberships(counts: TextCounts, dtype: np.dtype) -> Any:
    """0/1 matrix, CSR [N, n_grams]: which text holds which indexed n-gram."""
    from scipy.sparse import csc_matrix  # here: the other n-gram metrics should not wait 0.2 s for it

    ones = np.ones(len(counts.text), dtype)
    return csc_matrix((ones, counts.text, counts.starts), (len(counts.lengths), counts.n_grams)).tocsr()


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("jaccard", options)
    inputs.require("jaccard", generated=2)
    n_texts = len(inputs.generated)
    similarities = [jaccard(inputs.index, n) for n in ORDERS]
    means = 100 * np.stack([similarity.mean for similarity in similarities], axis=1)  # [N, 4]
    means = np.column_stack([means, means[:, [n - 1 for n in COLUMN_ORDERS]].mean(axis=1)])
    averaged = [similarities[n - 1] for n in COLUMN_ORDERS]
    maximum = 100 * np.mean([similarity.maximum.mean() for similarity in averaged], keepdims=True)

    made = bootstrap.whole_set(means.mean(axis=0), lambda: mean_without_each(means), (0.0, 100.0))
    made += bootstrap.whole_set(
        maximum,
        lambda: 100 * np.mean([maximum_without_each(similarity) for similarity in averaged], axis=0)[:, None],
        (0.0, 100.0),
    )
    averaged_orders = f"{COLUMN_ORDERS[0]}-{COLUMN_ORDERS[-1]}"
    parts = {f"js{n}": {"form": "mean", "n": n} for n in ORDERS}
    parts["js"] = {"form": "mean", "n": averaged_orders}
    parts["js_max"] = {"form": "max", "n": averaged_orders, "N": n_texts}
    return {
        key: measured.signed(n_texts, signature("jaccard", METRIC.version, **parts[key], tok=TOKENISATION))
        for key, measured in zip(parts, made, strict=True)
    }


def mean_without_each(means: Floats) -> Floats:
    """Mean over the pairs without text i, [N, K], from each text's mean over its partners [N, K]; NaN where N = 2."""
    n_texts = len(means)
    sums = (n_texts - 1) * means
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums.sum(axis=0) - 2 * sums) / np.float64((n_texts - 1) * (n_texts - 2))


def maximum_without_each(similarity: Similarity) -> Floats:
    """Mean over the other texts of their largest similarity without text i, [N]; NaN where N = 2.

    Where text i alone attains the largest similarity of a text, that falls to the second largest.
    """
    n_texts = len(similarity.maximum)
    if n_texts == 2:
        return np.full(2, np.nan)
    lost = np.bincount(similarity.nearest, similarity.maximum - similarity.second, n_texts)
    return (similarity.maximum.sum() - similarity.maximum - lost) / (n_texts - 1)


def _quantity(key: str, label: str, formula: str, source: str) -> Quantity:
    return Quantity(key, label, "down", formula, "percent", (0.0, 100.0), source)


_DELLA = "Hu et al. 2022, appendix A.3"

METRIC = Metric(
    name="jaccard",
    family="ngrams",
    needs="generated",
    quantities=(
        *(
            _quantity(f"js{n}", f"JS-{n}", f"100 mean_(i<j) |A_i & A_j| / |A_i | A_j|, A: {n}-grams", _DELLA)
            for n in ORDERS
        ),
        _quantity("js", "JS", "mean of js2, js3, js4", f"{_DELLA}; orders inferred from printed values"),
        _quantity(
            "js_max",
            "JS-max",
            "100 mean over n=2..4 and i of max_(j!=i) |A_i & A_j| / |A_i | A_j|",
            "Wang & Wan 2018 (SentiGAN), section 4.4: 1 - Diversity",
        ),
    ),
    compute=_compute,
    signatures=(
        "jaccard|form:mean|n:<1, 2, 3, 4 or 2-4>|tok:regex|v:1",
        "jaccard|form:max|n:2-4|N:<texts>|tok:regex|v:1",
    ),
    defaults=DEFAULTS,
)
