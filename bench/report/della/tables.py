"""``reports/della/table1`` to ``table9``: the result tables of the DELLA paper, on the datasets of the suite."""

from __future__ import annotations

from pathlib import Path

from bench import suite as suites
from bench.report.blocks import Section
from bench.report.collect import Results, gather
from bench.report.della.findings import findings
from bench.report.della.paper import DATASETS, DELLA, TABLES, row_label, trick_label
from bench.report.model import Report
from bench.report.papers import tables
from bench.report.papers.paper import PaperTable, by_dataset, named, printed_by_dataset, printed_methods
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.schema import Suite
from bench.suite import UNTRAINED

TRICKED = "5"  # the table that is grouped by model
MEDIUM = "medium"


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    table = TABLES[report.removeprefix("della/table")]
    write(build(gather(suite, report, root), load_published(), table), out)


def build(results: Results, published: Published, table: PaperTable) -> Report:
    """The whole report."""
    ours, theirs = by_dataset(results, DELLA), printed_by_dataset(published, DELLA, table.number)
    if table.number == TRICKED:
        ours, theirs = _by_model(results), _printed_by_model(published)
    return tables.build(DELLA, table, results, published, ours, theirs, findings(results, table.number))


def _by_model(results: Results) -> list[Section]:
    """Rows grouped by dataset and model, and by backbone where a row has its own."""
    return [section for dataset in results.datasets for section in _models_of(results, dataset)]


def _models_of(results: Results, dataset: str) -> list[Section]:
    common = suites.backbone_of(results.suite, dataset)
    models: dict[str, dict[str, str]] = {}
    backbones: dict[str, dict[str, str]] = {}
    for method in results.methods(dataset):
        own = common if method in UNTRAINED else suites.backbone_of(results.suite, dataset, method)
        model = method.partition("+")[0]
        if own != common:
            size = f"backbone of {own.layers} layers, width {own.width} (above: {common.layers}, {common.width})"
            backbones.setdefault(size, {})[method] = named(row_label(model), method)
        else:
            models.setdefault(row_label(model), {})[method] = named(trick_label(method), method)
    return [
        *(Section(f"{dataset}: {label}", dataset, found) for label, found in models.items()),
        *(Section(f"{dataset}: {label}", dataset, found, contest=label) for label, found in backbones.items()),
    ]


def _printed_by_model(published: Published) -> list[Section]:
    """The printed rows, grouped likewise."""
    sections = []
    for dataset, methods in printed_methods(published, DELLA, TRICKED).items():
        groups: dict[str, dict[str, str]] = {}
        for method in methods:
            model, _, tricks = method.partition("+")
            if tricks == MEDIUM:
                groups.setdefault("GPT-2 medium (24 layers)", {})[method] = row_label(model)
            else:
                groups.setdefault(row_label(model), {})[method] = trick_label(method)
        name = DATASETS.get(dataset, dataset)
        sections += [Section(f"{name}: {label}", dataset, found) for label, found in groups.items()]
    return sections
