"""What the papers claim in words, beside what they print and this suite's own models, measured both ways.

A claim is that one method is beyond all others of its table in one quantity. Of this suite's models it is decided on
the differences between seeds of the same number: it holds, if against every other that has not diverged; fails; or is
open where the 95 % t interval of one reaches over 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.metrics.seeds import Estimate, over_seeds
from bench.report.collect import Results, judge, measure, quantity
from bench.report.model import NOT_COMPARABLE as NC
from bench.report.model import Cell, Column, Footnotes, Row, RowGroup, Table, number
from bench.report.published import Published, printed_as

Outcome = Literal["fails", "one seed: fails", "open", "one seed: holds", "holds"]  # from the worst on
Values = Mapping[int, float]  # seed -> value


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
    groups, footnotes = [], Footnotes()
    for dataset in results.datasets:
        rows = [row(results, published, dataset, claim, footnotes) for claim in CLAIMS]
        groups.append(RowGroup(dataset, tuple(found for found in rows if found)))
    return Table(
        "claims",
        "What the papers claim, of this suite's models",
        "printed: in the paper's table, on the paper's datasets. The other two columns are the same models of this "
        "suite, measured two ways; ± is the 95 % t interval of the difference over seeds. Where a paper has no "
        "arithmetic of its own for a quantity, its column is empty. not here: those of the others that this suite has "
        "not measured; n/c: measured otherwise than the claim's method, see the footnote. survives: whether the claim "
        "holds exactly, against every one of the others that has not diverged, each difference judged by its own "
        "interval; corrected for several tests are the differences of the next table.",
        "Claim",
        COLUMNS,
        tuple(group for group in groups if group.rows),
        footnotes=footnotes.listed(),
    )


def row(results: Results, published: Published, dataset: str, claim: Claim, footnotes: Footnotes) -> Row | None:
    """One claim on one dataset; None where this suite has not measured its method, or no other."""
    measured = beside(results, dataset, claim.exact, claim.method, claim.rivals)
    there = {*measured.values, *measured.refused}
    if claim.method not in there or len(there) < 2:
        return None
    paper, by_paper = view(beside(results, dataset, claim.paper, claim.method, claim.rivals), claim, footnotes)
    exact, exactly = view(measured, claim, footnotes)
    absent = [rival for rival in claim.rivals if rival not in there]
    if absent:
        exactly = replace(exactly, text=f"{exactly.text}; not here: {', '.join(absent)}")
    word = survives(paper, exact, some=bool(absent or measured.refused))
    return Row(f"{claim.source}: {claim.text}", (Cell(printed(published, claim)), by_paper, exactly, Cell(word)))


def view(found: Beside, claim: Claim, footnotes: Footnotes) -> tuple[Outcome | Literal[""], Cell]:
    """What a claim comes out as by one arithmetic; "" where nothing was measured by it, or nothing may be compared."""
    refused = [rival for rival in found.refused if rival != claim.method]
    marks = tuple(dict.fromkeys(footnotes.mark(f"not comparable: {why}") for why in found.refused.values()))
    if claim.method in found.refused or (refused and len(found.values) < 2):
        return "", Cell(NC, marks=marks)
    if claim.method not in found.values or len(found.values) < 2:
        return "", Cell()
    outcome, told = decided(found.values, claim)
    return outcome, Cell(told + (f"; {NC}: {', '.join(refused)}" if refused else ""), marks=marks)


@dataclass(frozen=True)
class Beside:
    """A method and others by one quantity: the values of those measured alike, and why the rest cannot be compared."""

    values: Mapping[str, Values]
    refused: Mapping[str, str]


def beside(results: Results, dataset: str, key: str, method: str, others: Iterable[str]) -> Beside:
    """Of a method and ``others``, as far as they have the quantity; its own signature and data say what is alike.

    Those of the whole column would not do: of another backbone they may be others (``importance_examples``).
    """
    records = {name: results.records.get((dataset, name), ()) for name in (method, *others)}
    judged = judge({name: found for name, of in records.items() if (found := measure(of, key))}, by=[method])
    values = {
        name: {record.seed: record.values[key].value for record in records[name] if key in record.values}
        for name, found in judged.items()
        if not found.problem
    }
    return Beside(values, {name: found.problem for name, found in judged.items() if found.problem})


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


def survives(paper: str, exact: str, some: bool = False) -> str:
    """In a word: of claims that only the paper's arithmetic bears out, that; of ``some`` of the others, that too.

    One of them is enough for a claim to fail; to hold it takes all.
    """
    if not exact:
        return NC
    only = exact.endswith("fails") and paper.endswith("holds")
    word = {"holds": "yes", "fails": "no", "open": "open"}[exact.removeprefix("one seed: ")]
    return ", ".join(filter(None, (
        "no: only by the paper's arithmetic" if only else word,
        "against those here" if some and (only or word == "yes") else "",
        "one seed" if exact.startswith("one seed") else "",
    )))  # fmt: skip


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
