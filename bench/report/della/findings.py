"""What the numbers of a table say about the paper's claims: sentences made from the cells, whichever way they fall."""

from __future__ import annotations

from bench.report.collect import Results
from bench.report.papers.findings import above_copy, against, collapsed, highest_kl, means, sides

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


def ablations(results: Results, dataset: str) -> list[str]:
    """What taking a part from DELLA does to PPL and KL."""
    ppl = means(results, dataset, "ppl")
    others = [method for method in results.methods(dataset) if method != BASELINE]
    found = [
        sentence
        for of in (("ppl", "PPL", 1, "higher"), ("kl", "KL", -1, "lower"))
        for sentence in against(results, dataset, BASELINE, others, of)
    ]
    losses = {method: value - ppl[BASELINE] for method, value in ppl.items()} if BASELINE in ppl else {}
    worst = max(losses, key=lambda method: losses[method], default=BASELINE)
    if losses.get(worst, 0) > 0:
        found.append(
            f"On {dataset} the largest increase of PPL over {BASELINE} is that of {worst}: {losses[worst]:.2f}."
        )
    return found


def tricks(results: Results, dataset: str) -> list[str]:
    """Whether each trick raised the KL of each model over none."""
    kl = means(results, dataset, "kl")
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
            told = sides(tried, 1, kl[bare], "raised by")
            found.append(f"On {dataset} the KL of {model} without tricks is {kl[bare]:.2f}; {told}.")
    return found
