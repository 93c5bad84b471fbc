"""Sampling uncertainty over examples: 95 % percentile bootstrap intervals. Never seed variation.

**Means** (BLEU, likelihoods, ...): resample the per-example statistics [N] with replacement. A resample's mean is a
row of multinomial counts times the statistics, so all resamples of all columns are one matrix product and nothing is
scored again.

**Statistics of the whole set** (Dist, Ent, CND, JS, Self-BLEU): a text drawn twice is a duplicate, and duplicates are
precisely what these metrics punish: a resample holds 63 % distinct texts, so its values are biased and a percentile
interval need not even contain the estimate. Centring would repair the bias but not the spread, and subsampling
without replacement changes N, on which these metrics depend. Instead we use the leave-one-out values theta_(i), which
all of them have at the cost of one pass, contain no duplicates and hold N fixed up to one. The pseudo-values
psi_i = N theta - (N-1) theta_(i) (Tukey 1958; for JS, a U-statistic, twice its Hajek projection up to O(1/N)) are
bootstrapped like a mean, and the interval is shifted onto theta: the jackknife's own bias correction would report
another quantity, the metric at infinite N. Efron & Stein (1981): the jackknife's variance is conservative in
expectation for any symmetric statistic. The interval is about the metric *at this N*.

Where all resamples give one value there is no interval: every 4-gram of 40 short texts may well be new, but a
bootstrap cannot know how seldom one is not. Percentile intervals of fewer than 20 examples are too short (of 5 they
cover 75 to 85 %), which is said where they are.

References are held fixed everywhere: the interval says how the number would move with other generated texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import BenchError, suggest
from bench.metrics.base import Value

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Bounds = tuple[ArrayLike, ArrayLike]

RESAMPLES, SEED = 1000, 0
DEFAULTS: Mapping[str, Any] = {"resamples": RESAMPLES, "seed": SEED}
FEW = 20  # examples: with fewer, percentile intervals are too short
ROUNDING = 1e-9  # of the values: resamples that differ by less do not differ; pseudo-values magnify rounding by N
_DRAWS_AT_ONCE = 1 << 20  # bounds memory; the random stream does not depend on it
_DRAWS_KEPT = 1 << 25  # 64 MB: 1,000 resamples of 33,000 texts


def resolve_options(metric: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` over ``defaults``; an option that has no default is a :class:`BenchError`."""
    for key in options:
        if key not in defaults:
            raise BenchError(f"{metric}: unknown option '{key}'{suggest(key, defaults)}")
    return {**defaults, **options}


def whole_number(metric: str, options: Mapping[str, Any], key: str, least: int) -> int:
    """``options[key]`` checked to be an integer >= ``least``."""
    value = options[key]
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise BenchError(f"{metric}: option '{key}' must be a whole number >= {least}, not {value!r}")
    return int(value)


@dataclass(frozen=True)
class Examples:
    """Sufficient statistics of one quantity: all that resampling its examples needs, so that no text is rescored.

    ``rows`` [N, K]: what each example contributes. ``statistic``: column means [..., K] -> the quantity [...].
    """

    rows: Floats
    statistic: Callable[[Floats], Floats]

    @classmethod
    def of_means(cls, scores: Floats) -> list[Examples]:
        """Of the K quantities that are means of the columns of scores [N, K]."""
        return [cls(scores[:, k : k + 1], _first) for k in range(scores.shape[1])]

    @classmethod
    def of_set(cls, estimates: Floats, without_each: Floats) -> list[Examples]:
        """Of K statistics of a whole set, from estimates [K] and the values without each example [N, K].

        The rows are pseudo-values, shifted so that their mean is the estimate.
        """
        deviations = (len(without_each) - 1) * (estimates - without_each)
        return cls.of_means(estimates + deviations - deviations.mean(axis=0))


