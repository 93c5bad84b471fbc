"""Figure 3: what is decoded between the posterior samples of two test texts, a table a method and pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import suite as suites
from bench.files import read_json
from bench.paths import CellPaths
from bench.report.model import Cell, Column, Report, Row, RowGroup, Table
from bench.report.render import write
from bench.schema import Suite
from bench.validation import validate

LEAD = (
    "Each row is decoded greedily from z = τ z1 + (1 − τ) z2, in every latent group, where z1 and z2 are samples of "
    "the posteriors of sentence 1 and sentence 2, two texts of the test set (DELLA Sec. 5.9 and A.6). By this formula "
    "τ = 1 is the reconstruction of sentence 1 and τ = 0 that of sentence 2. The rows of the paper's Figure 3 are "
    "labelled the other way round: its row 0.9 stands next to sentence 2. The pairs are the first texts of the test "
    "set, two by two; none was chosen."
)
HEADER = ("dataset", "method", "seed", "pair", "tau", "text")


@dataclass(frozen=True)
class Pair:
    """Two test texts, and what was decoded at each tau."""

    texts: tuple[str, str]
    decoded: tuple[str, ...]


@dataclass(frozen=True)
class Interpolation:
    """An ``interpolation.json``; see ``bench.interpolation``."""

    decoding: str
    seed: int
    taus: tuple[float, ...]
    pairs: tuple[Pair, ...]


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; tables show a method's first seed, the CSV all of them."""
    found = {cell: read(suite, cell, root) for cell in suites.cells(suite, report)}
    first: dict[tuple[str, str], Interpolation] = {}
    for cell, interpolation in found.items():
        first.setdefault((cell.dataset, cell.method), interpolation)
    places = [(dataset, method, i) for (dataset, method), of in first.items() for i in range(len(of.pairs))]
    tables = [table(*place, first[place[:2]], f"pair-{n}") for n, place in enumerate(places, 1)]
    rows = [
        (cell.dataset, cell.method, str(cell.seed), str(i), label, text)
        for cell, interpolation in found.items()
        for i, pair in enumerate(interpolation.pairs, 1)
        for label, text in listed(pair, [f"{tau:g}" for tau in interpolation.taus])
    ]
    title = "Interpolating latent space (DELLA, Figure 3)"
    write(Report(title, LEAD, tuple(tables), (), HEADER, tuple(rows)), out)


def read(suite: Suite, cell: suites.Cell, root: Path = Path()) -> Interpolation:
    """The interpolations of one cell."""
    path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).interpolation
    found: Interpolation = validate(Interpolation, read_json(path, "interpolation"), f"interpolation {path}")
    return found


def table(dataset: str, method: str, i: int, interpolation: Interpolation, name: str) -> Table:
    """One pair of one method: sentence 1, what is between from there on, sentence 2."""
    rows = listed(interpolation.pairs[i], [f"τ = {tau:g}" for tau in interpolation.taus])
    return Table(
        name=name,
        title=f"{dataset} · {method} · pair {i + 1}",
        caption=f"Decoding {interpolation.decoding}, seed {interpolation.seed}.",
        stub="Weight of sentence 1",
        columns=(Column("text", "Text", align="left", wrap=True),),
        groups=(RowGroup("", tuple(Row(label, (Cell(text),), apart="τ" not in label) for label, text in rows)),),
    )


def listed(pair: Pair, taus: Sequence[str]) -> list[tuple[str, str]]:
    """(label, text) from sentence 1 to sentence 2."""
    return [("Sentence 1", pair.texts[0]), *zip(taus, pair.decoded, strict=True), ("Sentence 2", pair.texts[1])]
