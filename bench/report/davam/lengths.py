"""``reports/davam/table4`` and ``table5``: texts of given lengths, each drawn by a named decoding of the suite.

A row a length, a column a method; below Table 4, Rec: "as it is an inevitable trade-off between language modeling and
generation, we also report the reconstruction loss" (Sec. IV-C).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench import suite as suites
from bench.errors import BenchError
from bench.metrics.likelihood_file import LikelihoodFile
from bench.metrics.seeds import Estimate, over_seeds
from bench.paths import CellPaths
from bench.report.blocks import has_printed, measured_cells, printed_cell
from bench.report.collect import Results, gather, quantity
from bench.report.davam.paper import DAVAM, TABLES, alone
from bench.report.model import Cell, Column, Footnotes, Report, Row, RowGroup, Table, number, rank
from bench.report.notes import notes
from bench.report.papers.findings import these
from bench.report.papers.paper import PaperTable
from bench.report.papers.tables import drawn_by
from bench.report.published import Printed, Published, load_published
from bench.report.render import write
from bench.report.tidy import HEADER, printed_rows, tidy_rows
from bench.schema import Suite
from bench.suite import HUMAN, UNTRAINED

LEADS = {
    "4": "How likely a fixed pretrained language model finds texts of each length, in nats a token (lower is better), "
    "and what reconstruction costs.",
    "5": "How different the texts of each length are from each other.",
}
Recs = Mapping[tuple[str, str], Estimate]  # (dataset, method) -> its Rec over seeds


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    table = TABLES[report.removeprefix("davam/table")]
    names = suites.select(suite, report).decodings or [""]
    found = {name: drawn_by(name, gather(suite, report, root, decoding=name)) for name in names}
    if not any(table.quantities & set(results.keys()) for results in found.values()):
        metric = {"4": "fluency", "5": "entropy and distinct"}[table.number]
        raise BenchError(f"report '{report}' needs the metric {metric}, which suite '{suite.name}' has not")
    recs = read_recs(suite, report, root) if table.number == "4" else {}
    write(build(table, found, load_published(), recs), out)


def read_recs(suite: Suite, report: str, root: Path = Path()) -> Recs:
    """Mean Rec of each method, from the statistics of its cells: no decoding has anything to do with it."""
    found: dict[tuple[str, str], list[float]] = {}
    for cell in suites.cells(suite, report):
        path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).likelihood
        found.setdefault((cell.dataset, cell.method), []).append(float(LikelihoodFile.read(path).rec.mean()))
    return {key: over_seeds(values) for key, values in found.items()}


def build(table: PaperTable, found: Mapping[str, Results], published: Published, recs: Recs) -> Report:
    """The whole report; ``found`` are the results of each decoding, by its name in the suite."""
    first = next(iter(found.values()))
    keys = [column.key for column in table.ours]
    return Report(
        title=f"Suite {first.suite.name}, after Table {table.number} of DAVAM: {table.title}",
        lead=" ".join((LEADS[table.number], *table.why, "Last the paper's own table.")),
        tables=(*_measured(table, found, published, recs), _printed(table, published)),
        notes=tuple(group for group in notes(first, table.ours) if group.title != "Protocol"),
        tidy_header=HEADER,
        tidy_rows=(
            *(
                row
                for results in found.values()
                for row in tidy_rows(results, published, keys, DAVAM.name, table.number)
            ),
            *printed_rows(published, DAVAM.name, table.number),
        ),
    )


def lengths_of(found: Mapping[str, Results]) -> dict[str, str]:
    """The length of the texts of each decoding, in words; its name where it sets none."""
    return {
        name: str((results.suite.decodings[name].words if name else None) or name or "any")
        for name, results in found.items()
    }


def labels_of(found: Mapping[str, Results]) -> dict[str, str]:
    """The same, and the decoding's name behind a length that more than one of them has."""
    lengths = lengths_of(found)
    several = {length for length in lengths.values() if list(lengths.values()).count(length) > 1}
    return {name: f"{length} ({name})" if length in several else length for name, length in lengths.items()}


def _measured(table: PaperTable, found: Mapping[str, Results], published: Published, recs: Recs) -> list[Table]:
    """A table a dataset: its methods are its columns."""
    first = next(iter(found.values()))
    return [_of_dataset(table, dataset, found, published, recs) for dataset in first.datasets]


def _of_dataset(
    table: PaperTable, dataset: str, found: Mapping[str, Results], published: Published, recs: Recs
) -> Table:
    first, footnotes = next(iter(found.values())), Footnotes()
    methods = [method for method in first.methods(dataset) if method not in UNTRAINED]
    printed = {(r.method, r.metric): r for r in published.table(DAVAM.name, table.number) if r.dataset == dataset}
    lengths, labels = lengths_of(found), labels_of(found)
    rows = [
        Row(labels[name], _row(table, results, dataset, methods, printed, f"@length-{lengths[name]}", footnotes))
        for name, results in found.items()
    ]
    if recs:
        of = {method: recs[dataset, method] for method in methods}
        rows.append(Row("Rec", _rec_row(of, printed, footnotes), apart=True))
    groups = (RowGroup("", tuple(rows)),)
    columns = _columns(table.ours, {method: alone(method) for method in methods})
    made = Table(f"davam-table{table.number}-{dataset}", "", "", "Words a text", columns, groups)
    return replace(
        made,
        title=f"Measured by this suite: {dataset}",
        caption=_caption(first, has_printed(made), bool(recs)),
        paragraphs=tuple(_human(table, first, dataset)),
        footnotes=footnotes.listed(),
        findings=tuple(
            _best(column, dataset, {labels[name]: of for name, of in found.items()}) for column in table.ours
        ),
    )


