"""JS: n-gram Jaccard similarity between generated texts, in percent. Lower is more diverse.

    J_n(i, j) = |A_i & A_j| / |A_i | A_j|,    A_i: the set of n-grams of text i; 0 where both sets are empty
    js<n>  = 100 mean over all pairs i < j of J_n(i, j)
    js     = 100 mean over n = 2..4 of the above: what the values printed by DELLA and TRACE fit
    js_max = 100 mean over n = 2..4 and texts i of max_{j != i} J_n(i, j): one minus SentiGAN's Diversity

Intersections of all pairs are products of 0/1 text x n-gram matrices, taken tile by tile (never [N, N] in memory) in
integers, and divided in float64. ``js`` is a U-statistic: its interval comes from the per-text means over partners (see
:mod:`bench.metrics.bootstrap`). ``js_max`` grows with N (in its signature); its interval bootstraps the per-text maxima
with the other texts held fixed, which understates it (the value's note says so).

Wang & Wan (2018), "SentiGAN", section 4.4 (Jaccard, maximum); Hu et al. (2022), "DELLA", appendix A.3 (all pairs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import NgramIndex, TextCounts
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]

ORDERS = range(1, 5)
COLUMN_ORDERS = range(2, 5)  # averaged in js and js_max
NOTE = "interval: too narrow, of per-text maxima over the other texts held fixed"
_TILE = 256  # a tile's float64 similarities (512 KB) stay in cache
_SPARSE_BELOW = 0.1  # share of pairs with something in common below which sparse x sparse is faster than tiles


@dataclass(frozen=True)
class Similarity:
    """Of each text to the N-1 others, both [N] in 0..1: the mean and the maximum Jaccard similarity."""

    mean: Floats
    maximum: Floats


def jaccard(index: NgramIndex, n: int) -> Similarity:
    """n-gram Jaccard similarity of each of N >= 2 generated texts to the others.

    >>> jaccard(NgramIndex(["a b", "b c", "d"], []), 1)
    Similarity(mean=array([0.16666667, 0.16666667, 0.        ]), maximum=array([0.33333333, 0.33333333, 0.        ]))
    """
    counts = index.order(n).generated
    n_texts = len(counts.windows)
    sizes = counts.per_text(np.ones_like(counts.count)) + counts.singletons
    texts_with = np.bincount(counts.gram, minlength=counts.n_grams).astype(np.float64)
    few_pairs = texts_with @ texts_with < _SPARSE_BELOW * n_texts**2
    sums, maximum = (_sparse_rows if few_pairs else _dense_tiles)(counts, np.maximum(1, sizes))
    return Similarity(sums / (n_texts - 1), maximum)


def _dense_tiles(counts: TextCounts, sizes: Floats) -> tuple[Floats, Floats]:
    """Row sums and row maxima [N] of J without its diagonal, from the tiles on and below the diagonal."""
    n_texts = len(sizes)
    starts = range(0, n_texts, _TILE)
    # An intersection is at most the smaller set: the narrowest integers that hold it are the fastest.
    members = _memberships(counts, np.min_scalar_type(int(sizes.max())))
    blocks = [members[start : start + _TILE] for start in starts]
    size_blocks = [sizes[start : start + _TILE] for start in starts]
    sums, maximum = np.zeros(n_texts), np.zeros(n_texts)
    for b, column_start in enumerate(starts):
        columns = slice(column_start, column_start + _TILE)
        dense = blocks[b].T.toarray(order="C")
        for a, row_start in enumerate(starts[b:], b):
            rows = slice(row_start, row_start + _TILE)
            similarity = (blocks[a] @ dense).astype(np.float64)
            union = size_blocks[a][:, None] + size_blocks[b]
            union -= similarity
            similarity /= union
            if a == b:
                np.fill_diagonal(similarity, 0.0)
            else:
                sums[columns] += similarity.sum(axis=0)
                maximum[columns] = np.maximum(maximum[columns], similarity.max(axis=0))
            sums[rows] += similarity.sum(axis=1)
            maximum[rows] = np.maximum(maximum[rows], similarity.max(axis=1))
    return sums, maximum


def _sparse_rows(counts: TextCounts, sizes: Floats) -> tuple[Floats, Floats]:
    """The same from the pairs that share an n-gram alone, by blocks of rows."""
    n_texts = len(sizes)
    members = _memberships(counts, np.dtype(np.int32))
    transposed = members.T.tocsr()
    sums, maximum = np.zeros(n_texts), np.zeros(n_texts)
    for start in range(0, n_texts, _TILE):
        shared = (members[start : start + _TILE] @ transposed).tocoo()
        row, column = shared.row + start, shared.col
        other = row != column
        row, column, common = row[other], column[other], shared.data[other]
        similarity = common / (sizes[row] + sizes[column] - common)
        sums += np.bincount(row, similarity, n_texts)
        np.maximum.at(maximum, row, similarity)
    return sums, maximum


def _memberships(counts: TextCounts, dtype: np.dtype) -> Any:
    """0/1 matrix, CSR [N, n_grams]: which text holds which indexed n-gram."""
    from scipy.sparse import csr_matrix  # here: the other n-gram metrics should not wait 0.2 s for it

    ones = np.ones(len(counts.gram), dtype)
    return csr_matrix((ones, (counts.text, counts.gram)), (len(counts.windows), counts.n_grams))


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("jaccard", options)
    inputs.require("jaccard", generated=2)
    n_texts = len(inputs.generated)
    similarities = [jaccard(inputs.index, n) for n in ORDERS]
    means = 100 * np.stack([similarity.mean for similarity in similarities], axis=1)  # [N, 4]
    means = np.column_stack([means, means[:, [n - 1 for n in COLUMN_ORDERS]].mean(axis=1)])
    maxima = 100 * np.mean([similarities[n - 1].maximum for n in COLUMN_ORDERS], axis=0)[:, None]

    made = bootstrap.whole_set(means.mean(axis=0), lambda: _without_each(means), (0.0, 100.0))
    keys = [*(f"js{n}" for n in ORDERS), "js"]
    orders = [*map(str, ORDERS), f"{COLUMN_ORDERS[0]}-{COLUMN_ORDERS[-1]}"]
    values = {}
    for key, order, measured in zip(keys, orders, made, strict=True):
        signed = signature("jaccard", METRIC.version, form="mean", n=order, tok=TOKENISATION)
        values[key] = measured.signed(n_texts, signed)
    (measured,) = bootstrap.means(maxima)
    signed = signature("jaccard", METRIC.version, form="max", n=orders[-1], N=n_texts, tok=TOKENISATION)
    values["js_max"] = measured.signed(n_texts, signed, NOTE)
    return values


def _without_each(means: Floats) -> Floats:
    """Mean over the pairs without text i, [N, K], from each text's mean over its partners; NaN where N = 2."""
    n_texts = len(means)
    sums = (n_texts - 1) * means
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums.sum(axis=0) - 2 * sums) / np.float64((n_texts - 1) * (n_texts - 2))


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
    defaults=DEFAULTS,
)
