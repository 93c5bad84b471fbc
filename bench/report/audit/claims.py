"""What the papers claim in words, beside what they print and this suite's own models, measured both ways.

A claim is that one method is beyond all others of its table in one quantity. Of this suite's models it is decided on
the differences between seeds of the same number: it holds, if against every other that has not diverged; fails; or is
open where the 95 % t interval of one reaches over 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.metrics.seeds import Estimate, over_seeds
from bench.report.collect import Results, quantity
from bench.report.model import Cell, Column, Row, RowGroup, Table, number
from bench.report.published import Published, printed_as

Outcome = Literal["fails", "one seed: fails", "open", "one seed: holds", "holds"]  # from the worst on


@dataclass(frozen=True)
class Claim:
    """``method`` is best of its table in ``exact``; ``paper`` is that by the paper's own arithmetic, if it has one."""

    source: str
    table: str
    text: str
    method: str
    rivals: tuple[str, ...]
    exact: str
    paper: str = ""
    up: bool = False


_VAES = ("optimus", "embed", "memory", "softmax")
_TRACE = ("gpt2", "ind", "cgd", "no-recurrence")
_LSTM = tuple(f"lstm-vae{kind}" for kind in ("", "+anneal", "+cyclic", "+aggressive", "+fbp", "+pretraining+fbp"))

CLAIMS = (
    Claim("della", "1", "DELLA models language best", "della", ("gpt2", *_VAES), "ppl", "paper:della/ppl"),
    Claim("della", "1", "DELLA's bound is the lowest", "della", _VAES, "nelbo", "paper:della/nelbo"),
    Claim("della", "1", "DELLA keeps the highest KL", "della", _VAES, "kl", "paper:della/kl", up=True),
    Claim("della", "1", "DELLA keeps the highest MI", "della", _VAES, "mi", "paper:della/mi", up=True),
    Claim("della", "1", "DELLA's texts repeat each other least", "della", ("gpt2", *_VAES), "self_bleu4"),
    Claim("trace", "2", "TRACE-R models language best", "trace-r", _TRACE, "ppl", "paper:trace/ppl"),
    Claim("trace", "2", "TRACE-R keeps the highest MI", "trace-r", _TRACE, "mi", "paper:trace/mi", up=True),
    Claim("trace", "2", "TRACE-R's texts repeat each other least", "trace-r", _TRACE, "self_bleu4"),
    Claim("trace", "2", "TRACE-R's texts have most different n-grams", "trace-r", _TRACE, "dist2", up=True),
    Claim("davam", "2", "DAVAM (K = 512) models language best", "davam-k512", ("lstm-lm", *_LSTM, "gavam", "davam-q"),
          "ppl_word", "paper:davam/ppl"),
    Claim("davam", "2", "DAVAM (K = 512) reconstructs best", "davam-k512", (*_LSTM, "gavam", "davam-q"), "rec"),
)  # fmt: skip

COLUMNS = (
    Column("printed", "printed", "Against the others", align="left", wrap=True),
    Column("paper", "by the paper's arithmetic", "Against the others", align="left", wrap=True),
    Column("exact", "exactly", "Against the others", align="left", wrap=True),
    Column("survives", "survives", align="left"),
)


def held(results: Results, published: Published) -> Table:
    """Every claim whose method and at least one of whose rivals this suite has, a dataset after the other."""
    groups = []
    for dataset in results.datasets:
        there = set(results.methods(dataset))
        rows = [row(results, published, dataset, claim) for claim in CLAIMS if claim.method in there]
        groups.append(RowGroup(dataset, tuple(found for found in rows if found)))
    return Table(
        "claims",
        "What the papers claim, of this suite's models",
        "printed: in the paper's table, on the paper's datasets. The other two columns are the same models of this "
        "suite, measured two ways; ± is the 95 % t interval of the difference over seeds. Where a paper has no "
        "arithmetic of its own for a quantity, its column is empty. survives: whether the claim holds exactly, against "
        "every one of the others that has not diverged, each difference judged by its own interval; corrected for "
        "several tests are the differences of the next table.",
        "Claim",
        COLUMNS,
        tuple(group for group in groups if group.rows),
    )


