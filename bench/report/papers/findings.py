"""What numbers say, in sentences made from the cells, whichever way they fall: the ones that papers' tables share."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from bench.report.collect import Results
from bench.report.model import number
from bench.suite import COPY, UNTRAINED

COLLAPSED = 0.1  # nats of KL below which a latent variable says next to nothing


def means(results: Results, dataset: str, key: str) -> dict[str, float]:
    """The comparable means of a column, rounded as they are shown: what looks equal is equal. Without those of nan."""
    column = results.column(dataset, key)
    return {
        m: float(number(v.estimate.mean, 2).replace("∞", "inf"))
        for m, v in column.items()
        if not v.problem and not math.isnan(v.estimate.mean)
    }


def collapsed(results: Results, dataset: str) -> list[str]:
    """Which latent variables carry nothing: their length, where they have one, is counted, and not theirs to choose."""
    length = means(results, dataset, "length")
    kl = {method: value - length.get(method, 0.0) for method, value in means(results, dataset, "kl").items()}
    if not kl:
        return []
    rows = {method: value for method, value in kl.items() if value < COLLAPSED}
    diverged = [m for m, v in results.column(dataset, "kl").items() if math.isnan(v.estimate.mean)]
    besides = f" {these(diverged)} diverged: KL nan." if diverged else ""
    if not rows:
        return [f"On {dataset} no row collapsed: every KL is at least {COLLAPSED} nats.{besides}"]
    return [f"On {dataset} {these(rows)} collapsed: KL below {COLLAPSED} nats.{besides}"]


def highest_kl(results: Results, dataset: str) -> list[str]:
    """Whose latent variable carries most."""
    kl = means(results, dataset, "kl")
    best = [method for method in kl if kl[method] == max(kl.values())]
    if len(kl) < 2 or len(best) > 1:
        return []
    return [f"On {dataset} the highest KL is that of {best[0]} ({kl[best[0]]:.2f})."]


def above_copy(results: Results, dataset: str) -> list[str]:
    """Whether generated texts are nearer the references than the sources are."""
    bleu = means(results, dataset, "cbleu1")
    copy = bleu.get(COPY)
    methods = {method: value for method, value in bleu.items() if method not in UNTRAINED}
    if copy is None or not methods:
        return []
    told = sides(methods, 1, copy, "above it")
    return [f"On {dataset} the sources as they are have a BLEU-1 of {copy:.2f}; {told}."]


def against(
    results: Results, dataset: str, whole: str, parts: Collection[str], of: tuple[str, str, int, str]
) -> list[str]:
    """On which side of a method its variants are: ``of`` is a key, its name, a sign and what beyond is called."""
    key, name, sign, worse = of
    found = means(results, dataset, key)
    others = {method: value for method, value in found.items() if method in parts}
    if whole not in found or not others:
        return []
    told = sides(others, sign, found[whole], worse)
    return [f"On {dataset} the {name} of {whole} is {found[whole]:.2f}; {told}."]


def sides(values: Mapping[str, float], sign: int, limit: float, word: str) -> str:
    """``higher: a (1.00); not higher: b (0.50)``; beyond the limit is above it (sign 1) or below it (-1)."""
    parts = []
    for said, wanted in ((word, True), (f"not {word}", False)):
        side = {name: value for name, value in values.items() if (sign * (value - limit) > 0) == wanted}
        if side:
            parts.append(f"{said}: {listed(side)}")
    return "; ".join(parts)


def listed(values: Mapping[str, float]) -> str:
    """``a (1.00), b (0.50)``."""
    return ", ".join(f"{name} ({value:.2f})" for name, value in values.items())


def these(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
