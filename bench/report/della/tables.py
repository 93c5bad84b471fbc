"""``reports/della/table1`` to ``table9``: the result tables of the DELLA paper, on the datasets of the suite.

First what this suite measured, in the paper's columns; then the same models by the paper's arithmetic; then the paper's
own numbers on its own data.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench import suite as suites
from bench.report.blocks import Section, has_printed, measured_table, three_ways, without_empty
from bench.report.collect import Results, gather
from bench.report.della.findings import findings
from bench.report.della.paper import TABLES, PaperTable, named, printed_table, row_label, trick_label
from bench.report.layout import PROTOCOLS, Protocol, protocol_columns
from bench.report.model import Column, Report, Table
from bench.report.notes import main_caption, notes
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.tidy import HEADER, printed_rows, tidy_rows
from bench.schema import Suite
from bench.suite import UNTRAINED

DELLA = next(protocol for protocol in PROTOCOLS if protocol.name == "della")
WITHOUT_PPL = (  # Tables 2 and 9 have no likelihood
    "Two numbers for one trained model. The exact columns are sums over all latent groups. DELLA's arithmetic, as in "
    "its released code, averages KL and active units over layers: with L groups (della) it shows 1/L of either, with "
    "one (embed, memory, softmax) nothing changes.",
)


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    paper = TABLES[report.removeprefix("della/table")]
    write(build(gather(suite, report, root), load_published(), paper), out)


def build(results: Results, published: Published, paper: PaperTable) -> Report:
    """The whole report."""
    keys = set(results.keys())
    columns = tuple(column for column in paper.ours if column.key in keys)
    measured = _measured(results, published, paper, columns)
    ways = three_ways(results, published, _arithmetic(paper), sections(results, paper), paper.quantities, paper.number)
    shown = (*measured.columns, *(protocol_columns(DELLA, keys & paper.quantities, keys) if ways else ()))
    return Report(
        title=f"Suite {results.suite.name}, after Table {paper.number} of DELLA: {paper.title}",
        lead=(
            "The paper's columns, measured by this suite on its own datasets: the same trained models and the same "
            "texts for all methods of a dataset. Last the paper's own table, on the paper's data."
        ),
        tables=tuple(table for table in (measured, ways, printed_table(published, paper)) if table is not None),
        notes=notes(results, shown),
        tidy_header=HEADER,
        tidy_rows=(
            *tidy_rows(results, published, [column.key for column in paper.ours], paper.number),
            *printed_rows(published, "della", paper.number),
        ),
    )


def _measured(results: Results, published: Published, paper: PaperTable, columns: tuple[Column, ...]) -> Table:
    table = measured_table(results, published, sections(results, paper), columns, paper.number)
    table = without_empty(table)
    apart = {row.label for group in table.groups for row in group.rows if row.apart}
    caption = main_caption(results, has_printed(table), apart)
    if paper.number == "5":
        caption += " Ranked among the models of one backbone."
    return replace(
        table,
        name=f"della-table{paper.number}",
        title=f"Measured by this suite: {paper.title}",
        caption=caption,
        paragraphs=(paper.rows,) if paper.rows else (),
        findings=findings(results, paper.number),
    )


def _arithmetic(paper: PaperTable) -> Protocol:
    return DELLA if "ppl" in paper.quantities else replace(DELLA, why=WITHOUT_PPL)


def sections(results: Results, paper: PaperTable) -> list[Section]:
    """Rows grouped as in the paper: by dataset, Table 5 also by model, and by backbone where a row has its own."""
    if paper.number != "5":
        return [
            Section(
                dataset, dataset, {method: _label(row_label(method), method) for method in results.methods(dataset)}
            )
            for dataset in results.datasets
        ]
    return [section for dataset in results.datasets for section in _by_model(results, dataset)]


def _by_model(results: Results, dataset: str) -> list[Section]:
    common = suites.backbone_of(results.suite, dataset)
    models: dict[str, dict[str, str]] = {}
    backbones: dict[str, dict[str, str]] = {}
    for method in results.methods(dataset):
        own = common if method in UNTRAINED else suites.backbone_of(results.suite, dataset, method)
        model = method.partition("+")[0]
        if own != common:
            size = f"backbone of {own.layers} layers, width {own.width} (above: {common.layers}, {common.width})"
            backbones.setdefault(size, {})[method] = _label(row_label(model), method)
        else:
            models.setdefault(row_label(model), {})[method] = _label(trick_label(method), method)
    return [
        *(Section(f"{dataset}: {label}", dataset, found) for label, found in models.items()),
        *(Section(f"{dataset}: {label}", dataset, found, contest=label) for label, found in backbones.items()),
    ]


def _label(label: str, method: str) -> str:
    return method if method in UNTRAINED else named(label, method)
