"""``reports/table1.*``: the paper-style table, and what each paper's own arithmetic makes of the same models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.report.collect import Measured, Results, gather
from bench.report.layout import PROTOCOLS, Protocol, main_columns
from bench.report.model import NOT_COMPARABLE as NC
from bench.report.model import Cell, Column, Footnotes, Report, Row, RowGroup, Table, number, rank
from bench.report.notes import main_caption, notes, verdicts
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.tidy import HEADER, tidy_rows
from bench.suite import UNTRAINED, Suite

VIEWS = ("exact", "paper", "printed")


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    write(build(gather(suite, report, root), load_published()), out)


def build(results: Results, published: Published) -> Report:
    """The whole report of a finished suite."""
    threeway = [_three_ways(results, published, protocol) for protocol in PROTOCOLS]
    return Report(
        title=f"Suite {results.suite.name}: language modelling and unconditional generation",
        lead=(
            "Every number below was measured by this suite, on the same trained models and the same texts for all "
            "methods of a dataset. Printed numbers are shown only on the datasets of their paper."
        ),
        tables=(_main(results, published), *(table for table in threeway if table is not None)),
        notes=notes(results),
        tidy_header=HEADER,
        tidy_rows=tidy_rows(results, published),
    )


def _main(results: Results, published: Published) -> Table:
    columns, footnotes = main_columns(results.keys()), Footnotes()
    groups = []
    for dataset in results.datasets:
        measured = {column.key: results.column(dataset, column.key) for column in columns}
        by_column = []
        for column in columns:
            cells = _cells(column, results.methods(dataset), measured[column.key], footnotes)
            by_column.append([_beside(cell, published, dataset, method, column.key, footnotes)
                              for method, cell in cells.items()])  # fmt: skip
        groups.append(_group(dataset, results.methods(dataset), by_column))
    return Table(
        name="table1",
        title="Language modelling and unconditional generation",
        caption=main_caption(results, any(cell.printed for g in groups for row in g.rows for cell in row.cells)),
        stub="Method",
        columns=columns,
        groups=tuple(groups),
        footnotes=footnotes.listed(),
    )


def _three_ways(results: Results, published: Published, protocol: Protocol) -> Table | None:
    """exact | a paper's arithmetic | what it prints, side by side; None where nothing was measured that way."""
    keys = set(results.keys())
    printed_datasets = published.datasets(protocol.name) & set(results.datasets)
    measured = [base for base in protocol.quantities if protocol.key(base) in keys]
    if not measured:
        return None
    named = {column.key: column for column in main_columns(protocol.quantities)}
    shown = [base for base in protocol.quantities if base in measured or (printed_datasets and base in keys)]
    columns, footnotes = tuple(_views(named, shown, protocol, keys, bool(printed_datasets))), Footnotes()
    groups = []
    for dataset in results.datasets:
        methods = [method for method in results.methods(dataset) if method not in UNTRAINED]
        by_column = [
            _printed_cells(column, dataset, methods, published, protocol, footnotes)
            if column.label == VIEWS[2]
            else list(_cells(column, methods, results.column(dataset, column.key), footnotes).values())
            for column in columns
        ]
        groups.append(_group(dataset, methods, by_column))
    return Table(
        name=f"three-ways-{protocol.name}",
        title=f"The same models, measured exactly and by {protocol.label}",
        caption=_three_ways_caption(protocol, printed_datasets),
        stub="Method",
        columns=columns,
        groups=tuple(groups),
        paragraphs=(*protocol.why, *verdicts(results, protocol)),
        footnotes=footnotes.listed(),
    )


def _views(
    named: Mapping[str, Column], shown: list[str], protocol: Protocol, keys: set[str], printed: bool
) -> list[Column]:
    """The columns of the three-way table: under each quantity's head, the views of it there are."""
    columns = []
    for base in shown:
        of = named[base]
        for view, key in zip(VIEWS, (base, protocol.key(base), base), strict=True):
            if (view == VIEWS[2] and printed) or (view != VIEWS[2] and key in keys):
                columns.append(Column(key, view, of.head, of.direction, of.digits, arrow=False))
    return columns


def _three_ways_caption(protocol: Protocol, printed_datasets: set[str]) -> str:
    printed = (
        "printed: as in the paper (its own data, splits, tokenizer, pretrained weights and decoding)."
        if printed_datasets
        else "No printed column: the paper prints nothing for these datasets."
    )
    return f"exact: the bound. paper: {protocol.label} on the same statistics of the same models. {printed}"


def _cells(
    column: Column, methods: list[str], measured: Mapping[str, Measured], footnotes: Footnotes
) -> dict[str, Cell]:
    """One column of one dataset: numbers, "-" or "n/c", ranked over trained methods."""
    cells = {method: _cell(measured.get(method), column, footnotes) for method in methods}
    ranked = [None if method in UNTRAINED else cell.value for method, cell in cells.items()]
    emphasis = rank(ranked, column.direction, column.digits)
    return {
        method: Cell(cell.text, cell.value, cell.spread, emphasis=mark, marks=cell.marks)
        for (method, cell), mark in zip(cells.items(), emphasis, strict=True)
    }


def _cell(measured: Measured | None, column: Column, footnotes: Footnotes) -> Cell:
    if measured is None:
        return Cell()
    if measured.problem:
        return Cell(NC, marks=(footnotes.mark(f"not comparable: {measured.problem}"),))
    estimate = measured.estimate
    spread = "" if estimate.half_width is None else number(estimate.half_width, column.digits)
    return Cell(number(estimate.mean, column.digits), estimate.mean, spread)


def _beside(cell: Cell, published: Published, dataset: str, method: str, key: str, footnotes: Footnotes) -> Cell:
    """The cell with the paper's number beside it, where the paper has one."""
    printed = published.find(dataset, method, key)
    if printed is None:
        return cell
    marks = (footnotes.mark(f"of the printed number: {printed.note}"),) if printed.note else ()
    return Cell(cell.text, cell.value, cell.spread, printed.text, cell.emphasis, cell.marks, marks)


def _printed_cells(
    column: Column, dataset: str, methods: list[str], published: Published, protocol: Protocol, footnotes: Footnotes
) -> list[Cell]:
    found = [published.find(dataset, method, column.key, protocol.name) for method in methods]
    return [
        Cell(p.text, p.value, marks=(footnotes.mark(f"of the printed number: {p.note}"),) if p.note else ())
        if p
        else Cell()
        for p in found
    ]


def _group(dataset: str, methods: list[str], by_column: list[list[Cell]]) -> RowGroup:
    """Columns of cells -> rows."""
    rows = zip(*by_column, strict=True) if by_column else [()] * len(methods)
    return RowGroup(
        dataset, tuple(Row(m, tuple(cells), apart=m in UNTRAINED) for m, cells in zip(methods, rows, strict=True))
    )
