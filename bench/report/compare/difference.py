"""How much two measurements differ: the sharpest 95 % interval and two-sided p that what is known of both allows.

1. **paired**: both sides have per-example statistics of the same test examples. Examples are resampled for both
   together, so what makes an example hard cancels. Seeds are averaged: the interval is about these trained models.
2. **Welch**: at least two seeds on both sides; Student's t with Welch's degrees of freedom. Seed variation.
3. **combined**: from the two bootstrap intervals over examples (MOVER, Zou & Donner 2008), which takes them to be
   independent: wider than a paired interval would be. Its p is that of the level at which the interval just reaches 0,
   the ends taken to be normal quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, ttest_ind

from bench.freeze import PerExample
from bench.metrics.base import Undefined
from bench.metrics.bootstrap import Examples, Interval
from bench.metrics.significance import paired_bootstrap
from bench.report.collect import Measured

Floats = NDArray[np.float64]
How = Literal["paired", "Welch", "combined", ""]
RESAMPLES, SEED, LEVEL = 2000, 0, 0.95

# Quantity -> (numerator, denominator or None, what is made of the ratio): means over examples, and PPL over tokens.
PAIRED: dict[str, tuple[str, str | None, Callable[[Floats], Floats]]] = {
    "nelbo": ("nelbo", None, np.asarray),
    "kl": ("kl", None, np.asarray),
    "nll": ("nll", None, np.asarray),
    "ppl": ("nll", "predicted", np.exp),
}


class Inference(NamedTuple):
    """The 95 % interval of a difference, and the two-sided p of there being none."""

    interval: Interval
    p: float


@dataclass(frozen=True)
class Difference:
    """New minus frozen, its 95 % interval and p where there are any, and how they were made."""

    value: float
    interval: Interval | None
    p: float | None
    how: How


@dataclass(frozen=True)
class Side:
    """What is known of one quantity on one side: the values by seed and the per-example statistics by seed."""

    measured: Measured
    values: Sequence[float]
    per_example: Sequence[PerExample]


def difference(key: str, new: Side, frozen: Side) -> Difference:
    """New minus frozen by the first of the three ways that applies."""
    value = new.measured.estimate.mean - frozen.measured.estimate.mean
    ways: tuple[tuple[How, Callable[[], Inference | None]], ...] = (
        ("paired", lambda: paired(key, new.per_example, frozen.per_example)),
        ("Welch", lambda: welch(new.values, frozen.values)),
        ("combined", lambda: combined(new.measured, frozen.measured)),
    )
    for how, inferred_by in ways:
        found = inferred_by()
        if found is not None:
            return Difference(value, found.interval, found.p, how)
    return Difference(value, None, None, "")


def paired(key: str, new: Sequence[PerExample], frozen: Sequence[PerExample]) -> Inference | None:
    """Bootstrap over shared test examples: percentile interval, and p of the differences shifted to mean 0.

    None where a side lacks statistics, their numbers differ, or one is not finite.
    """
    if key not in PAIRED or not new or not frozen:
        return None
    numerator, denominator, transform = PAIRED[key]
    needed = [numerator, *([denominator] if denominator else [])]
    if any(name not in seed for seed in (*new, *frozen) for name in needed):
        return None
    sizes = {len(seed[numerator]) for seed in (*new, *frozen)}
    n = sizes.pop()
    if sizes or n < 2:
        return None

    def examples(seeds: Sequence[PerExample]) -> Examples:
        """Numerators and denominators of every seed; the statistic is the quantity, averaged over seeds."""
        ones = [1.0] * n
        columns = [c for seed in seeds for c in (seed[numerator], seed[denominator][:n] if denominator else ones)]
        rows = np.array(columns, dtype=np.float64).T
        return Examples(rows, lambda means: transform(means[..., ::2] / means[..., 1::2]).mean(axis=-1))

    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what diverged is Undefined
            found = paired_bootstrap(examples(new), examples(frozen), RESAMPLES, SEED)
    except Undefined:
        return None
    return Inference(found.ci95, found.p)


def welch(new: Sequence[float], frozen: Sequence[float]) -> Inference | None:
    """Welch's t test over seeds; None with fewer than two on a side, or no variation at all."""
    if min(len(new), len(frozen)) < 2 or (len(set(new)) == 1 and len(set(frozen)) == 1):
        return None
    test = ttest_ind(new, frozen, equal_var=False)
    interval = test.confidence_interval(LEVEL)
    ends = float(interval.low), float(interval.high)
    return Inference(ends, float(test.pvalue)) if all(map(math.isfinite, ends)) else None


def combined(new: Measured, frozen: Measured) -> Inference | None:
    """Two intervals over examples, combined as for independent estimates; None where a side has none."""
    if new.ci95 is None or frozen.ci95 is None:
        return None
    a, b = new.estimate.mean, frozen.estimate.mean
    below = math.hypot(a - new.ci95[0], frozen.ci95[1] - b)
    above = math.hypot(new.ci95[1] - a, b - frozen.ci95[0])
    reach = below if a > b else above  # from the difference to the end of the interval that faces 0
    if not (math.isfinite(a - b) and math.isfinite(below) and math.isfinite(above)):
        return None
    z = norm.ppf((1 + LEVEL) / 2) * abs(a - b) / reach if reach else math.inf if a != b else 0.0
    return Inference((a - b - below, a - b + above), float(2 * norm.sf(z)))
