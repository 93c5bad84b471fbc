"""``reports/della/table6``: what training cost, as measured, and relative to the model without a latent variable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import suite as suites
from bench.metrics.seeds import Estimate, over_seeds
from bench.record_schema import Cost, Record
from bench.report.blocks import without_empty
from bench.report.collect import Results, gather
from bench.report.della.paper import DATASETS, row_label
from bench.report.model import Cell, Column, Footnotes, Report, Row, RowGroup, Table, number
from bench.report.notes import data_notes, note_groups, provenance_notes
from bench.report.papers.paper import as_printed, named
from bench.report.published import Printed, Published, load_published
from bench.report.render import write
from bench.schema import Suite
from bench.suite import UNTRAINED

PLAIN = ("gpt2", "bart")  # the language models that the others' cost is compared with
HEADER = ("dataset", "method", "quantity", "unit", "value", "half_width", "n_seeds", "published", "published_note")


@dataclass(frozen=True)
class Measure:
    """One measured quantity of a training run."""

    key: str
    label: str
    unit: str
    digits: int
    of: Callable[[Cost], float | None]


MEASURES = (
    Measure("wall_s", "Time, s", "s", 1, lambda cost: cost.wall_s),
    Measure("tokens_per_s", "Tokens/s", "tokens/s", 0, lambda cost: cost.tokens_per_s),
    Measure("peak_mb", "Peak memory, MB", "MB", 0, lambda cost: cost.peak_mb),
    Measure("gpu_peak_mb", "Of a GPU, MB", "MB", 0, lambda cost: cost.gpu_peak_mb),
)
COLUMNS = (
    Column("wall_s", "Time, s", "Training"),
    Column("ratio", "Time / plain model", "Training"),
    Column("steps", "Steps", "Training"),
    Column("tokens_per_s", "Tokens/s", "Training"),
    Column("peak_mb", "Peak memory, MB", "Training"),
    Column("gpu_peak_mb", "Of a GPU, MB", "Training"),
    Column("parameters", "Parameters", "Model"),
    Column("device", "Device", "Model", align="left"),
)


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    write(build(gather(suite, report, root), load_published()), out)


def build(results: Results, published: Published) -> Report:
    """The whole report."""
    return Report(
        title=f"Suite {results.suite.name}, after Table 6 of DELLA: training cost",
        lead=(
            "What training each model took here, and the GPU hours that the paper prints for DELLA. Hardware, model "
            "size, data and number of steps differ: the two tables are not to be compared."
        ),
        tables=(_measured(results), printed(published)),
        notes=note_groups(Data=data_notes(results.datasets, results.manifests), Provenance=provenance_notes(results)),
        tidy_header=HEADER,
        tidy_rows=(*_tidy(results), *_tidy_printed(published)),
    )


def estimate(records: Sequence[Record], measure: Measure) -> Estimate | None:
    """One measure over the seeds of a method; None where it was not taken of all."""
    costs = [record.provenance.cost.get("train") for record in records]
    values = [None if cost is None else measure.of(cost) for cost in costs]
    found = [value for value in values if value is not None]
    return over_seeds(found) if found and len(found) == len(values) else None


def steps(results: Results, dataset: str, method: str) -> int | None:
    """Optimiser steps of a stage of training: whole batches of an epoch (``bench.batch``) times epochs.

    None where neither the batches of an epoch nor the epochs are known before: batches of one length or of so many
    tokens, a schedule that validation ends.
    """
    texts = results.manifests.get(dataset, {}).get("splits", {}).get("train", {}).get("texts")
    plan = suites.training_of(results.suite, dataset, method)
    if texts is None or plan.batches != "pools" or plan.decay == "plateau":
        return None
    return int(texts // plan.batch_size * plan.epochs)


def ratios(results: Results, dataset: str) -> dict[str, float]:
    """Training time over that of the plain language model, by method; empty where the report has no such model."""
    times = {method: estimate(results.records[dataset, method], MEASURES[0]) for method in _trained(results, dataset)}
    plain = next((times[method] for method in PLAIN if times.get(method)), None)
    if plain is None or not plain.mean:
        return {}
    return {method: time.mean / plain.mean for method, time in times.items() if time is not None}


def _trained(results: Results, dataset: str) -> list[str]:
    return [method for method in results.methods(dataset) if method not in UNTRAINED]


def _measured(results: Results) -> Table:
    groups = []
    for dataset in results.datasets:
        taken = ratios(results, dataset)
        rows = (
            Row(named(row_label(method), method), _cells(results, dataset, method, taken.get(method)))
            for method in _trained(results, dataset)
        )
        groups.append(RowGroup(dataset, tuple(rows)))
    table = Table(
        name="della-table6",
        title="Measured by this suite: training cost",
        caption=_caption(any(cell.spread for group in groups for row in group.rows for cell in row.cells)),
        stub="Method",
        columns=COLUMNS,
        groups=tuple(groups),
        findings=tuple(_findings(results)),
    )
    return without_empty(table)


def _caption(spread: bool) -> str:
    return ("Mean ± half-width of the 95 % t interval over seeds. " if spread else "") + (
        "Time: the whole training job, validation terms of the learning curve included, beside whatever else ran on "
        "the machine; of an interrupted job without what was lost. Time / plain model: over that of gpt2 or bart on "
        "the same dataset. Steps: of the optimiser, in a stage of training. Peak memory: of the process; of a GPU, "
        "of its tensors. -: not measured."
    )


def _cells(results: Results, dataset: str, method: str, ratio: float | None) -> tuple[Cell, ...]:
    records = results.records[dataset, method]
    cells = {measure.key: _estimated(estimate(records, measure), measure.digits) for measure in MEASURES}
    taken = steps(results, dataset, method)
    cells["steps"] = Cell() if taken is None else Cell(f"{taken:,}", taken)
    cells["ratio"] = Cell() if ratio is None else Cell(number(ratio, 2), ratio)
    parameters = records[0].provenance.parameters
    cells["parameters"] = Cell(f"{parameters:,}", parameters)
    cells["device"] = Cell(", ".join(dict.fromkeys(record.provenance.device for record in records)))
    return tuple(cells[column.key] for column in COLUMNS)


def _estimated(measured: Estimate | None, digits: int) -> Cell:
    if measured is None:
        return Cell()
    spread = "" if measured.half_width is None else number(measured.half_width, digits)
    return Cell(number(measured.mean, digits), measured.mean, spread)


def _findings(results: Results) -> list[str]:
    """DELLA's training time and parameters against the plain model's (the limitation in A.7)."""
    found = []
    for dataset in results.datasets:
        taken = ratios(results, dataset)
        plain = next((method for method in PLAIN if method in taken), None)
        if plain and "della" in taken:
            sizes = [results.records[dataset, method][0].provenance.parameters for method in ("della", plain)]
            found.append(
                f"On {dataset} training della takes {taken['della']:.2f} times the time of {plain}, with "
                f"{sizes[0] / sizes[1]:.2f} times its parameters."
            )
    return found


def printed(published: Published) -> Table:
    """GPU hours as printed, and the parameter counts of A.1, which are by kind of generation."""
    footnotes = Footnotes()
    columns = (Column("gpu_hours", "GPU hours"), Column("parameters", "Parameters"))
    rows = tuple(
        Row(
            DATASETS.get(row.dataset, row.dataset),
            tuple(as_printed(row, footnotes) if row.metric == column.key else Cell() for column in columns),
        )
        for row in _printed_rows(published)
    )
    return Table(
        name="della-table6-printed",
        title="As the paper prints it: DELLA, Table 6",
        caption=(
            "Printed by Hu et al. 2022, Table 6 and A.1, not measured here: GPU hours of training DELLA on an RTX "
            "3090 from pretrained GPT-2 or BART-base, on the paper's own data. -: not printed."
        ),
        stub="Dataset",
        columns=columns,
        groups=(RowGroup("", rows),),
        footnotes=footnotes.listed(),
    )


def _printed_rows(published: Published) -> list[Printed]:
    parameters = (row for row in published.table("della", "A.1") if row.metric == "parameters")
    return [*published.table("della", "6"), *parameters]


def _tidy(results: Results) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for dataset in results.datasets:
        taken = ratios(results, dataset)
        for method in _trained(results, dataset):
            in_steps = steps(results, dataset, method)
            records = results.records[dataset, method]
            measured = [(m.key, m.unit, estimate(records, m)) for m in MEASURES]
            single = {"ratio": taken.get(method), "steps": in_steps, "parameters": records[0].provenance.parameters}
            alone = [(key, "1", None if value is None else Estimate(value, None, len(records)))
                     for key, value in single.items()]  # fmt: skip
            for key, unit, value in (*measured, *alone):
                if value is not None:
                    half = "" if value.half_width is None else repr(value.half_width)
                    rows.append((dataset, method, key, unit, repr(value.mean), half, str(value.n), "", ""))
    return rows


def _tidy_printed(published: Published) -> list[tuple[str, ...]]:
    units = {"gpu_hours": "h", "parameters": "1"}
    return [
        (row.dataset, row.method, row.metric, units[row.metric], "", "", "", row.text, row.note)
        for row in _printed_rows(published)
    ]
