"""What the numbers of a table say about the paper's claims: sentences made from the cells, whichever way they fall."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from bench.report.collect import Results
from bench.report.papers.findings import above_copy, against, collapsed, highest_kl, listed, means
from bench.report.trace.paper import TABLES
from bench.suite import UNTRAINED

DIVERSITY = (("self_bleu4", "Self-BLEU", -1), ("dist2", "Dist", 1), ("js", "JS", -1))  # the sign is that of better
PARTS = {"trace-r": ("trace-r-ln", "trace-r-rp", "trace-r+bn"), "trace-p": ("trace-p-sn",)}  # Table 5


def findings(results: Results, table: str) -> tuple[str, ...]:
    """Sentences under one table, a dataset after the other."""
    diversity = partial(most_diverse, keys=TABLES[table].quantities)
    about = {
        "2": (highest_kl, collapsed, mi_above_kl, diversity),
        "3": (above_copy, diversity),
        "5": (ablations, diversity),
        "6": (diversity,),
    }[table]
    return tuple(sentence for dataset in results.datasets for tell in about for sentence in tell(results, dataset))


def most_diverse(results: Results, dataset: str, keys: Collection[str]) -> list[str]:
    """Whose texts differ most from each other, by each measure shown (the claim of the title)."""
    parts = []
    for key, name, sign in DIVERSITY:
        found = {method: value for method, value in means(results, dataset, key).items() if method not in UNTRAINED}
        best = sign * max((sign * value for value in found.values()), default=0.0)
        if key in keys and len(set(found.values())) > 1:
            parts.append(f"by {name} those of {listed({m: value for m, value in found.items() if value == best})}")
    return [f"On {dataset} the most diverse texts are {'; '.join(parts)}."] if parts else []


def mi_above_kl(results: Results, dataset: str) -> list[str]:
    """Where latent variables say more of the text than their KL."""
    mi, kl = means(results, dataset, "mi"), means(results, dataset, "kl")
    above = {method: mi[method] for method in mi if method in kl and mi[method] > kl[method]}
    return [f"On {dataset} MI is above KL in {listed(above)}."] if above else []


def ablations(results: Results, dataset: str) -> list[str]:
    """What taking a part from TRACE does to the bound and to diversity."""
    return [
        sentence
        for whole, parts in PARTS.items()
        for of in (("nelbo", "−ELBO", 1, "higher"), ("self_bleu4", "Self-BLEU", 1, "higher"))
        for sentence in against(results, dataset, whole, parts, of)
    ]
