"""What stands beside what: a new method and a frozen one on a dataset, and each quantity's difference or why none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import suite as suites
from bench.errors import BenchError
from bench.freeze import PerExample, Release, per_example
from bench.metrics import signatures
from bench.paths import CellPaths
from bench.record_schema import Record, read_cell
from bench.report.collect import measure, quantity
from bench.report.compare.difference import Difference, Side, difference
from bench.report.tidy import protocol_of
from bench.schema import Decoding, Suite
from bench.suite import UNTRAINED

ALPHA = 0.05
Verdict = Literal["win", "tie", "loss", ""]


@dataclass(frozen=True)
class Method:
    """A method on a dataset: its records and per-example statistics by seed."""

    name: str
    records: Sequence[Record]
    per_example: Sequence[PerExample]

    def side(self, key: str) -> Side | None:
        """What is known of one quantity."""
        measured = measure(self.records, key)
        if measured is None:
            return None
        having = [i for i, record in enumerate(self.records) if key in record.values]
        values = [self.records[i].values[key].value for i in having]
        return Side(measured, values, [self.per_example[i] for i in having])


@dataclass(frozen=True)
class Pair:
    """A new method beside a frozen one."""

    dataset: str
    new: Method
    frozen: Method

    @property
    def records(self) -> tuple[Record, ...]:
        """Of both."""
        return (*self.new.records, *self.frozen.records)


@dataclass(frozen=True)
class Compared:
    """One quantity of a pair. ``problem`` says why there is no difference; ``p`` is corrected, of what counts."""

    key: str
    new: Side | None
    frozen: Side | None
    difference: Difference | None
    problem: str
    p: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What the corrected p says of the new method; "" where there is none."""
        if self.p is None or self.difference is None:
            return ""
        if self.p >= ALPHA:
            return "tie"
        return "win" if (self.difference.value > 0) == (quantity(self.key).direction == "up") else "loss"


@dataclass(frozen=True)
class Comparison:
    """A pair and all its quantities."""

    pair: Pair
    found: Mapping[str, Compared]


def read_pairs(suite: Suite, given: Sequence[str], release: Release, root: Path = Path()) -> list[Pair]:
    """Every pair: methods ``given`` from outside beside all frozen ones, or each of the suite's beside its namesake."""
    return [
        Pair(dataset, new, old)
        for dataset in suite.datasets
        for new in _new(suite, dataset, given, root)
        for old in _beside(frozen(release, dataset), new.name, everything=bool(given))
    ]


def _new(suite: Suite, dataset: str, given: Sequence[str], root: Path) -> list[Method]:
    found = []
    cells = [cell for cell in suites.compared(suite, given) if cell.dataset == dataset]
    for name in dict.fromkeys(cell.method for cell in cells):
        records = [read_cell(suite.name, cell, root) for cell in cells if cell.method == name]
        statistics = []
        for record in records:
            path = root / CellPaths(suite.name, dataset, name, record.seed).likelihood
            statistics.append(per_example(record, path) if path.exists() else {})
        found.append(Method(name, records, statistics))
    return found


def frozen(release: Release, dataset: str) -> list[Method]:
    """Every method of a release on a dataset of which anything is measured, rows without a model among them."""
    cells = [cell for cell, kept in release.cells.items() if cell.dataset == dataset and kept.record.values]
    return [
        Method(
            name,
            [release.cells[cell].record for cell in cells if cell.method == name],
            [release.cells[cell].per_example for cell in cells if cell.method == name],
        )
        for name in dict.fromkeys(cell.method for cell in cells)
    ]


def _beside(methods: Sequence[Method], new: str, everything: bool) -> list[Method]:
    """The frozen rows a method stands beside: its namesake, or all where it has none or comes from outside."""
    trained = [method for method in methods if method.name not in UNTRAINED]
    namesakes = [method for method in trained if method.name == new]
    return trained if everything or not namesakes else namesakes


def compare_quantity(key: str, pair: Pair, suite: Suite, release: Release) -> Compared:
    """One quantity of one pair: its difference, or why there is none."""
    ours, theirs = pair.new.side(key), pair.frozen.side(key)
    if ours is None or theirs is None:
        return Compared(key, ours, theirs, None, "")
    problem = problem_of(pair.dataset, ours, theirs, suite, release)
    return Compared(key, ours, theirs, None if problem else difference(key, ours, theirs), problem)


def problem_of(dataset: str, ours: Side, theirs: Side, suite: Suite, release: Release) -> str:
    """Why two numbers cannot be compared, in words; "" where they can."""
    for side, name in ((ours, "new"), (theirs, "frozen")):
        if side.measured.problem:
            return f"{name}: {side.measured.problem}"
    if ours.measured.data != theirs.measured.data:
        return "the data differ (texts, split or tokenizer: another manifest)"
    apart = signatures.difference(ours.measured.signature, theirs.measured.signature)
    if apart:
        return f"measured differently: {apart}"
    text_metric = protocol_of(theirs.measured.signature, "").startswith("decoding")
    return decoded_otherwise(dataset, suite, release) if text_metric else ""


def decoded_otherwise(dataset: str, suite: Suite, release: Release) -> str:
    """That the texts of the suite and of the release were decoded differently; "" where they were not."""
    here, there = suites.generation_of(suite, dataset).decoding.signature, _decoding(release, dataset)
    return "" if here == there else f"the texts were decoded by {here}, the frozen ones by {there}"


def _decoding(release: Release, dataset: str) -> str:
    try:
        resolved = release.manifest["suite"]["resolved"]
        own = resolved["datasets"].get(dataset, {}).get("decoding")
        return Decoding(**(own or resolved["generation"]["decoding"])).signature
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"release '{release.name}': its decoding is not understood ({error})") from None
