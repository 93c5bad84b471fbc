"""What the numbers of Table 2 say: sentences made from the cells, whichever way they fall."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bench.report.collect import Results
from bench.report.davam.paper import DAVAM, LIKELIHOOD, TABLES
from bench.report.model import number
from bench.report.papers.findings import COLLAPSED, collapsed, means
from bench.report.published import Published

TARGET = 5  # per cent: within this of a printed number counts as reproduced
PAPER_PPL, EXACT_PPL = DAVAM.protocol.key("ppl"), DAVAM.protocol.exact("ppl")
BASELINE = "lstm-vae"  # and its variants: one Gaussian latent variable, importance-weighted by their public code


def findings(results: Results, published: Published) -> tuple[str, ...]:
    """Sentences under the table, a dataset after the other."""
    return tuple(
        sentence
        for dataset in results.datasets
        for sentence in (
            *lowest(results, dataset),
            *collapsed(results, dataset),
            *deviations(results, published, dataset),
        )
    )


def lowest(results: Results, dataset: str) -> list[str]:
    """Whose PPL is the lowest by either arithmetic, and what the other one says of it."""
    paper, exact = means(results, dataset, PAPER_PPL), means(results, dataset, EXACT_PPL)
    if not paper or not exact:
        return []
    theirs, ours = (min(of, key=lambda method: of[method]) for of in (paper, exact))

    def other(of: Mapping[str, float], method: str) -> str:
        return number(of[method], 2) if method in of else "not known"

    if ours == theirs:
        return [
            f"On {dataset} {ours} has the lowest PPL either way: {number(paper[ours], 2)} by the paper's arithmetic, "
            f"{number(exact[ours], 2)} exactly."
        ]
    return [
        f"On {dataset} {theirs} has the lowest PPL by the paper's arithmetic, {number(paper[theirs], 2)}; exactly it "
        f"is {other(exact, theirs)}. The lowest exact PPL is that of {ours}, {number(exact[ours], 2)}; by the paper's "
        f"arithmetic it is {other(paper, ours)}."
    ]


def deviations(results: Results, published: Published, dataset: str) -> list[str]:
    """How far Rec and PPL by the paper's arithmetic are from the printed ones, where the data is the paper's."""
    if not published.find(dataset, BASELINE, EXACT_PPL, DAVAM.name, "2"):
        return []
    other = _other_data(results, published, dataset)
    if other:
        return [f"On {dataset} nothing is held against the printed numbers: {other}."]
    *keys, (_, kl) = [(column.label, DAVAM.protocol.key(column.metric)) for column in LIKELIHOOD]
    by_method: dict[str, dict[str, float]] = {}
    for label, key in keys:
        for method, value in _apart(results, published, dataset, key).items():
            by_method.setdefault(method, {})[label] = value
    near = {method: of for method, of in by_method.items() if all(abs(value) <= TARGET for value in of.values())}
    far = {method: of for method, of in by_method.items() if method not in near}
    said = [
        f"{word} {TARGET} % of the printed Rec and PPL: {_listed(of)}"
        for word, of in (("within", near), ("not within", far)) if of
    ]  # fmt: skip
    sentences = [f"On {dataset}, by the paper's arithmetic, {'; '.join(said)}."] if said else []
    if others := _collapsed_otherwise(results, published, dataset, kl, near):
        sentences.append(
            f"On {dataset} what is within {TARGET} % is yet another model, by its KL, collapsed or not: "
            f"{', '.join(others)}."
        )
    weighted = {
        method: {"PPL": value}
        for method, value in _apart(results, published, dataset, EXACT_PPL).items()
        if method.startswith(BASELINE)
    }
    if weighted:
        sentences.append(
            f"On {dataset} the printed PPL of most VAEs is below the paper's own formula, as importance weights make "
            f"it; with them (exact) ours are apart by: {_listed(weighted)}."
        )
    return sentences


def _other_data(results: Results, published: Published, dataset: str) -> str:
    """How the splits differ from those of Table 1; "" where they do not."""
    splits = results.manifests.get(dataset, {}).get("splits", {})
    printed = {row.metric: row.value for row in published.table(DAVAM.name, "1") if row.dataset == dataset}
    differ = [
        f"{splits.get(part, {}).get('texts', 0):,} of the {printed[part]:,.0f} {part} texts"
        for part in ("train", "test")
        if splits.get(part, {}).get("texts") != printed[part]
    ]
    return f"this suite uses {' and '.join(differ)}" if differ else ""


def _apart(results: Results, published: Published, dataset: str, key: str) -> dict[str, float]:
    """Our mean over the printed number, less 1, in per cent; of comparable means of rows that the paper has."""
    found = {}
    for method, measured in results.column(dataset, key).items():
        printed = published.find(dataset, method, key, DAVAM.name, TABLES["2"].number)
        if printed and not measured.problem:
            found[method] = 100 * (measured.estimate.mean / printed.value - 1)
    return found


def _collapsed_otherwise(
    results: Results, published: Published, dataset: str, key: str, methods: Collection[str]
) -> list[str]:
    """Those of which either our KL or the printed one is that of a collapsed model, and the other is not."""
    ours = means(results, dataset, key)
    pairs = {m: published.find(dataset, m, key, DAVAM.name, TABLES["2"].number) for m in methods if m in ours}
    return [
        f"{method} (KL {number(ours[method], 2)}, printed {number(printed.value, 2)})"
        for method, printed in pairs.items()
        if printed and (ours[method] < COLLAPSED) != (printed.value < COLLAPSED)
    ]


def _listed(apart: Mapping[str, Mapping[str, float]]) -> str:
    """``davam-k512 (Rec +1.2 %, PPL −3.4 %), ...``."""
    return ", ".join(
        f"{method} ({', '.join(f'{label} {value:+.1f} %'.replace('-', '−') for label, value in of.items())})"
        for method, of in apart.items()
    )
