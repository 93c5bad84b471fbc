"""Records of a run -> what was measured of each (dataset, method) over its seeds, and whether it may be compared."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from bench import registry
from bench.files import read_json
from bench.metrics import signatures
from bench.metrics.base import Quantity
from bench.metrics.seeds import Estimate, over_seeds
from bench.paths import RUNS, CellPaths
from bench.record_schema import Record, read_cell
from bench.schema import Suite
from bench.suite import UNTRAINED, cells, select, untrained

Key = tuple[str, str]  # (dataset, method)
TAKEN = RUNS / "taken.json"  # beside what was taken from releases in place of a run: see :class:`Taken`


@dataclass(frozen=True)
class Measured:
    """One quantity of one (dataset, method).

    ``ci95`` is sampling uncertainty: the ends of the seeds' intervals, averaged. ``problem`` says why the number
    cannot stand beside others of its column; "" where it can.
    """

    estimate: Estimate
    ci95: tuple[float, float] | None
    n: int
    signature: str
    data: str
    note: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Taken:
    """The frozen releases that stand in place of a run, none for one, and what of a report they have not whole."""

    releases: Sequence[str] = ()
    methods: Sequence[str] = ()  # of which they lack a dataset or seed
    datasets: Sequence[str] = ()  # of which they have nothing


@dataclass(frozen=True)
class Results:
    """The records that a report shows, by (dataset, method) in its order, the data manifests, and whence they are."""

    suite: Suite
    records: Mapping[Key, tuple[Record, ...]]
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    taken: Taken = Taken()

    @property
    def datasets(self) -> list[str]:
        """Datasets, in the suite's order."""
        return list(dict.fromkeys(dataset for dataset, _ in self.records))

    def methods(self, dataset: str) -> list[str]:
        """Trained methods, then the rows without a model."""
        return [method for at, method in self.records if at == dataset]

    def keys(self) -> list[str]:
        """Every quantity that any record has, in order of appearance."""
        found = (key for records in self.records.values() for record in records for key in record.values)
        return list(dict.fromkeys(found))

    def column(self, dataset: str, key: str) -> dict[str, Measured]:
        """One quantity of every method of a dataset that has it, judged against the column's own signature and data."""
        measured = {method: measure(self.records[dataset, method], key) for method in self.methods(dataset)}
        return judge({method: value for method, value in measured.items() if value is not None})


def gather(suite: Suite, report: str, root: Path = Path(), decoding: str = "") -> Results:
    """Read the record of every cell of a report; one that is missing or broken is a :class:`BenchError`.

    Methods stand in the order the report names them. Of a named ``decoding``, records have text metrics alone; rows
    without a model are not drawn and stand beside every decoding as they are.
    """
    found: dict[Key, list[Record]] = {}
    trained = [replace(cell, decoding=decoding) for cell in cells(suite, report)]
    beside = untrained(suite, report)
    order = select(suite, report).methods
    for dataset in dict.fromkeys(cell.dataset for cell in trained):
        of = [cell for cell in (*trained, *beside) if cell.dataset == dataset]
        of.sort(key=lambda cell: order.index(cell.method) if cell.method in order else len(order))
        for cell in of:
            found.setdefault((dataset, cell.method), []).append(read_cell(suite.name, cell, root))
    manifests = {}
    for dataset in dict.fromkeys(dataset for dataset, _ in found):
        path = root / CellPaths(suite.name, dataset, "", 0).manifest
        if path.exists():
            manifests[dataset] = read_json(path, "manifest")
    return Results(suite, {key: tuple(records) for key, records in found.items()}, manifests, taken(root))


def taken(root: Path) -> Taken:
    """From which releases what lies under ``root`` is; from none where it was run there."""
    return Taken(**read_json(root / TAKEN, "releases")) if (root / TAKEN).exists() else Taken()


def measure(records: Sequence[Record], key: str) -> Measured | None:
    """One quantity over the seeds of a method; None where no seed has it."""
    having = [record for record in records if key in record.values]
    if not having:
        return None
    values = [record.values[key] for record in having]
    intervals = [value.ci95 for value in values if value.ci95 is not None]
    ci95 = None
    if len(intervals) == len(values):
        low, high = (over_seeds([ends[side] for ends in intervals]).mean for side in (0, 1))
        ci95 = (low, high)
    problems = [signatures.difference(value.signature, values[0].signature) for value in values]
    problem = next((f"its seeds differ: {text}" for text in problems if text), "")
    if len({record.provenance.data for record in having}) > 1:
        problem = "its seeds were run on different data"
    return Measured(
        estimate=over_seeds([value.value for value in values]),
        ci95=ci95,
        n=values[0].n,
        signature=values[0].signature,
        data=having[0].provenance.data,
        note="; ".join(dict.fromkeys(value.note for value in values if value.note)),
        problem=problem,
    )


def judge(column: Mapping[str, Measured], by: Collection[str] = ()) -> dict[str, Measured]:
    """Refuse to mix: a value whose signature or data differ from the column's gets a ``problem`` that says how.

    The methods ``by`` decide what the column's are, by default all trained ones; human text has no vote.
    """
    deciding = [method for method in column if (method in by if by else method not in UNTRAINED)]
    voters = [column[method] for method in deciding if not column[method].problem]
    if not voters:
        return dict(column)
    data = max((m.data for m in voters), key=[m.data for m in voters].count)
    signature = signatures.prevailing([m.signature for m in voters if m.data == data])

    def problem(measured: Measured) -> str:
        if measured.problem:
            return measured.problem
        if measured.data != data:
            return "it was run on other data"
        return signatures.difference(measured.signature, signature)

    return {method: replace(measured, problem=problem(measured)) for method, measured in column.items()}


def made_by(suite: Suite, record: Record) -> str:
    """The command that makes one cell of a suite again."""
    file, methods = suite.source
    config = [f"suite={file}", *([f"method={json.dumps(methods)}"] if methods else [])]
    target = CellPaths(record.suite, record.dataset, record.method, record.seed, record.decoding).record
    return f"snakemake --cores 2 --config {shlex.join(config)} -- {shlex.quote(str(target))}"


@cache
def registered() -> dict[str, Quantity]:
    """Every registered quantity by key."""
    return {q.key: q for name in registry.metrics() for q in registry.load_metric(name).quantities}


def quantity(key: str) -> Quantity:
    """A registered quantity; of a key that no metric here registers, only its name is known."""
    return registered().get(key) or Quantity(key, key, "none", "", "", (float("-inf"), float("inf")), "")


def by_text(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """(who, text) -> text: [who, ...], both in order of appearance, empty texts left out."""
    found: dict[str, list[str]] = {}
    for who, text in pairs:
        if text:
            found.setdefault(text, []).append(who)
    return found
