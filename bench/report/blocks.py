"""What tables are made of: columns of cells, ranked; the printed number beside ours; one model measured three ways."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bench.report.collect import Measured, Results
from bench.report.layout import Protocol
from bench.report.model import MISSING, Cell, Column, Footnotes, Row, RowGroup, Table, number, rank
from bench.report.model import NOT_COMPARABLE as NC
from bench.report.notes import fewer_texts, verdicts
from bench.report.published import Printed, Published
from bench.suite import UNTRAINED

VIEWS = ("exact", "paper", "printed")


@dataclass(frozen=True)
class Section:
    """Rows of one dataset under one head: method -> its label. Neighbours of one ``contest`` are ranked together."""

    label: str
    dataset: str
    methods: Mapping[str, str]
    contest: str = ""

    @property
    def trained(self) -> Section:
        """Without the rows that have no model."""
        return replace(self, methods={m: label for m, label in self.methods.items() if m not in UNTRAINED})


def by_dataset(results: Results) -> list[Section]:
    """A section a dataset, methods under their own names."""
    return [Section(dataset, dataset, {m: m for m in results.methods(dataset)}) for dataset in results.datasets]


CellsOf = Callable[[Column, str, Sequence[str]], Mapping[str, Cell]]  # column, dataset, methods -> method -> cell


def body(sections: Sequence[Section], columns: Sequence[Column], cells_of: CellsOf) -> tuple[RowGroup, ...]:
    """The rows of a table."""
    groups = []
    for (dataset, _), contest in groupby(sections, lambda section: (section.dataset, section.contest)):
        together = list(contest)
        methods = [method for section in together for method in section.methods]
        by_column = [cells_of(column, dataset, methods) for column in columns]
        for section in together:
            rows = (
                Row(label, tuple(cells[method] for cells in by_column), apart=method in UNTRAINED)
                for method, label in section.methods.items()
            )
            groups.append(RowGroup(section.label, tuple(rows)))
    return tuple(groups)


def measured_table(
    results: Results,
    published: Published,
    sections: Sequence[Section],
    columns: Sequence[Column],
    paper: str = "della",
    paper_table: str = "",
) -> Table:
    """What this suite measured, with the number that a paper prints (in one of its tables, if named) beside ours.

    Title and caption are the caller's to add.
    """
    footnotes = Footnotes()

    def cells_of(column: Column, dataset: str, methods: Sequence[str]) -> Mapping[str, Cell]:
        cells = measured_cells(column, methods, results.column(dataset, column.key), footnotes)
        return {
            method: _beside(cell, published.find(dataset, method, column.key, paper, paper_table or None), footnotes)
            for method, cell in cells.items()
        }

    groups = body(sections, columns, cells_of)
    return Table("", "", "", "Method", tuple(columns), groups, footnotes=footnotes.listed())


def has_printed(table: Table) -> bool:
    """Whether any cell shows a printed number beside ours."""
    return any(cell.printed for group in table.groups for row in group.rows for cell in row.cells)


def three_ways(
    results: Results,
    published: Published,
    protocol: Protocol,
    sections: Sequence[Section],
    only: Collection[str] | None = None,
    paper_table: str = "",
) -> Table | None:
    """exact | a paper's arithmetic | what it prints, side by side; None where nothing was measured that way.

    ``only`` are the exact quantities there may be, where not all that the arithmetic stands beside.
    """
    keys = set(results.keys())
    there = {row.dataset for row in published.table(protocol.name, paper_table)}
    printed_datasets = (there if paper_table else published.datasets(protocol.name)) & set(results.datasets)
    quantities = [base for base in protocol.quantities if only is None or protocol.exact(base) in only]
    measured = [base for base in quantities if protocol.key(base) in keys]
    if not measured:
        return None
    shown = [base for base in quantities if base in measured or (printed_datasets and protocol.exact(base) in keys)]
    columns, footnotes = _views(shown, protocol, keys, bool(printed_datasets)), Footnotes()

    def cells_of(column: Column, dataset: str, methods: Sequence[str]) -> Mapping[str, Cell]:
        if column.label != VIEWS[2]:
            return measured_cells(column, methods, results.column(dataset, column.key), footnotes)
        found = {m: published.find(dataset, m, column.key, protocol.name, paper_table or None) for m in methods}
        return {method: printed_cell(printed, footnotes) for method, printed in found.items()}

    groups = body([section.trained for section in sections if section.trained.methods], columns, cells_of)
    return without_empty(Table(
        name=f"three-ways-{protocol.name}",
        title=f"The same models, measured exactly and by {protocol.label}",
        caption=" ".join((
            _three_ways_caption(protocol, printed_datasets, paper_table),
            *(fewer_texts(results, protocol) if "ppl" in shown else ()),
        )),
        stub="Method",
        columns=columns,
        groups=groups,
        paragraphs=(*protocol.why, *(verdicts(results, protocol) if "ppl" in shown else ())),
        footnotes=footnotes.listed(),
    ))  # fmt: skip


def _views(shown: list[str], protocol: Protocol, keys: set[str], printed: bool) -> tuple[Column, ...]:
    """The columns of the three-way table: under each quantity's head, the views of it there are."""
    columns = []
    for base in shown:
        of, exact = protocol.columns[base], protocol.exact(base)
        for view, key in zip(VIEWS, (exact, protocol.key(base), exact), strict=True):
            if (view == VIEWS[2] and printed) or (view != VIEWS[2] and key in keys):
                columns.append(Column(key, view, of.head, of.direction, of.digits, arrow=False))
    return tuple(columns)


