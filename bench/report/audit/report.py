"""``reports/audit``: every rule with the printed numbers that break it, then every claim with this suite's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.report.audit.baseline import beside_lm
from bench.report.audit.claims import held
from bench.report.audit.rules import RULES, Finding, Rule
from bench.report.collect import Results, gather
from bench.report.model import Cell, Column, Report, Row, RowGroup, Table
from bench.report.notes import notes
from bench.report.papers.known import label
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.schema import Suite

SUMMARY = (
    Column("checked", "rows checked", digits=0),
    *(
        Column(verdict, verdict, "Findings", digits=0)
        for verdict in ("cannot hold", "another quantity", "contradicts", "repeated", "possible")
    ),
)
FOUND = (
    Column("printed", "printed", align="left", wrap=True),
    Column("arithmetic", "arithmetic", align="left", wrap=True),
    Column("verdict", "verdict", align="left"),
)
HEADER = ("rule", "paper", "table", "dataset", "method", "printed", "arithmetic", "verdict")
LEAD = (
    "Part one holds every number that the three papers print against what must be true of it, from the printed "
    "numbers alone. cannot hold: no model and no data give this number under its head. another quantity: it is not "
    "what its head says, and the arithmetic says what it may be. contradicts: what is printed elsewhere says "
    "otherwise. repeated: it stands in two places. possible: unusual, and not wrong. Part two holds what the papers "
    "claim against this suite's models, and each of them against the plain language model."
)


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    write(build(gather(suite, report, root), load_published()), out)


def build(results: Results, published: Published) -> Report:
    """The whole report."""
    found = {rule: list(rule.find(published)) for rule in RULES}
    broken = {rule: [finding for finding in checked if finding] for rule, checked in found.items()}
    claims, beside = held(results, published), beside_lm(results)
    return Report(
        title=f"The audit of published numbers and claims, beside suite {results.suite.name}",
        lead=LEAD,
        tables=(
            _summary({rule: len(checked) for rule, checked in found.items()}, broken),
            *(_findings(rule, findings) for rule, findings in broken.items() if findings),
            *([claims] if claims.groups else []),
            *([beside] if beside else []),
        ),
        notes=notes(results, ()),
        tidy_header=HEADER,
        tidy_rows=tuple(
            (rule.name, *finding.at, finding.printed, finding.arithmetic, finding.verdict)
            for rule, findings in broken.items()
            for finding in findings
        ),
    )


def _summary(checked: dict[Rule, int], broken: dict[Rule, list[Finding]]) -> Table:
    rows = []
    for rule, findings in broken.items():
        counts = [sum(finding.verdict == column.key for finding in findings) for column in SUMMARY[1:]]
        rows.append(Row(rule.title, tuple(Cell(str(n) if n else "-") for n in (checked[rule], *counts))))
    return Table(
        "audit-summary", "What was checked", "Each rule is explained below, with its findings.", "Rule", SUMMARY,
        (RowGroup("", tuple(rows)),),
    )  # fmt: skip


def _findings(rule: Rule, findings: Sequence[Finding]) -> Table:
    places = dict.fromkeys(finding.at[:2] for finding in findings)
    groups = [
        RowGroup(
            f"{label(paper)}, {_section(table)}",
            tuple(
                Row(f"{found.at[2]}: {found.at[3]}", tuple(map(Cell, (found.printed, found.arithmetic, found.verdict))))
                for found in findings
                if found.at[:2] == (paper, table)
            ),
        )
        for paper, table in places
    ]
    return Table(f"audit-{rule.name}", rule.title, rule.why, "Row", FOUND, tuple(groups))


def _section(table: str) -> str:
    return f"Table {table}" if table.isdigit() else f"Sec. {table}"  # appendices too
