"""What stands beside what: a new method and a frozen one on a dataset, and each quantity's difference or why none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import suite as suites
from bench.errors import BenchError
from bench.freeze import PerExample, Release, load_release, per_example
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
    """A new method beside a frozen one of a release."""

    dataset: str
    new: Method
    frozen: Method
    release: Release

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


def read_pairs(suite: Suite, given: Sequence[str], releases: Sequence[Release], root: Path = Path()) -> list[Pair]:
    """Every pair: methods ``given`` from outside beside all frozen ones, or each of the suite's beside its namesake."""
    return [
        Pair(dataset, new, old, release)
        for dataset in suite.datasets
        for new in _new(suite, dataset, given, root)
        for old, release in _beside(frozen(releases, dataset), new.name, everything=bool(given))
    ]


def load_releases(names: Sequence[str], root: Path = Path()) -> list[Release]:
    """Frozen releases whose rows stand in one table, without those that hold histories and no values.

    :class:`BenchError`: two have a method of one dataset.
    """
    releases = [load_release(name, root) for name in names]
    held: dict[tuple[str, str], int] = {}  # which release is the first that has it
    for i, release in enumerate(releases):
        for cell in release.cells:
            first = held.setdefault((cell.dataset, cell.method), i)
            if first != i and cell.method not in UNTRAINED:
                where, other = f"{cell.dataset}/{cell.method}", releases[first].name
                raise BenchError(f"release '{release.name}': {where} is in '{other}' too; compare with one of them")
    return [release for release in releases if any(kept.record.values for kept in release.cells.values())]


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


def frozen(releases: Sequence[Release], dataset: str) -> list[tuple[Method, Release]]:
    """Every method of releases on a dataset of which anything is measured, rows without a model among them."""
    found = []
    for release in releases:
        cells = [cell for cell, kept in release.cells.items() if cell.dataset == dataset and kept.record.values]
        for name in dict.fromkeys(cell.method for cell in cells):
            kept = [release.cells[cell] for cell in cells if cell.method == name]
            found.append((Method(name, [of.record for of in kept], [of.per_example for of in kept]), release))
    return found


def _beside(methods: Sequence[tuple[Method, Release]], new: str, everything: bool) -> list[tuple[Method, Release]]:
    """The frozen rows a method stands beside: its namesake, or all where it has none or comes from outside."""
    trained = [(method, release) for method, release in methods if method.name not in UNTRAINED]
    namesakes = [(method, release) for method, release in trained if method.name == new]
    return trained if everything or not namesakes else namesakes


def compare_quantity(key: str, pair: Pair, suite: Suite) -> Compared:
    """One quantity of one pair: its difference, or why there is none."""
    ours, theirs = pair.new.side(key), pair.frozen.side(key)
    if ours is None or theirs is None:
        return Compared(key, ours, theirs, None, "")
    problem = problem_of(pair, ours, theirs, suite)
    return Compared(key, ours, theirs, None if problem else difference(key, ours, theirs), problem)


def problem_of(pair: Pair, ours: Side, theirs: Side, suite: Suite) -> str:
    """Why two numbers cannot be compared, in words; "" where they can."""
    for side, name in ((ours, "new"), (theirs, "frozen")):
        if side.measured.problem:
            return f"{name}: {side.measured.problem}"
    if ours.measured.data != theirs.measured.data:
        return "the data differ (texts, split or tokenizer: another manifest)"
    apart = signatures.difference(ours.measured.signature, theirs.measured.signature)
    if apart:
        return f"measured differently: {apart}"
    if pair.new.name == pair.frozen.name and _exact(ours) != _exact(theirs):
        # no signature tells: beside other methods an exact number and a bound are what a table is for
        return f"one is exact and the other a bound (new: {ours.measured.note}; frozen: {theirs.measured.note})"
    if not protocol_of(theirs.measured.signature, "").startswith("decoding"):
        return ""
    here, there = suites.generation_of(suite, pair.dataset).decoding.signature, decoding(pair.release, pair.dataset)
    return "" if here == there else f"the texts were decoded by {here}, the frozen ones by {there}"


def _exact(side: Side) -> bool:
    return side.measured.note.startswith("exact")


def decoding(release: Release, dataset: str) -> str:
    """How the texts of a release were decoded, as a signature says it."""
    try:
        resolved = release.manifest["suite"]["resolved"]
        own = resolved["datasets"].get(dataset, {}).get("decoding")
        return Decoding(**(own or resolved["generation"]["decoding"])).signature
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"release '{release.name}': its decoding is not understood ({error})") from None
