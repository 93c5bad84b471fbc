"""``reports/davam/table2``: Rec, PPL and KL of every row as printed, by the paper's arithmetic, and exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.errors import BenchError
from bench.report.blocks import Section, body, measured_cells, printed_cell, without_empty
from bench.report.collect import Results, gather, quantity
from bench.report.davam.findings import findings
from bench.report.davam.paper import DAVAM, LIKELIHOOD, TABLES
from bench.report.model import Cell, Column, Footnotes, Report, Table
from bench.report.notes import fewer_texts, main_caption, notes
from bench.report.papers.paper import PaperColumn, by_dataset, printed_by_dataset, printed_table
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.tidy import HEADER, printed_rows, tidy_rows
from bench.schema import Suite

TABLE = TABLES["2"]
VIEWS = ("printed", "paper", "exact")
CAPTION = "printed: the paper's number, one run on the paper's own data (-: not printed)."


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    results = gather(suite, report, root)
    if not {key for column in LIKELIHOOD for key in _keys(column)[1:]} & set(results.keys()):
        raise BenchError(f"report '{report}' needs the metrics elbo, iw or paper:davam, which '{suite.name}' has not")
    write(build(results, load_published()), out)


def build(results: Results, published: Published) -> Report:
    """The whole report."""
    sections = [section.trained for section in by_dataset(results, DAVAM)]
    table = _by_view(results, published, sections)
    beside = "as the paper prints it, " if _has_printed(table) else ""
    first = [key for column in LIKELIHOOD for key in _keys(column)[1:]]
    return Report(
        title=f"Suite {results.suite.name}, after Table 2 of DAVAM: {TABLE.title}",
        lead=(
            f"The paper's columns, each number {beside}by the paper's arithmetic on the models of this suite, and "
            "exactly on the same models. Last the paper's own table."
        ),
        tables=(
            replace(table, findings=findings(results, published)),
            printed_table(published, DAVAM, TABLE, printed_by_dataset(published, DAVAM, TABLE.number)),
        ),
        notes=notes(results, _noted(results)),
        tidy_header=HEADER,
        tidy_rows=(
            *tidy_rows(results, published, first, DAVAM.name, TABLE.number),
            *printed_rows(published, DAVAM.name, TABLE.number),
        ),
    )


def _keys(column: PaperColumn) -> tuple[str, str, str]:
    """The keys of the three views of a column; the first is no quantity."""
    (exact,) = column.ours
    return f"printed/{column.metric}", DAVAM.protocol.key(column.metric), exact


def _has_printed(table: Table) -> bool:
    return any(column.key.startswith("printed/") for column in table.columns)


def _by_view(results: Results, published: Published, sections: Sequence[Section]) -> Table:
    footnotes, columns = Footnotes(), []
    for given in LIKELIHOOD:
        of = quantity(given.ours[0])
        head = Column("", given.label, direction=of.direction).head
        columns += [
            Column(key, view, head, of.direction, given.digits, arrow=False)
            for key, view in zip(_keys(given), VIEWS, strict=True)
        ]

    def cells_of(column: Column, dataset: str, methods: Sequence[str]) -> Mapping[str, Cell]:
        kind, _, metric = column.key.partition("/")
        if kind != "printed":
            return measured_cells(column, methods, results.column(dataset, column.key), footnotes)
        key = DAVAM.protocol.key(metric)
        found = {method: published.find(dataset, method, key, DAVAM.name, TABLE.number) for method in methods}
        return {method: printed_cell(printed, footnotes) for method, printed in found.items()}

    table = without_empty(Table(
        name="davam-table2",
        title="The same models by two arithmetics",
        caption=" ".join((*fewer_texts(results, DAVAM.protocol), main_caption(results, False, ()))),
        stub="Method",
        columns=tuple(columns),
        groups=body(sections, columns, cells_of),
        paragraphs=TABLE.why,
        footnotes=footnotes.listed(),
    ))  # fmt: skip
    if not _has_printed(table):
        return table
    return replace(table, title=f"{table.title}, beside what the paper prints", caption=f"{CAPTION} {table.caption}")


def _noted(results: Results) -> list[Column]:
    """What is measured, under names that say by which arithmetic."""
    there = set(results.keys())
    return [
        Column(key, f"{column.label}, {view}")
        for column in LIKELIHOOD
        for key, view in zip(_keys(column)[1:], VIEWS[1:], strict=True)
        if key in there
    ]
