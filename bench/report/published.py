"""What the papers print: ``results/published/*.csv``, validated."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError, suggest
from bench.paths import PUBLISHED

COLUMNS = ("paper", "table", "dataset", "method", "metric", "value", "note")
METRICS = ("ppl", "nelbo", "kl", "mi", "au_0.2", "bleu", "cnd", "mauve", "self_bleu", "dist", "js")

# Our quantity -> the printed metric it stands beside. What the papers leave open (n of BLEU and Dist) is our choice.
PRINTED_AS = {
    **{key: key for key in ("ppl", "nelbo", "kl", "mi", "au_0.2", "cnd", "mauve", "js")},
    "bleu4": "bleu",
    "self_bleu4": "self_bleu",
    "dist2": "dist",
}


@dataclass(frozen=True)
class Printed:
    """One printed number, as printed (``text`` keeps its digits), and what is known to be wrong with it."""

    paper: str
    table: str
    dataset: str
    method: str
    metric: str
    text: str
    note: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)


class Published:
    """All printed numbers, looked up by (dataset, method, metric)."""

    def __init__(self, rows: Sequence[Printed]) -> None:
        self.rows = tuple(rows)
        self._at = {(row.paper, row.dataset, row.method, row.metric): row for row in rows}

    def find(self, dataset: str, method: str, quantity: str, paper: str = "della") -> Printed | None:
        """The number the paper prints for one of our quantities; a variant ``name@...`` stands beside ``name``'s."""
        metric = PRINTED_AS.get(quantity)
        return self._at.get((paper, dataset, method.partition("@")[0], metric)) if metric else None

    def datasets(self, paper: str = "della") -> set[str]:
        """Datasets the paper prints numbers for."""
        return {row.dataset for row in self.rows if row.paper == paper}


def load_published(folder: Path = PUBLISHED) -> Published:
    """Every CSV of the folder; a bad row is a :class:`BenchError` naming file and line."""
    rows: dict[tuple[str, ...], Printed] = {}
    for file in sorted(folder.glob("*.csv")):
        for line, row in _read(file):
            key = (row.paper, row.dataset, row.method, row.metric)
            if key in rows:
                raise BenchError(f"{file}:{line}: {'/'.join(key)} is given twice")
            rows[key] = row
    return Published(list(rows.values()))


def _read(file: Path) -> list[tuple[int, Printed]]:
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{file}: {error}") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise BenchError(f"{file}:1: expected the columns {','.join(COLUMNS)}")
    return [(number, _row(fields, f"{file}:{number}")) for number, fields in enumerate(lines[1:], start=2)]


def _row(fields: list[str], where: str) -> Printed:
    if len(fields) != len(COLUMNS):
        raise BenchError(f"{where}: {len(fields)} columns, expected {len(COLUMNS)}")
    row = Printed(*fields)
    empty = next((name for name, field in zip(COLUMNS[:-1], fields, strict=False) if not field), None)
    if empty:
        raise BenchError(f"{where}: '{empty}' is empty")
    if row.metric not in METRICS:
        raise BenchError(f"{where}: unknown metric '{row.metric}'{suggest(row.metric, METRICS)}")
    try:
        row.value  # noqa: B018 - the property parses
    except ValueError:
        raise BenchError(f"{where}: value '{row.text}' is not a number") from None
    return row
