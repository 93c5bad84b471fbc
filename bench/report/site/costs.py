"""What each cell of a site took, and all of them together, by what their records say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.record_schema import Cost, Record
from bench.report.blocks import without_empty
from bench.report.model import Cell, Column, Row, RowGroup, Table, number
from bench.suite import UNTRAINED

Key = tuple[str, str, int]  # dataset, method, seed
Stages = Mapping[tuple[Key, str], Cost]  # "train", "likelihood", "generate", and "generate greedy" of a decoding
COLUMNS = (
    Column("train_s", "Time, s", "Training"),
    Column("tokens_per_s", "Tokens/s", "Training"),
    Column("likelihood_s", "Likelihood, s", "Evaluation"),
    Column("generate_s", "Generation, s", "Evaluation"),
    Column("wall_s", "Time, s", "All stages"),
    Column("peak_mb", "Peak memory, MB", "All stages"),
    Column("gpu_peak_mb", "Of a GPU, MB", "All stages"),
    Column("energy", "Energy, kJ", "All stages"),
    Column("gpu_energy", "Of GPUs, kJ", "All stages"),
    Column("parameters", "Parameters", "Model"),
    Column("device", "Device", "Model", align="left"),
)
CAPTION = (
    "A row a trained cell. Time: of the process that trains, measures the likelihood or generates (by every decoding), "
    "beside whatever else ran on the machine; scoring and reports, which take seconds, are not in it. Peak memory: of "
    "the largest process; of a GPU, of its tensors. Energy: what the machine's processors used meanwhile by their own "
    "counters, other processes included; of GPUs, the job's own. -: not measured, or not to be read on that machine."
)


def costs(records: Iterable[Record]) -> Table | None:
    """The table of all trained cells, and their sum; None where there is none."""
    stages: dict[tuple[Key, str], Cost] = {}
    about: dict[Key, Record] = {}
    for record in records:
        if record.method in UNTRAINED:
            continue
        key = (record.dataset, record.method, record.seed)
        about.setdefault(key, record)
        for stage, cost in record.provenance.cost.items():  # of a decoding by name: training again, and its own texts
            stages[key, f"{stage} {record.decoding}" if stage == "generate" and record.decoding else stage] = cost
    if not stages:
        return None
    rows = {
        key: _row(record, {at: cost for at, cost in stages.items() if at[0] == key}) for key, record in about.items()
    }
    groups = [
        RowGroup(dataset, tuple(row for key, row in rows.items() if key[0] == dataset))
        for dataset in dict.fromkeys(key[0] for key in rows)
    ]
    together = _together(stages)
    total = Row("sum, and peak", tuple(together.get(column.key, Cell()) for column in COLUMNS), apart=True)
    table = Table(
        name="cost-table",
        title="What each cell took",
        caption=CAPTION,
        stub="Cell",
        columns=COLUMNS,
        groups=(*groups, RowGroup("all", (total,))),
        paragraphs=(_said(len(rows), stages),),
    )
    return without_empty(table)


def _row(record: Record, stages: Stages) -> Row:
    made = record.provenance
    cells = {
        **_together(stages),
        "tokens_per_s": _shown(_sum(_of("train", stages), "tokens_per_s"), 0),
        "parameters": Cell(f"{made.parameters:,}", made.parameters),
        "device": Cell(made.device),
    }
    return Row(f"{record.method} · seed {record.seed}", tuple(cells[column.key] for column in COLUMNS))


def _together(stages: Stages) -> dict[str, Cell]:
    """Sums, and the peak, over stages."""
    costs = list(stages.values())
    on_gpu = [cost for cost in costs if cost.gpu_peak_mb is not None]
    energy, of_gpus = _sum(costs, "energy_j"), _sum(on_gpu, "gpu_energy_j")
    return {
        **{f"{name}_s": _shown(_sum(_of(name, stages), "wall_s"), 1) for name in ("train", "likelihood", "generate")},
        "wall_s": _shown(_sum(costs, "wall_s"), 1),
        "peak_mb": _shown(max(cost.peak_mb for cost in costs), 0),
        "gpu_peak_mb": _shown(max((cost.gpu_peak_mb or 0 for cost in on_gpu), default=None), 0),
        "energy": _shown(None if energy is None else energy / 1000, 2),
        "gpu_energy": _shown(None if of_gpus is None else of_gpus / 1000, 2),
    }


def _of(stage: str, stages: Stages) -> list[Cost]:
    return [cost for (*_, name), cost in stages.items() if name.partition(" ")[0] == stage]


def _sum(costs: Iterable[Cost], key: str) -> float | None:
    """Over all of them; None where one is not known, or there is none."""
    found = [getattr(cost, key) for cost in costs]
    return None if None in found or not found else sum(found)


def _shown(value: float | None, digits: int) -> Cell:
    return Cell() if value is None else Cell(number(value, digits), value)


def _said(cells: int, every: Stages) -> str:
    seconds, energy = _sum(every.values(), "wall_s") or 0.0, _sum(every.values(), "energy_j")
    took = f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.1f} minutes"
    used = "could not be read"
    if energy is not None:
        used = f"was {energy / 1000:,.1f} kJ, of all that the machine's processors did during each stage"
    return f"The {cells} trained cells took {took}, stages one after the other. Their energy {used}."
