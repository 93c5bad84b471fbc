"""Variation over seeds: the mean and Student's t interval, with the number of seeds there really are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds.

    ``half_width`` of its 95 % interval: None for one seed, a value that is not finite or one whose square is not.
    """

    mean: float
    half_width: float | None
    n: int


def over_seeds(values: Sequence[float]) -> Estimate:
    """mean ± t_{0.975, n-1} s / sqrt(n), s with n - 1 in the denominator; ``values`` is not empty.

    >>> over_seeds([1.0, 3.0])
    Estimate(mean=2.0, half_width=12.706204736174694, n=2)
    """
    n = len(values)
    if not all(map(math.isfinite, values)):
        return Estimate(sum(values), None, n)
    try:
        mean = math.fsum(values) / n
        squares = math.fsum((value - mean) ** 2 for value in values)
    except OverflowError:
        return Estimate(math.fsum(value / n for value in values), None, n)
    if n < 2:
        return Estimate(mean, None, n)
    from scipy.stats import t  # here: it takes longer to import than every n-gram metric to compute

    variance = squares / (n - 1)
    return Estimate(mean, float(t.ppf((1 + LEVEL) / 2, n - 1)) * math.sqrt(variance / n), n)
