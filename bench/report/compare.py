"""``reports/compare.*``: a method's records beside the rows of a frozen release, nothing of which is trained again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import suite as suites
from bench.errors import BenchError
from bench.freeze import PerExample, Release, load_release, per_example
from bench.metrics import signatures
from bench.paths import CellPaths
from bench.record_schema import Record, read_cell
from bench.report.collect import measure, quantity
from bench.report.difference import Difference, Side, difference
from bench.report.layout import shown_columns
from bench.report.model import MISSING, Cell, Column, Footnotes, Note, NoteGroup, Report, Row, RowGroup, Table, number
from bench.report.model import NOT_COMPARABLE as NC
from bench.report.render import write
from bench.report.tidy import protocol_of
from bench.schema import Decoding, Suite
from bench.suite import UNTRAINED

FORMATS = ("md", "csv", "html")
SETTINGS = ("backbone", "training", "likelihood", "generation")  # parts of a suite whose differences are told
COLUMNS = (
    Column("frozen", "frozen"),
    Column("new", "new"),
    Column("difference", "new - frozen"),
    Column("interval", "95 % interval"),
    Column("better", "better", align="left"),
    Column("how", "how", align="left"),
)
HEADER = (
    "dataset", "new_method", "frozen_method", "quantity", "new", "new_half_width", "new_n_seeds", "frozen",
    "frozen_half_width", "frozen_n_seeds", "difference", "low", "high", "how", "better", "not_comparable",
    "new_signature", "frozen_signature",
)  # fmt: skip


@dataclass(frozen=True)
class Method:
    """One side of a comparison: a method on a dataset, its records and per-example statistics by seed."""

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
class Compared:
    """One quantity of a pair of methods; ``problem`` says why there is no difference."""

    key: str
    new: Side | None
    frozen: Side | None
    difference: Difference | None
    problem: str

    @property
    def better(self) -> str:
        """Which side the interval favours; "" where neither direction is better or there is no interval."""
        direction = quantity(self.key).direction
        if self.difference is None or self.difference.interval is None or direction == "none":
            return ""
        low, high = self.difference.interval
        if low <= 0 <= high:
            return "undecided"
        return "new" if (low > 0) == (direction == "up") else "frozen"


def compare(suite_path: str, uses: tuple[str, ...], release: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .html: the methods of ``uses`` (or of the suite) beside the release."""
    suite, frozen = suites.load(suite_path, uses), load_release(release, root)
    given = [name for name, _ in map(suites.named_spec, uses)]
    pairs = [
        (dataset, new, old)
        for dataset in suite.datasets
        for new in _new(suite, dataset, given, root)
        for old in _frozen(frozen, dataset, new.name, everything=bool(given))
    ]
    if not pairs:
        raise BenchError(f"release '{release}' has no dataset of suite '{suite.name}': nothing to compare")
    write(build(suite, frozen, pairs), out, FORMATS)


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


def _frozen(release: Release, dataset: str, new: str, everything: bool) -> list[Method]:
    """The frozen rows a method stands beside: its namesake, or all where it has none or comes from outside."""
    cells = [cell for cell in release.cells if cell.dataset == dataset and cell.method not in UNTRAINED]
    names = list(dict.fromkeys(cell.method for cell in cells))
    chosen = [new] if new in names and not everything else names
    return [
        Method(
            name,
            [release.cells[cell].record for cell in cells if cell.method == name],
            [release.cells[cell].per_example for cell in cells if cell.method == name],
        )
        for name in chosen
    ]


def compare_quantity(key: str, dataset: str, new: Method, old: Method, suite: Suite, release: Release) -> Compared:
    """One quantity of one pair: its difference, or why there is none."""
    ours, theirs = new.side(key), old.side(key)
    if ours is None or theirs is None:
        return Compared(key, ours, theirs, None, "")
    problem = _problem(dataset, ours, theirs, suite, release)
    return Compared(key, ours, theirs, None if problem else difference(key, ours, theirs), problem)


