"""``bench ls``, ``show`` and ``diff``: the cells of a suite, one cell, and two cells beside each other, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import suite as suites
from bench.errors import BenchError
from bench.files import check
from bench.freeze import PerExample, load_release, per_example
from bench.metrics import signatures
from bench.paths import CellPaths
from bench.record_schema import Record, read_cell
from bench.report.collect import made_by, measure, quantity
from bench.report.layout import shown_columns
from bench.report.model import number
from bench.schema import Suite
from bench.suite import UNTRAINED, Cell

LISTED = ("ppl", "nelbo", "kl", "mi", "au_0.1", "bleu4", "self_bleu4", "dist2", "mauve")
CELL = re.compile(r"(?:(?P<release>[^:]+):)?(?P<dataset>[^/]+)/(?P<method>[^/]+)/(?:seed)?(?P<seed>\d+)")


def ls(suite: Suite, dataset: str = "", method: str = "", root: Path = Path()) -> None:
    """Print a line a cell: how far it is, or that its record is damaged, its main values, and what it took."""
    wanted = [cell for cell in suites.cells(suite) if dataset in ("", cell.dataset) and method in ("", cell.method)]
    if not wanted:
        raise BenchError(f"suite '{suite.name}' has no such cells")
    states = {cell: state(suite, cell, root) for cell in wanted}
    records = {}
    for cell in wanted:
        if states[cell] == "recorded":
            try:
                records[cell] = _read(suite, cell, root)
            except BenchError:  # `bench show` says of what; the other rows are none of its business
                states[cell] = "damaged"
    there = {key for record in records.values() for key in record.values}
    keys = [key for key in LISTED if key in there]
    rows = []
    for cell in wanted:
        values = records[cell].values if cell in records else {}
        shown = [number(values[key].value, 2) if key in values else "" for key in keys]
        rows.append((cell.dataset, cell.method, str(cell.seed), states[cell], *shown, _time(records.get(cell))))
    _print(("dataset", "method", "seed", "state", *(quantity(key).label for key in keys), "took"), rows, numbers=4)
    finished = sum(found == "recorded" for found in states.values())
    print(f"{finished} of {len(wanted)} cells of suite {suite.name} are finished")


def _read(suite: Suite, cell: Cell, root: Path) -> Record:
    """The record of a cell of the run, as it was written."""
    check(root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).record)
    return read_cell(suite.name, cell, root)


def state(suite: Suite, cell: Cell, root: Path = Path()) -> str:
    """How far a cell is, by its files. Whether they are up to date is Snakemake's to say."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    for name, path in (("recorded", paths.record), ("measured", paths.likelihood), ("trained", paths.history)):
        if (root / path).exists():
            return name
    resumed = root / paths.resume / "state.json"
    try:
        return f"training, step {json.loads(resumed.read_text(encoding='utf-8'))['step']:,}"
    except (OSError, ValueError, KeyError, TypeError):
        return "-"


def _time(record: Record | None) -> str:
    """Of all stages, in the largest unit that fits."""
    seconds = sum(cost.wall_s for cost in record.provenance.cost.values()) if record else 0.0
    if not seconds:
        return ""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def show(suite: Suite, name: str, everything: bool = False, root: Path = Path()) -> None:
    """Print what is known of one cell, the values that tables show or all, and the command that makes it again."""
    record, _ = find(suite, name, root)
    print(f"{record.dataset}/{record.method}/seed{record.seed} of suite {record.suite}\n")
    rows = []
    for key in _ordered(record.values, everything):
        value = record.values[key]
        rows.append(
            (key, _digits(value.value), _interval(value.ci95), f"{value.n:,}", quantity(key).unit, value.signature)
        )
    _print(("quantity", "value", "95 % of examples", "n", "unit", "signature"), rows, numbers=1, left=(4, 5))
    made = record.provenance
    git = f"{made.git.sha[:12] or 'none'}{' with uncommitted changes' if made.git.dirty else ''}"
    print(f"\ncommit {git}; data {made.data[:12]}; {made.device}; {made.parameters:,} parameters")
    for what, found in (("code", _code(record)), ("settings", made.settings), ("versions", made.versions)):
        print(f"{what}: " + ", ".join(f"{key} {value}" for key, value in found.items()))
    for stage, cost in made.cost.items():
        speed = f", {cost.tokens_per_s:,.0f} tokens/s" if cost.tokens_per_s else ""
        energy = f", {cost.energy_j / 1000:,.1f} kJ" if cost.energy_j is not None else ""
        print(f"{stage}: {cost.wall_s:,.1f} s, {cost.peak_mb:,.0f} MB{speed}{energy}")
    print(f"\n{made_by(suite, record) if record.suite == suite.name else _elsewhere(record)}")


