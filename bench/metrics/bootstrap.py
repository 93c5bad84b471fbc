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

References are held fixed everywhere: the interval says how the number would move with other generated texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import BenchError, suggest

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Bounds = tuple[ArrayLike, ArrayLike]

DEFAULTS: Mapping[str, Any] = {"resamples": 1000, "seed": 0}
_DRAWS_AT_ONCE = 1 << 20  # bounds memory; the random stream does not depend on it


def resolve_options(metric: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` over ``defaults``; an option that has no default is a :class:`BenchError`."""
    for key in options:
        if key not in defaults:
            raise BenchError(f"{metric}: unknown option '{key}'{suggest(key, defaults)}")
    return {**defaults, **options}


def whole_number(metric: str, options: Mapping[str, Any], key: str, least: int) -> int:
    """``options[key]`` checked to be an integer >= ``least``."""
    value = options[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BenchError(f"{metric}: option '{key}' must be a whole number >= {least}, not {value!r}")
    return value


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made. ``resamples == 0`` means none are."""

    resamples: int = DEFAULTS["resamples"]
    seed: int = DEFAULTS["seed"]

    @classmethod
    def of(cls, metric: str, options: Mapping[str, Any]) -> Bootstrap:
        """From a metric's options, checked."""
        merged = resolve_options(metric, options, DEFAULTS)
        return cls(whole_number(metric, merged, "resamples", 0), whole_number(metric, merged, "seed", 0))

    def signature(self, method: str = "boot") -> str:
        """``"boot1000s0"``: method, number of resamples, seed."""
        return f"{method}{self.resamples}s{self.seed}" if self.resamples else "none"

    def means(self, per_example: Floats) -> list[Interval | None]:
        """Intervals of the K column means of statistics [N, K]; None where N < 2 or a value is not finite."""
        n, columns = per_example.shape
        usable = np.all(np.isfinite(per_example), axis=0)
        if n < 2 or not self.resamples or not usable.any():
            return [None] * columns
        values = np.ascontiguousarray(per_example[:, usable], dtype=np.float64)
        resampled = np.concatenate([counts @ values for counts in resample_counts(n, self.resamples, self.seed)]) / n
        ends = iter(np.percentile(resampled, [2.5, 97.5], axis=0).T)
        return [_pair(next(ends)) if ok else None for ok in usable.tolist()]

    def jackknife(
        self, estimates: Floats, without_each: Callable[[], Floats], bounds: Bounds = (-np.inf, np.inf)
    ) -> list[Interval | None]:
        """Intervals around estimates [K] from their values without each example, clipped to ``bounds`` ([K] or scalar).

        ``without_each()`` gives those values, [N, K]; it is not called where no interval is asked for.
        """
        if not self.resamples:
            return [None] * len(estimates)
        leave_one_out = without_each()
        n = len(leave_one_out)
        pseudo_minus_estimate = (n - 1) * (estimates - leave_one_out)
        pseudo_minus_estimate -= pseudo_minus_estimate.mean(axis=0)
        intervals = self.means(pseudo_minus_estimate)
        lows, highs = (np.broadcast_to(bound, len(estimates)).tolist() for bound in bounds)
        return [
            None if ends is None else (max(low, value + ends[0]), min(high, value + ends[1]))
            for value, ends, low, high in zip(estimates.tolist(), intervals, lows, highs, strict=True)
        ]


def _pair(ends: Floats) -> Interval:
    return float(ends[0]), float(ends[1])


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Multinomial counts of bootstrap resamples, in blocks [r, n] whose rows sum to n; ``resamples`` rows in all."""
    generator = np.random.default_rng(seed)
    rows_at_once = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, rows_at_once):
        rows = min(rows_at_once, resamples - start)
        draws = generator.integers(0, n, (rows, n))
        draws += np.arange(0, rows * n, n)[:, None]
        yield np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def mean_ci(per_example: ArrayLike, resamples: int = DEFAULTS["resamples"], seed: int = DEFAULTS["seed"]) -> Interval:
    """95 % percentile bootstrap interval of the mean of per-example statistics [N].

    N >= 2 finite values, else :class:`BenchError`: one example says nothing about its own spread.

    >>> low, high = mean_ci(np.arange(100.0))
    >>> low < 49.5 < high and 20 < 4 * (high - low) < 50  # 2 x 1.96 x 28.9 / sqrt(100) = 11.3
    True
    """
    (interval,) = Bootstrap(resamples, seed).means(np.asarray(per_example, dtype=np.float64)[:, None])
    if interval is None:
        raise BenchError(f"a bootstrap interval needs at least 2 values, all finite; got {np.size(per_example)}")
    return interval