def _problem(dataset: str, ours: Side, theirs: Side, suite: Suite, release: Release) -> str:
    """Why two numbers cannot be compared, in words; "" where they can."""
    for side, name in ((ours, "new"), (theirs, "frozen")):
        if side.measured.problem:
            return f"{name}: {side.measured.problem}"
    if ours.measured.data != theirs.measured.data:
        return "the data differ (texts, split or tokenizer: another manifest)"
    apart = signatures.difference(ours.measured.signature, theirs.measured.signature)
    if apart:
        return f"measured differently: {apart}"
    here = suites.generation_of(suite, dataset).decoding.signature
    there = _decoding(release, dataset)
    if here != there and protocol_of(theirs.measured.signature, "").startswith("decoding"):
        return f"the texts were decoded by {here}, the frozen ones by {there}"
    return ""


def _decoding(release: Release, dataset: str) -> str:
    try:
        resolved = release.manifest["suite"]["resolved"]
        own = resolved["datasets"].get(dataset, {}).get("decoding")
        return Decoding(**(own or resolved["generation"]["decoding"])).signature
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"release '{release.name}': its decoding is not understood ({error})") from None


def build(suite: Suite, release: Release, pairs: Sequence[tuple[str, Method, Method]]) -> Report:
    """The whole report."""
    records = [record for _, new, old in pairs for record in (*new.records, *old.records)]
    columns = shown_columns(dict.fromkeys(key for record in records for key in record.values))
    footnotes, groups, tidy = Footnotes(), [], []
    for dataset, new, old in pairs:
        compared = [compare_quantity(column.key, dataset, new, old, suite, release) for column in columns]
        rows = [
            _row(column, found, footnotes)
            for column, found in zip(columns, compared, strict=True)
            if found.new or found.frozen
        ]
        groups.append(RowGroup(f"{dataset}: {new.name} against frozen {old.name}", tuple(rows)))
        tidy += [_tidy(dataset, new.name, old.name, found) for found in compared if found.new or found.frozen]
    table = Table(
        name="compare",
        title="Differences",
        caption=(
            "Mean ± half-width of the 95 % t interval over seeds. Intervals of differences: paired, bootstrap over the "
            "test examples that both sides share, about these trained models; Welch, t over seeds; combined, from the "
            "two bootstrap intervals over examples as if independent. better: the side the interval favours; "
            "undecided: it contains 0. n/c: not comparable, see the footnote; -: not measured on one side."
        ),
        stub="Metric",
        columns=COLUMNS,
        groups=tuple(groups),
        footnotes=footnotes.listed(),
    )
    return Report(
        title=f"Suite {suite.name} beside the frozen release {release.name}",
        lead="Frozen rows are read from the release; nothing of it was trained or measured again.",
        tables=(table,),
        notes=_notes(suite, release, pairs),
        tidy_header=HEADER,
        tidy_rows=tuple(tidy),
    )


def _row(column: Column, found: Compared, footnotes: Footnotes) -> Row:
    digits = column.digits
    new, frozen = _value(found.new, digits), _value(found.frozen, digits)
    if found.problem:
        refused = Cell(NC, marks=(footnotes.mark(f"not comparable: {found.problem}"),))
        return Row(column.head, (refused, new, refused, Cell(), Cell(""), Cell("")))
    if found.difference is None:
        return Row(column.head, (frozen, new, Cell(), Cell(), Cell(""), Cell("")))
    made = found.difference
    shown = Cell(_signed(made.value, digits), made.value)
    ends = [_signed(end, digits) for end in made.interval or ()]
    interval = f"[{', '.join(ends)}]" if ends else MISSING
    return Row(column.head, (frozen, new, shown, Cell(interval), Cell(found.better), Cell(made.how)))


def _value(side: Side | None, digits: int) -> Cell:
    if side is None:
        return Cell()
    estimate = side.measured.estimate
    spread = "" if estimate.half_width is None else number(estimate.half_width, digits)
    return Cell(number(estimate.mean, digits), estimate.mean, spread)


def _signed(value: float, digits: int) -> str:
    shown = number(value, digits)
    return f"+{shown}" if value > 0 and any(c in "123456789∞" for c in shown) else shown