def _first(means: Floats) -> Floats:
    return means[..., 0]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made. ``resamples == 0`` means none are."""

    resamples: int = RESAMPLES
    seed: int = SEED

    @classmethod
    def of(cls, metric: str, options: Mapping[str, Any], least: int = 0) -> Bootstrap:
        """From a metric's options, checked; ``least`` resamples."""
        merged = resolve_options(metric, options, DEFAULTS)
        return cls(whole_number(metric, merged, "resamples", least), whole_number(metric, merged, "seed", 0))

    def describe(self, n: int, of: str = "examples") -> str:
        """How an interval of ``n`` examples was made, and that it is too short where they are few.

        >>> Bootstrap().describe(500)
        'bootstrap of 1000 resamples of 500 examples, seed 0'
        """
        caution = f" (too short: fewer than {FEW} {of})" if n < FEW else ""
        return f"bootstrap of {self.resamples} resamples of {n} {of}, seed {self.seed}{caution}"

    def means(self, scores: Floats) -> list[Measured]:
        """The K column means of scores [N, K], each with its interval."""
        return self.measure(scores.mean(axis=0), lambda: Examples.of_means(scores))

    def whole_set(
        self, estimates: Floats, without_each: Callable[[], Floats], bounds: Bounds = (-np.inf, np.inf)
    ) -> list[Measured]:
        """K statistics of a whole set [K], with intervals from their values without each example, ``[N, K]``.

        ``without_each`` is not called where no interval is asked for; intervals are clipped to ``bounds``, [K] or one.
        """
        made = self.measure(estimates, lambda: Examples.of_set(estimates, without_each()), "pseudo-values")
        lows, highs = (np.broadcast_to(bound, len(estimates)).tolist() for bound in bounds)
        return [
            replace(m, ci95=m.ci95 and (max(low, m.ci95[0]), min(high, m.ci95[1])))
            for m, low, high in zip(made, lows, highs, strict=True)
        ]

    def measure(
        self, estimates: Floats, examples: Callable[[], list[Examples]], of: str = "examples"
    ) -> list[Measured]:
        """K quantities with the intervals of their examples, which are asked for only where resampled."""
        if not self.resamples:
            return [Measured(value, None, "none: no resamples are asked for") for value in estimates.tolist()]
        found = examples()
        return [
            Measured(value, *self._told(ends, len(e.rows), of), e)
            for value, e, ends in zip(estimates.tolist(), found, self.intervals(found), strict=True)
        ]

    def _told(self, ends: Interval | None, n: int, of: str) -> tuple[Interval | None, str]:
        """An interval of ``n`` examples and how it was made, or why there is none."""
        if ends is None:
            return None, f"none: fewer than 2 {of}" if n < 2 else "none: not finite"
        return (None, "none: the resamples do not differ") if _are_one(ends) else (ends, self.describe(n, of))

    def intervals(self, examples: Sequence[Examples]) -> list[Interval | None]:
        """Percentile intervals, all from the same resamples; None where N < 2 or a statistic is not finite."""
        usable = [len(e.rows) > 1 and bool(np.isfinite(e.rows).all()) for e in examples]
        rows = [e.rows for e, ok in zip(examples, usable, strict=True) if ok]
        if not rows:
            return [None] * len(examples)
        resampled = self.resample(np.concatenate(rows, axis=1))
        ends, start = [], 0
        for e, ok in zip(examples, usable, strict=True):
            if ok:
                stop = start + e.rows.shape[1]
                ends.append(percentile_interval(e.statistic(resampled[:, start:stop])))
                start = stop
            else:
                ends.append(None)
        return ends

    def resample(self, rows: Floats) -> Floats:
        """Column means of rows [N, K] over every resample: [resamples, K]."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        n = len(rows)
        return np.concatenate([counts @ rows for counts in resample_counts(n, self.resamples, self.seed)]) / n


@dataclass(frozen=True)
class Measured:
    """A number, its interval, how that was made, and the statistics it was made from."""

    value: float
    ci95: Interval | None
    interval: str
    examples: Examples | None = None

    def signed(self, n: int, signature: str, note: str = "") -> Value:
        """As a metric reports it: over ``n`` examples, under its signature."""
        return Value(self.value, self.ci95, n, signature, self.interval, note, self.examples)


def percentile_interval(resampled: Floats) -> Interval | None:
    """The 2.5th and 97.5th percentiles of resampled values [R]; None where one is not finite."""
    if not np.isfinite(resampled).all():
        return None
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def _are_one(ends: Interval) -> bool:
    low, high = ends
    return high - low <= ROUNDING * max(abs(low), abs(high))


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Multinomial counts of bootstrap resamples, in blocks [r, n] whose rows sum to n; ``resamples`` rows in all.

    The metrics of a family ask for the same ones again and again, so what is not too large is kept.
    """
    blocks = _kept(n, resamples, seed) if n * resamples <= _DRAWS_KEPT else _draw(n, resamples, seed)
    for counts in blocks:
        yield counts.astype(np.float64)


@lru_cache(maxsize=2)
def _kept(n: int, resamples: int, seed: int) -> tuple[NDArray[np.integer], ...]:
    return tuple(counts.astype(np.uint16) for counts in _draw(n, resamples, seed))  # 65,536 times one text: never


def _draw(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.integer]]:
    generator = np.random.default_rng(seed)
    for rows in blocks(n, resamples):
        draws = generator.integers(0, n, (rows, n))
        draws += np.arange(0, rows * n, n)[:, None]
        yield np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)


def blocks(n: int, resamples: int) -> Iterator[int]:
    """How many resamples of ``n`` examples to draw at a time, ``resamples`` in all."""
    at_once = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, at_once):
        yield min(at_once, resamples - start)


def mean_ci(scores: ArrayLike, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """95 % percentile bootstrap interval of the mean of per-example scores [N].

    N >= 2 finite values that differ, else :class:`BenchError`: one example says nothing about its own spread.

    >>> low, high = mean_ci(np.arange(100.0))
    >>> low < 49.5 < high and 20 < 4 * (high - low) < 50  # 2 x 1.96 x 28.9 / sqrt(100) = 11.3
    True
    """
    bootstrap = Bootstrap.of("mean_ci", {"resamples": resamples, "seed": seed}, least=1)
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise BenchError(f"mean_ci: needs a list of numbers [N], not an array of shape {values.shape}")
    (interval,) = bootstrap.intervals(Examples.of_means(values[:, None]))
    if interval is None:
        raise BenchError(f"mean_ci: needs at least 2 values, all finite; got {len(values)}")
    if _are_one(interval):
        raise BenchError(f"mean_ci: the {len(values)} values do not differ, which says nothing about their spread")
    return interval
