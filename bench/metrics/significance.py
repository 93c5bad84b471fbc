"""Do two systems differ? Intervals and p-values from the sufficient statistics of their examples; nothing is rescored.

With theta the statistic, d = theta(a) - theta(b) and B resamples or trials, two-sided p-values are

    bootstrap:      p = (1 + #{ |d*_b - mean(d*)| >= |d| }) / (1 + B),   shifted, so that its null is "no difference"
    randomisation:  p = (1 + #{ |d*_b| >= |d| }) / (1 + B)

so none is below 1 / (1 + B). Which of the four functions is decided by how the texts were made:

* **paired**, both systems answer the same inputs (ROUGE, corpus BLEU, iBLEU): examples are resampled for both together
  (:func:`paired_bootstrap`), or each pair is exchanged with probability 1/2 (:func:`approximate_randomisation`);
* **independent**, texts sampled from two models, which nothing pairs and whose numbers may differ: each sample is
  resampled by itself (:func:`independent_bootstrap`), or all texts are dealt anew (:func:`permutation`).

Randomisation is exact for the null that the systems are interchangeable, at any N. The bootstrap's null is that theta
is equal, and it holds for large N alone. For a statistic of a whole set (Dist, Self-BLEU, ...) the rows are
pseudo-values, so all four test its linear part: a large-N approximation, and only between samples of equal N, because
these statistics depend on N themselves. Self-BLEU-1 is conservative at any N: its pseudo-values spread about 1.7 times
as far as it does (Efron & Stein 1981). Compare values of equal signature, which names N where it matters.

None of this is variation over seeds: a significant difference between two trained models says nothing about training
them again; that is :func:`bench.metrics.seeds.over_seeds`.

Noreen (1989), "Computer-intensive methods for testing hypotheses"; Efron & Tibshirani (1993), "An introduction to the
bootstrap", chapters 15 and 16; Koehn (2004), "Statistical significance tests for machine translation"; Riezler &
Maxwell (2005), "On some pitfalls in automatic evaluation and significance testing for MT".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.metrics.base import Undefined
from bench.metrics.bootstrap import RESAMPLES, SEED, Bootstrap, Examples, Floats, Interval, blocks, percentile_interval

ROUNDING = 1e-12  # of what is summed: differences that are equal but for the order of summation count as equal
_DRAWS_KEPT = 1 << 26  # bytes: 1,000 trials of two times 33,000 texts


@dataclass(frozen=True)
class Difference:
    """theta(a) - theta(b), its 95 % percentile interval, and the two-sided p-value of the shifted bootstrap."""

    value: float
    ci95: Interval
    p: float


def paired_bootstrap(a: Examples, b: Examples, resamples: int = RESAMPLES, seed: int = SEED) -> Difference:
    """Two systems on the same N >= 2 examples, in the same order; the examples are resampled.

    :class:`BenchError` where the numbers of examples differ, without a resample, or with a negative seed;
    :class:`Undefined` with fewer than two examples, or where a statistic is not finite.

    >>> (a,) = Examples.of_means(np.arange(100.0)[:, None])
    >>> (b,) = Examples.of_means(np.arange(100.0)[:, None] + np.tile([0.0, 1.0], 50)[:, None])
    >>> found = paired_bootstrap(a, b)
    >>> found.value, found.p, -0.62 < found.ci95[0] < -0.58  # -0.5 +- 1.96 x 0.5 / sqrt(100)
    (-0.5, 0.000999000999000999, True)
    """
    _check(a, b, resamples, seed, paired=True)
    means = Bootstrap(resamples, seed).resample(np.concatenate([a.rows, b.rows], axis=1))
    columns = a.rows.shape[1]
    return _difference(a, b, a.statistic(means[:, :columns]) - b.statistic(means[:, columns:]))


def independent_bootstrap(a: Examples, b: Examples, resamples: int = RESAMPLES, seed: int = SEED) -> Difference:
    """Two independent samples of any sizes >= 2; each is resampled by itself. Errors as :func:`paired_bootstrap`.

    >>> a, b = (Examples.of_means(np.arange(n)[:, None] / n)[0] for n in (300, 200))
    >>> found = independent_bootstrap(a, b)
    >>> round(found.value, 6), found.ci95[0] < 0 < found.ci95[1], found.p > 0.5
    (0.000833, True, True)
    """
    _check(a, b, resamples, seed)
    first, second, sign = _in_order(a, b)
    seeds = np.random.SeedSequence(seed).generate_state(2).tolist()
    resampled = [
        e.statistic(Bootstrap(resamples, s).resample(e.rows)) for e, s in zip((first, second), seeds, strict=True)
    ]
    return _difference(a, b, sign * (resampled[0] - resampled[1]))


def approximate_randomisation(a: Examples, b: Examples, trials: int = RESAMPLES, seed: int = SEED) -> float:
    """Two-sided p-value of two systems on the same examples: every pair is exchanged with probability 1/2.

    Errors as :func:`paired_bootstrap`.

    >>> a, b = (Examples.of_means(np.tile([0.0, 0.0, shift], 20)[:, None])[0] for shift in (0.0, 1.0))
    >>> approximate_randomisation(a, b), approximate_randomisation(a, a)
    (0.000999000999000999, 1.0)
    """
    _check(a, b, trials, seed, paired=True, exchanged=True)
    n, gap = len(a.rows), a.rows - b.rows
    moved = np.concatenate([exchanged @ gap for exchanged in _exchanges(n, trials, seed)])
    sums = a.rows.sum(axis=0) - moved, b.rows.sum(axis=0) + moved
    return _p_value(a, b, a.statistic(sums[0] / n) - b.statistic(sums[1] / n))


def permutation(a: Examples, b: Examples, trials: int = RESAMPLES, seed: int = SEED) -> float:
    """Two-sided p-value of two independent samples of any sizes: all examples are dealt anew to a and b.

    Errors as :func:`paired_bootstrap`.

    >>> a, b = (Examples.of_means(np.arange(n)[:, None] / n)[0] for n in (300, 200))
    >>> permutation(a, b) > 0.5, permutation(a, a)
    (True, 1.0)
    """
    _check(a, b, trials, seed, exchanged=True)
    first, second, sign = _in_order(a, b)
    n, m = len(first.rows), len(second.rows)
    pooled = np.concatenate([first.rows, second.rows])
    dealt = np.concatenate([chosen @ pooled for chosen in _deals(n, n + m, trials, seed)])
    rest = pooled.sum(axis=0) - dealt
    return _p_value(a, b, sign * (first.statistic(dealt / n) - second.statistic(rest / m)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for how many there are, in the order given: at most 5 % that any of those below 0.05 is chance.

    Holm (1979), "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


def _exchanges(n: int, trials: int, seed: int) -> Iterator[Floats]:
    """Blocks [t, n] of zeros and ones, each with probability 1/2; ``trials`` rows in all."""
    generator = np.random.default_rng(seed)
    for rows in blocks(n, trials):
        yield (generator.random((rows, n)) < 0.5).astype(np.float64)


def _deals(chosen: int, n: int, trials: int, seed: int) -> Iterator[Floats]:
    """Blocks [t, n] of rows with ``chosen`` ones at random places, else zeros; ``trials`` rows in all."""
    dealt = _kept_deals(chosen, n, trials, seed) if n * trials <= _DRAWS_KEPT else _deal(chosen, n, trials, seed)
    for block in dealt:
        yield block.astype(np.float64)


@lru_cache(maxsize=2)
def _kept_deals(chosen: int, n: int, trials: int, seed: int) -> tuple[NDArray[np.bool_], ...]:
    """Kept, since every quantity of two systems asks for the same ones, and shuffling is what takes the time."""
    return tuple(_deal(chosen, n, trials, seed))


def _deal(chosen: int, n: int, trials: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    generator = np.random.default_rng(seed)
    first = np.arange(n) < chosen
    for rows in blocks(n, trials):
        yield generator.permuted(np.tile(first, (rows, 1)), axis=1)


def _difference(a: Examples, b: Examples, resampled: NDArray[np.float64]) -> Difference:
    p = _p_value(a, b, resampled - resampled.mean())
    interval = percentile_interval(resampled)
    assert interval is not None  # _p_value has refused what is not finite
    return Difference(_value(a) - _value(b), interval, p)


def _p_value(a: Examples, b: Examples, under_null: NDArray[np.float64]) -> float:
    """The share of differences under the null [B] that are at least as large as the observed one, it included."""
    x, y = _value(a), _value(b)
    if not (np.isfinite(under_null).all() and np.isfinite([x, y]).all()):
        raise Undefined("comparison: the statistic has no finite value, for the examples or for a resample of them")
    summed = max(np.abs(a.rows).max(), np.abs(b.rows).max(), abs(x), abs(y))
    extreme = np.abs(under_null) >= abs(x - y) - ROUNDING * summed
    return (1 + int(extreme.sum())) / (1 + len(under_null))


def _value(examples: Examples) -> float:
    return float(examples.statistic(examples.rows.mean(axis=0)))


def _in_order(a: Examples, b: Examples) -> tuple[Examples, Examples, int]:
    """The larger, the smaller, and the sign of a - b, so that exchanging a and b draws the same and flips the sign.

    Of equal ones their rows decide.
    """
    x, y = ((_value(e), e.rows.ravel().tolist()) for e in (a, b))
    return (a, b, 1) if x >= y else (b, a, -1)


def _check(a: Examples, b: Examples, resamples: int, seed: int, paired: bool = False, exchanged: bool = False) -> None:
    n, m = len(a.rows), len(b.rows)
    Bootstrap.of("comparison", {"resamples": resamples, "seed": seed}, least=1)
    if paired and n != m:
        raise BenchError(f"comparison: pairs examples, but there are {n} of one system and {m} of the other")
    if exchanged and a.rows.shape[1] != b.rows.shape[1]:
        raise BenchError("comparison: examples of different quantities cannot be exchanged")
    if min(n, m) < 2:
        raise Undefined(f"comparison: needs at least 2 examples of each system, got {n} and {m}")
    if not (np.isfinite(a.rows).all() and np.isfinite(b.rows).all()):
        raise Undefined("comparison: statistics of some examples are not finite")