def _columns(quantities: Sequence[Column], labels: Mapping[str, str]) -> tuple[Column, ...]:
    """A column a method, or under each method's head one a quantity."""
    if len(quantities) == 1:
        return tuple(Column(f"{method}/{quantities[0].key}", label) for method, label in labels.items())
    return tuple(
        Column(f"{method}/{of.key}", of.label, label, of.direction, of.digits)
        for method, label in labels.items()
        for of in quantities
    )


def _row(
    table: PaperTable, results: Results, dataset: str, methods: Sequence[str],
    printed: Mapping[tuple[str, str], Printed], of_length: str, footnotes: Footnotes,
) -> tuple[Cell, ...]:  # fmt: skip
    """The cells of one length, ranked among methods."""
    by_quantity = [
        {
            method: _beside(cell, printed.get((method + of_length, given.metric)), footnotes)
            for method, cell in measured_cells(column, methods, results.column(dataset, column.key), footnotes).items()
        }
        for given, column in zip(table.columns, table.ours, strict=True)
    ]
    return tuple(cells[method] for method in methods for cells in by_quantity)


def _rec_row(
    recs: Mapping[str, Estimate], printed: Mapping[tuple[str, str], Printed], footnotes: Footnotes
) -> tuple[Cell, ...]:
    emphasis = rank([rec.mean for rec in recs.values()], "down", 2)
    return tuple(
        _beside(
            Cell(
                number(rec.mean, 2),
                rec.mean,
                "" if rec.half_width is None else number(rec.half_width, 2),
                emphasis=mark,
            ),
            printed.get((method, "rec")),
            footnotes,
        )
        for (method, rec), mark in zip(recs.items(), emphasis, strict=True)
    )


def _caption(results: Results, printed: bool, recs: bool) -> str:
    sentences = [
        f"At most {results.suite.generation.samples} texts a cell of each length. Best in bold, second underlined, "
        "within a row."
    ]
    if any(len(records) > 1 for records in results.records.values()):
        sentences.append("Mean ± half-width of the 95 % t interval over seeds.")
    if recs:
        sentences.append("Rec: nats a test text, whatever its length.")
    if printed:
        sentences.append("In parentheses: the number the paper prints.")
    return " ".join(sentences)


def _human(table: PaperTable, results: Results, dataset: str) -> list[str]:
    """What held-out human texts have, which no decoding gives a length."""
    found = {column: results.column(dataset, column.key).get(HUMAN) for column in table.ours}
    said = [
        f"{column.label} {number(column.scale * of.estimate.mean, column.digits)}" for column, of in found.items() if of
    ]
    return [f"Held-out human texts, of whatever length they are: {', '.join(said)}."] if said else []


def _best(column: Column, dataset: str, by_label: Mapping[str, Results]) -> str:
    """``On bbe Dist-2 is the highest for a at 10 and 20 words, for b at 30 words.``"""
    found: dict[str, list[str]] = {}
    for label, results in by_label.items():
        of = {
            method: float(number(column.scale * v.estimate.mean, column.digits).replace("∞", "inf"))
            for method, v in results.column(dataset, column.key).items()
            if method not in UNTRAINED and not v.problem
        }
        best = (max if column.direction == "up" else min)(of.values(), default=None)
        found.setdefault(these(m for m in of if of[m] == best) if of else "none", []).append(label)
    most = "highest" if column.direction == "up" else "lowest"
    said = [f"for {methods} at {these(labels)} words" for methods, labels in found.items()]
    return f"On {dataset} {column.label} is the {most} {', '.join(said)}."


def _printed(table: PaperTable, published: Published) -> Table:
    """The table as the paper prints it, in the same form."""
    footnotes = Footnotes()
    at = {(row.method, row.metric): row for row in published.table(DAVAM.name, table.number)}
    methods = list(dict.fromkeys(method.partition("@")[0] for method, _ in at))
    lengths = list(dict.fromkeys(method.partition("@")[2] for method, _ in at if "@" in method))
    theirs = [Column(c.metric, c.label, "", quantity(c.ours[0]).direction) for c in table.columns]

    def cell(method: str, metric: str) -> Cell:
        std = at.get((method, "gpt2_ppl_std"))
        return replace(printed_cell(at.get((method, metric)), footnotes, about=""), spread=std.text if std else "")

    rows = [
        Row(of.rpartition("-")[2], tuple(cell(f"{m}@{of}", column.key) for m in methods for column in theirs))
        for of in lengths
    ]
    if any(metric == "rec" for _, metric in at):
        rows.append(Row("Rec", tuple(cell(method, "rec") for method in methods), apart=True))
    return Table(
        name=f"davam-table{table.number}-printed",
        title=f"As the paper prints it: DAVAM, Table {table.number}",
        caption=(
            f"Printed by {DAVAM.source}, Table {table.number}, not measured here: {table.setting}. The paper's own "
            "data, one run; not to be compared with the tables above."
        ),
        stub="Length",
        columns=_columns(theirs, {method: alone(method, True) for method in methods}),
        groups=(RowGroup("", tuple(rows)),),
        footnotes=footnotes.listed(),
    )


def _beside(cell: Cell, printed: Printed | None, footnotes: Footnotes) -> Cell:
    """The cell with the paper's number beside it, where the paper has one."""
    if printed is None:
        return cell
    theirs = printed_cell(printed, footnotes)
    return replace(cell, printed=theirs.text, printed_marks=theirs.marks)
