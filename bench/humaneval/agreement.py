"""Statistics of scores by several annotators: kappa of two and of many, means, and paired tests over items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Scores = Mapping[str, Mapping[str, int]]  # sample -> annotator -> score


def fleiss_kappa(scores: Scores, categories: Sequence[int]) -> float | None:
    """(P - P_e) / (1 - P_e): P the mean share of agreeing pairs a sample, P_e that of chance, by shares of categories.

    Fleiss (1971); annotators may differ from sample to sample, their number may not: samples with fewer scores than the
    most have are left out. None where no sample has two, or every score is the same.
    """
    most = max((len(of) for of in scores.values()), default=0)
    rows = [of for of in scores.values() if len(of) == most]
    if most < 2:
        return None
    counts = np.array([[list(of.values()).count(c) for c in categories] for of in rows], dtype=float)
    agreeing = ((counts**2).sum(1) - most) / (most * (most - 1))
    chance = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return None if chance == 1 else (float(agreeing.mean()) - chance) / (1 - chance)


def cohen_kappa(
    one: Sequence[int], other: Sequence[int], categories: Sequence[int], weighted: bool = False
) -> float | None:
    """1 - observed / expected disagreement of two annotators; ``weighted``: by the square of the distance.

    Cohen (1960, 1968). None where no disagreement could be expected, or nothing was scored by both.
    """
    if not one:
        return None
    index = {category: i for i, category in enumerate(categories)}
    table = np.zeros((len(categories), len(categories)))
    for a, b in zip(one, other, strict=True):
        table[index[a], index[b]] += 1
    table /= table.sum()
    distance = np.subtract.outer(np.array(categories, float), np.array(categories, float)) ** 2
    weights = distance if weighted else (distance > 0).astype(float)
    expected = float((weights * np.outer(table.sum(1), table.sum(0))).sum())
    return None if expected == 0 else 1 - float((weights * table).sum()) / expected


def mean_cohen_kappa(scores: Scores, categories: Sequence[int], weighted: bool = False) -> float | None:
    """Over all pairs of annotators with samples in common, each weighing as many as it shares."""
    annotators = sorted({annotator for of in scores.values() for annotator in of})
    found = []
    for a, b in combinations(annotators, 2):
        shared = [(of[a], of[b]) for of in scores.values() if a in of and b in of]
        kappa = cohen_kappa([x for x, _ in shared], [y for _, y in shared], categories, weighted)
        if kappa is not None:
            found.append((kappa, len(shared)))
    return float(np.average([k for k, _ in found], weights=[n for _, n in found])) if found else None


def wilcoxon(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Two-sided p of the signed-rank test on items [N], both methods' mean scores; 1 where nothing differs."""
    from scipy import stats

    differences = np.round(one - other, 9)  # means over three are not exact, and equal differences have one rank
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0