def _tidy(dataset: str, new: str, old: str, found: Compared) -> tuple[str, ...]:
    def numbers(side: Side | None) -> tuple[str, str, str]:
        if side is None:
            return "", "", ""
        e = side.measured.estimate
        return repr(e.mean), "" if e.half_width is None else repr(e.half_width), str(e.n)

    made = found.difference
    ends = tuple(map(repr, made.interval)) if made and made.interval else ("", "")
    signed = [side.measured.signature if side else "" for side in (found.new, found.frozen)]
    return (
        dataset, new, old, found.key, *numbers(found.new), *numbers(found.frozen), repr(made.value) if made else "",
        *ends, made.how if made else "", found.better, found.problem, *signed,
    )  # fmt: skip


def _notes(suite: Suite, release: Release, pairs: Sequence[tuple[str, Method, Method]]) -> tuple[NoteGroup, ...]:
    manifest = release.manifest
    commits = ", ".join(
        (g["sha"][:12] or "no commit") + (" with uncommitted changes" if g["dirty"] else "") for g in manifest["git"]
    )
    here = {record.provenance.git.sha[:12] or "no commit": None for _, new, _ in pairs for record in new.records}
    facts = [Note("Frozen", f"suite {manifest['suite']['name']}, commit {commits}")]
    facts.append(Note("New", f"commit {', '.join(here)}"))
    wanted = dict.fromkeys(cell.dataset for cell in suites.compared(suite))
    missing = [name for name in wanted if name not in {dataset for dataset, _, _ in pairs}]
    if missing:
        facts.append(Note("Datasets", f"not in the release: {', '.join(missing)}"))
    cautions = [*_settings(suite, manifest), *_versions(manifest, pairs), *_code(pairs)]
    groups = [NoteGroup("Provenance", tuple(facts))]
    if cautions:
        groups.insert(0, NoteGroup("Read with caution", tuple(cautions)))
    return tuple(groups)


def _settings(suite: Suite, manifest: Mapping[str, Any]) -> list[Note]:
    """Settings of the suite that are not the release's: numbers are comparable, budgets may not be."""
    here, there = suite.model_dump(mode="json"), manifest["suite"]["resolved"]
    apart = [text for part in SETTINGS for text in _apart(part, here.get(part), there.get(part))]
    return [Note("Settings", "; ".join(apart))] if apart else []


def _apart(name: str, here: Any, there: Any) -> list[str]:
    if isinstance(here, dict) and isinstance(there, dict):
        return [text for key in dict.fromkeys([*here, *there]) for text in
                _apart(f"{name}.{key}", here.get(key), there.get(key))]  # fmt: skip
    return [] if here == there else [f"{name} is {here} here, {there} in the release"]


def _versions(manifest: Mapping[str, Any], pairs: Sequence[tuple[str, Method, Method]]) -> list[Note]:
    here: dict[str, set[str]] = {}
    for _, new, _ in pairs:
        for record in new.records:
            for package, version in record.provenance.versions.items():
                here.setdefault(package, set()).add(version)
    apart = []
    for package in sorted({*here, *manifest["versions"]}):
        ours, theirs = sorted(here.get(package, {"absent"})), sorted(manifest["versions"].get(package, ["absent"]))
        if ours != theirs:
            apart.append(f"{package} {'/'.join(ours)} here, {'/'.join(theirs)} in the release")
    return [Note("Library versions", "; ".join(apart))] if apart else []


def _code(pairs: Sequence[tuple[str, Method, Method]]) -> list[Note]:
    """Stages whose code changed since the release, where a method meets its frozen namesake."""
    changed: dict[str, set[str]] = {}
    for _, new, old in pairs:
        if new.name == old.name:
            ours, theirs = new.records[0].provenance.code, old.records[0].provenance.code
            stages = {stage for stage in {*ours, *theirs} if ours.get(stage) != theirs.get(stage)}
            if stages:
                changed.setdefault(new.name, set()).update(stages)
    texts = [f"{method}: {', '.join(sorted(stages))}" for method, stages in changed.items()]
    return [Note("Code changed since the release", "; ".join(texts))] if texts else []
