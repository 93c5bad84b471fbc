"""How much two measurements differ, with the sharpest 95 % interval that what is known of both allows.

1. **paired**: both sides have per-example statistics of the same test examples. Examples are resampled for both
   together, so what makes an example hard cancels. Seeds are averaged: the interval is about these trained models.
2. **Welch**: at least two seeds on both sides; Student's t with Welch's degrees of freedom. Seed variation.
3. **combined**: from the two bootstrap intervals over examples (MOVER, Zou & Donner 2008), which takes them to be
   independent: wider than a paired interval would be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from bench.freeze import PerExample
from bench.metrics.bootstrap import Examples
from bench.metrics.significance import paired_bootstrap
from bench.report.collect import Measured

Floats = NDArray[np.float64]
How = Literal["paired", "Welch", "combined", ""]
RESAMPLES, SEED = 2000, 0

# Quantity -> (numerator, denominator or None, what is made of the ratio): means over examples, and PPL over tokens.
PAIRED: dict[str, tuple[str, str | None, Callable[[Floats], Floats]]] = {
    "nelbo": ("nelbo", None, np.asarray),
    "kl": ("kl", None, np.asarray),
    "nll": ("nll", None, np.asarray),
    "ppl": ("nll", "predicted", np.exp),
}


@dataclass(frozen=True)
class Difference:
    """New minus frozen, its 95 % interval where there is one, and how that was made."""

    value: float
    interval: tuple[float, float] | None
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
    ways: tuple[tuple[How, Callable[[], tuple[float, float] | None]], ...] = (
        ("paired", lambda: paired(key, new.per_example, frozen.per_example)),
        ("Welch", lambda: welch(new.values, frozen.values)),
        ("combined", lambda: combined(new.measured, frozen.measured)),
    )
    for how, interval_of in ways:
        interval = interval_of()
        if interval is not None:
            return Difference(value, interval, how)
    return Difference(value, None, "")


def paired(key: str, new: Sequence[PerExample], frozen: Sequence[PerExample]) -> tuple[float, float] | None:
    """Percentile bootstrap over shared test examples; None where a side lacks statistics or their numbers differ."""
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

    return paired_bootstrap(examples(new), examples(frozen), RESAMPLES, SEED).ci95


def welch(new: Sequence[float], frozen: Sequence[float]) -> tuple[float, float] | None:
    """Welch's t interval over seeds; None with fewer than two on a side, or no variation at all."""
    if min(len(new), len(frozen)) < 2 or (len(set(new)) == 1 and len(set(frozen)) == 1):
        return None
    interval = ttest_ind(new, frozen, equal_var=False).confidence_interval(0.95)
    ends = float(interval.low), float(interval.high)
    return ends if all(map(math.isfinite, ends)) else None


def combined(new: Measured, frozen: Measured) -> tuple[float, float] | None:
    """Two intervals over examples, combined as for independent estimates; None where a side has none."""
    if new.ci95 is None or frozen.ci95 is None:
        return None
    a, b = new.estimate.mean, frozen.estimate.mean
    low = a - b - math.hypot(a - new.ci95[0], frozen.ci95[1] - b)
    high = a - b + math.hypot(new.ci95[1] - a, b - frozen.ci95[0])
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