def row(results: Results, published: Published, dataset: str, claim: Claim) -> Row | None:
    """One claim on one dataset; None where this suite has not measured it."""
    exact = seeds_of(results, dataset, claim, claim.exact)
    paper = seeds_of(results, dataset, claim, claim.paper) if claim.paper else {}
    if claim.method not in exact or len(exact) < 2:
        return None
    cells = [printed(published, claim)]
    outcomes = []
    for seeds in (paper, exact):
        outcome, told = decided(seeds, claim) if claim.method in seeds and len(seeds) > 1 else ("", "-")
        outcomes.append(outcome)
        cells.append(told)
    return Row(f"{claim.source}: {claim.text}", tuple(map(Cell, (*cells, survives(*outcomes)))))


def seeds_of(results: Results, dataset: str, claim: Claim, key: str) -> dict[str, dict[int, float]]:
    """Of the claim's method and its rivals alone."""
    found = by_seed(results, dataset, key)
    return {method: found[method] for method in (claim.method, *claim.rivals) if method in found}


def by_seed(results: Results, dataset: str, key: str) -> dict[str, dict[int, float]]:
    """Method -> seed -> value, of the methods that may be compared."""
    return {
        method: {r.seed: r.values[key].value for r in results.records[dataset, method] if key in r.values}
        for method, measured in results.column(dataset, key).items()
        if not measured.problem
    }


def decided(seeds: Mapping[str, Mapping[int, float]], claim: Claim) -> tuple[Outcome, str]:
    """Whether the claim holds against every rival: the values of the best of them, and of the one that decides it.

    Against one that diverged in some seeds it is open; one that diverged in all is left out where there are others.
    """
    sign = 1 if claim.up else -1
    means = {method: over_seeds(list(values.values())).mean for method, values in seeds.items()}
    rivals = [method for method in means if method != claim.method]
    judged = [method for method in rivals if any(map(math.isfinite, seeds[method].values()))] or rivals
    judged.sort(key=lambda method: (not math.isfinite(means[method]), -sign * means[method]))
    found = {rival: against(seeds[claim.method], seeds[rival], sign) for rival in judged}
    decisive = min(judged, key=lambda rival: get_args(Outcome).index(found[rival][0]))  # the best of several
    told = [f"{rival} {means[rival]:.2f}{found[rival][1]}" for rival in dict.fromkeys((judged[0], decisive))]
    told += [f"{rival} diverged" for rival in rivals if rival not in judged]
    return found[decisive][0], f"{means[claim.method]:.2f}, {', '.join(told)}"


def against(ours: Mapping[int, float], theirs: Mapping[int, float], sign: int) -> tuple[Outcome, str]:
    """Whether our values are beyond a rival's by more than seeds make them differ, and the difference; by seed."""
    difference = paired(ours, theirs)
    ahead = sign * difference.mean > 0
    if not math.isfinite(difference.mean):  # a model that diverged, or no seed that both have
        return "open", ""
    if difference.n < 2 or difference.half_width is None:
        return ("one seed: holds" if ahead else "one seed: fails"), ""
    told = f" (difference {difference.mean:+.2f} ± {number(difference.half_width, 2)}, {difference.n} seeds)"
    if abs(difference.mean) <= difference.half_width:
        return "open", told
    return ("holds" if ahead else "fails"), told


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Estimate:
    """The mean difference over the seeds that both have, with its t interval."""
    return over_seeds([one[seed] - other[seed] for seed in sorted({*one} & {*other})] or [float("nan")])


def survives(paper: str, exact: str) -> str:
    """In a word: of claims that only the paper's arithmetic bears out, that."""
    if exact.endswith("fails") and paper.endswith("holds"):
        return "no: only by the paper's arithmetic" + (", one seed" if exact.startswith("one seed") else "")
    word = {"holds": "yes", "fails": "no", "open": "open"}
    outcome = exact.removeprefix("one seed: ")
    return word[outcome] + (", one seed" if exact.startswith("one seed") else "")


def printed(published: Published, claim: Claim) -> str:
    """The printed numbers that the claim rests on, of every dataset of the table."""
    rows = published.table(claim.source, claim.table)
    told = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        metric = printed_as(claim.exact, dataset, claim.source)
        found = {row.method: row for row in rows if (row.dataset, row.metric) == (dataset, metric)}
        others = [found[method] for method in claim.rivals if method in found]
        if claim.method in found and others:
            best = _extreme(others, claim.up)
            told.append(f"{dataset} {found[claim.method].text}, {best.method} {best.text}")
    return "; ".join(told) or f"no {quantity(claim.exact).label} printed"


def _extreme(rows: Sequence, up: bool):
    return (max if up else min)(rows, key=lambda row: row.value)