def _code(record: Record) -> dict[str, str]:
    """Of its stages, then of its metrics' families, where it says."""
    made = record.provenance
    scored = {f"score {family}": of.code for family, of in (made.scores or {}).items() if of.code}
    return {**made.code, **scored}


def _elsewhere(record: Record) -> str:
    """In place of a command, whose suite would be another."""
    return f"made by suite {record.suite}: pass its file as --suite, to see the command that makes the cell again"


def diff(suite: Suite, one: str, other: str, everything: bool = False, root: Path = Path()) -> None:
    """Print two cells beside each other: values with the interval of their difference, and what was not the same."""
    from bench.report.compare.difference import Side, difference

    (first, first_examples), (second, second_examples) = find(suite, one, root), find(suite, other, root)
    rows = []
    for key in _ordered([key for key in first.values if key in second.values], everything):
        sides = []
        for record, examples in ((first, first_examples), (second, second_examples)):
            measured = measure([record], key)
            assert measured is not None
            sides.append(Side(measured, [record.values[key].value], [examples]))
        a, b = (record.values[key] for record in (first, second))
        unlike = signatures.difference(b.signature, a.signature)
        if first.provenance.data != second.provenance.data:
            unlike = "other data"
        shown = (key, _digits(a.value), _digits(b.value))
        if unlike:
            rows.append((*shown, "n/c", "", unlike))
            continue
        found = difference(key, sides[1], sides[0])
        rows.append((*shown, _digits(found.value), _interval(found.interval), found.how))
    _print(("quantity", one, other, "difference", "95 %", "how"), rows, numbers=1, left=(5,))
    for line in _unlike(first, second):
        print(line)


def _unlike(first: Record, second: Record) -> list[str]:
    """What two cells were not made with alike."""
    a, b = first.provenance, second.provenance
    pairs = [("data", a.data[:12], b.data[:12]), ("device", a.device, b.device)]
    parts = [("code", _code(first), _code(second)), ("settings", a.settings, b.settings)]
    for what, mine, theirs in (*parts, ("versions", a.versions, b.versions)):
        pairs += [(f"{what} {key}", mine.get(key, "-"), theirs.get(key, "-")) for key in {**mine, **theirs}]
    return [f"{what}: {left} | {right}" for what, left, right in pairs if left != right]


def find(suite: Suite, name: str, root: Path = Path()) -> tuple[Record, PerExample]:
    """``[RELEASE:]DATASET/METHOD/SEED``: a cell of the suite's run, or one of a frozen release."""
    match = CELL.fullmatch(name)
    if match is None:
        raise BenchError(f"'{name}' names no cell: expected DATASET/METHOD/SEED, or RELEASE:DATASET/METHOD/SEED")
    release, dataset, method, seed = match.group("release", "dataset", "method", "seed")
    cell = Cell(dataset, method, int(seed))
    if release:
        frozen = load_release(release, root).cells
        if cell not in frozen:
            raise BenchError(f"release '{release}' has no cell '{dataset}/{method}/seed{seed}'")
        return frozen[cell].record, frozen[cell].per_example
    for given, known, what in ((dataset, suite.datasets, "dataset"), (method, (*suite.methods, *UNTRAINED), "method")):
        suites.one_of(suite, what, given, known)
    record = _read(suite, cell, root)
    statistics = root / CellPaths(suite.name, dataset, method, int(seed)).likelihood
    check(statistics)
    return record, per_example(record, statistics) if statistics.exists() else {}


def _ordered(keys: Collection[str], everything: bool) -> list[str]:
    """As tables have them, and then, where asked for, the others."""
    first = [column.key for column in shown_columns(keys)]
    return [*first, *(key for key in keys if everything and key not in first)]


def _digits(value: float) -> str:
    return f"{value:.5g}"


def _interval(ends: tuple[float, float] | None) -> str:
    return f"{_digits(ends[0])} to {_digits(ends[1])}" if ends else ""


def _print(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, left: Collection[int] = ()) -> None:
    """A table without borders; columns from the ``numbers``-th on are right-aligned but for those named."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        right = index >= numbers and index not in left
        table.add_column(Text(head), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False, soft_wrap=True, width=1000).print(table)
