"""What the numbers of a table say about the paper's claims: sentences made from the cells, whichever way they fall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from bench.report.collect import Results
from bench.report.model import number
from bench.suite import COPY, UNTRAINED

COLLAPSED = 0.1  # nats of KL below which a latent variable says next to nothing
BASELINE = "della"  # what Table 4 takes parts from


def findings(results: Results, table: str) -> tuple[str, ...]:
    """Sentences under one table, a dataset after the other."""
    told = {
        "1": (highest_kl, collapsed),
        "2": (above_copy, highest_kl, collapsed),
        "4": (ablations, collapsed),
        "5": (tricks, highest_kl, collapsed),
    }
    about = told[{"8": "1", "9": "2"}.get(table, table)]
    return tuple(sentence for dataset in results.datasets for tell in about for sentence in tell(results, dataset))


def _means(results: Results, dataset: str, key: str) -> dict[str, float]:
    """The comparable means of a column, rounded as they are shown: what looks equal is equal."""
    column = results.column(dataset, key)
    return {m: float(number(v.estimate.mean, 2).replace("∞", "inf")) for m, v in column.items() if not v.problem}


def collapsed(results: Results, dataset: str) -> list[str]:
    """Which latent variables carry nothing."""
    kl = _means(results, dataset, "kl")
    if not kl:
        return []
    rows = {method: value for method, value in kl.items() if value < COLLAPSED}
    if not rows:
        return [f"On {dataset} no row collapsed: every KL is at least {COLLAPSED} nats."]
    return [f"On {dataset} {_these(rows)} collapsed: KL below {COLLAPSED} nats."]


def highest_kl(results: Results, dataset: str) -> list[str]:
    """Whose latent variable carries most."""
    kl = _means(results, dataset, "kl")
    best = [method for method in kl if kl[method] == max(kl.values())]
    if len(kl) < 2 or len(best) > 1:
        return []
    return [f"On {dataset} the highest KL is that of {best[0]} ({kl[best[0]]:.2f})."]


def above_copy(results: Results, dataset: str) -> list[str]:
    """Whether generated texts are nearer the references than the sources are."""
    bleu = _means(results, dataset, "cbleu1")
    copy = bleu.get(COPY)
    methods = {method: value for method, value in bleu.items() if method not in UNTRAINED}
    if copy is None or not methods:
        return []
    sides = _sides(methods, partial(_beyond, 1, copy), "above it")
    return [f"On {dataset} the sources as they are have a BLEU-1 of {copy:.2f}; {sides}."]


def ablations(results: Results, dataset: str) -> list[str]:
    """What taking a part from DELLA does to PPL and KL."""
    found = []
    ppl, kl = _means(results, dataset, "ppl"), _means(results, dataset, "kl")
    for name, means, sign, worse in (("PPL", ppl, 1, "higher"), ("KL", kl, -1, "lower")):
        others = dict(means)
        whole = others.pop(BASELINE, None)
        if whole is not None and others:
            sides = _sides(others, partial(_beyond, sign, whole), worse)
            found.append(f"On {dataset} the {name} of {BASELINE} is {whole:.2f}; {sides}.")
    losses = {method: value - ppl[BASELINE] for method, value in ppl.items()} if BASELINE in ppl else {}
    worst = max(losses, key=lambda method: losses[method], default=BASELINE)
    if losses.get(worst, 0) > 0:
        found.append(
            f"On {dataset} the largest increase of PPL over {BASELINE} is that of {worst}: {losses[worst]:.2f}."
        )
    return found


def tricks(results: Results, dataset: str) -> list[str]:
    """Whether each trick raised the KL of each model over none."""
    kl = _means(results, dataset, "kl")
    found = []
    for bare in (method for method in kl if method.endswith("+none")):
        model = bare.removesuffix("+none")
        of = {
            "BOW": f"{model}+bow",
            "annealing": model,
            "annealing and BOW": f"{model}+annealing+bow",
            "annealing and BN": f"{model}+annealing+bn",
        }
        tried = {trick: kl[method] for trick, method in of.items() if method in kl}
        if tried:
            sides = _sides(tried, partial(_beyond, 1, kl[bare]), "raised by")
            found.append(f"On {dataset} the KL of {model} without tricks is {kl[bare]:.2f}; {sides}.")
    return found


def _beyond(sign: int, limit: float, value: float) -> bool:
    return sign * (value - limit) > 0


def _sides(values: Mapping[str, float], holds: Callable[[float], bool], word: str) -> str:
    """``higher: a (1.00); not higher: b (0.50)``."""
    parts = []
    for said, wanted in ((word, True), (f"not {word}", False)):
        side = {name: value for name, value in values.items() if holds(value) == wanted}
        if side:
            parts.append(f"{said}: {_listed(side)}")
    return "; ".join(parts)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} ({value:.2f})" for name, value in values.items())


def _these(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