def _three_ways_caption(protocol: Protocol, printed_datasets: set[str], paper_table: str) -> str:
    where = f"paper's table {paper_table}" if paper_table else "paper"
    printed = (
        "printed: as in the paper (its own data, splits, tokenizer, pretrained weights and decoding)."
        if printed_datasets
        else f"No printed column: the {where} prints nothing for these datasets."
    )
    return f"exact: the bound. paper: {protocol.label} on the same statistics of the same models. {printed}"


def measured_cells(
    column: Column, methods: Sequence[str], measured: Mapping[str, Measured], footnotes: Footnotes
) -> dict[str, Cell]:
    """One column of one contest: numbers, "-" or "n/c", ranked over trained methods."""
    cells = {method: _cell(measured.get(method), column, footnotes) for method in methods}
    ranked = [None if method in UNTRAINED else cell.value for method, cell in cells.items()]
    emphasis = rank(ranked, column.direction, column.digits)
    return {method: replace(cell, emphasis=mark) for (method, cell), mark in zip(cells.items(), emphasis, strict=True)}


def _cell(measured: Measured | None, column: Column, footnotes: Footnotes) -> Cell:
    if measured is None:
        return Cell()
    if measured.problem:
        return Cell(NC, marks=(footnotes.mark(f"not comparable: {measured.problem}"),))
    estimate = measured.estimate
    spread = "" if estimate.half_width is None else number(column.scale * estimate.half_width, column.digits)
    shown = column.scale * estimate.mean
    return Cell(number(shown, column.digits), shown, spread)


def _beside(cell: Cell, printed: Printed | None, footnotes: Footnotes) -> Cell:
    """The cell with the paper's number beside it, where the paper has one."""
    if printed is None:
        return cell
    marks = (footnotes.mark(f"of the printed number: {printed.note}"),) if printed.note else ()
    return replace(cell, printed=printed.text, printed_marks=marks)


def printed_cell(printed: Printed | None, footnotes: Footnotes, about: str = "of the printed number: ") -> Cell:
    """A cell that holds a printed number; "-" where the paper has none. Its footnote begins with what it is about."""
    if printed is None:
        return Cell()
    marks = (footnotes.mark(f"{about}{printed.note}"),) if printed.note else ()
    return Cell(printed.text, printed.value, marks=marks)


def without_empty(table: Table) -> Table:
    """The table without columns that have "-" in every row, and then without rows that have it in every column."""

    def filled(cell: Cell) -> bool:
        return cell.text != MISSING or bool(cell.printed)

    rows = [row for group in table.groups for row in group.rows]
    kept = [i for i in range(len(table.columns)) if any(filled(row.cells[i]) for row in rows)]
    groups = (
        RowGroup(
            group.label,
            tuple(
                replace(row, cells=tuple(row.cells[i] for i in kept))
                for row in group.rows
                if any(map(filled, row.cells))
            ),
        )
        for group in table.groups
    )
    columns = tuple(table.columns[i] for i in kept)
    return replace(table, columns=columns, groups=tuple(group for group in groups if group.rows))
