"""``reports/trace/table2``, ``3`` and ``5``: the result tables of the TRACE paper, on the datasets of the suite."""

from __future__ import annotations

from pathlib import Path

from bench.report.collect import Results, gather
from bench.report.model import Report
from bench.report.papers import tables
from bench.report.papers.paper import PaperTable, by_dataset, printed_by_dataset
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.trace.findings import findings
from bench.report.trace.paper import TABLES, TRACE
from bench.schema import Suite


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    table = TABLES[report.removeprefix("trace/table")]
    write(build(gather(suite, report, root), load_published(), table), out)


def build(results: Results, published: Published, table: PaperTable) -> Report:
    """The whole report."""
    ours, theirs = by_dataset(results, TRACE), printed_by_dataset(published, TRACE, table.number)
    return tables.build(TRACE, table, results, published, ours, theirs, findings(results, table.number))
