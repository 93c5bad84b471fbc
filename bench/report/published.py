"""What the papers print: ``results/published/*.csv``, validated."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.errors import BenchError, suggest
from bench.paths import PUBLISHED

COLUMNS = ("paper", "table", "dataset", "method", "metric", "value", "note")
METRICS = (
    *("ppl", "nelbo", "rec", "kl", "mi", "au_0.1", "au_0.2"),
    *("bleu", "cnd", "mauve", "rouge1", "rouge2", "rougeL", "bertscore"),
    *("self_bleu", "dist", "js", "self_bleu_direction"),
    *("fluency", "coherence", "novelty", "informativeness", "p_value", "kappa"),
    *("gpu_hours", "parameters", "train", "valid", "test", "source_length", "length"),
    *("gamma", "latent", "speedup"),
    *("gpt2_ppl", "gpt2_ppl_std", "ent", "dist1", "dist2", "rec_reduction", "samples"),
    *("codes", "beta_min", "beta_max", "best_beta_max", "warmup_epochs", "prior_layers"),
    *("learning_rate", "patience", "halvings"),
)
SETTINGS = ("unconditional", "conditional", "all")  # stand as the dataset of a number that belongs to no single one

# Our quantity -> the printed metric it stands beside. What the papers leave open (n of BLEU and Dist) is our choice:
# bleu4 on unconditional datasets; cbleu1 on conditional ones, where the printed BLEU follows ROUGE-1.
PRINTED_AS = {
    **{key: key for key in ("ppl", "nelbo", "rec", "kl", "mi", "au_0.1", "au_0.2", "cnd", "mauve", "js")},
    **{key: key for key in ("rouge1", "rouge2", "rougeL")},
    "bertscore_f1": "bertscore",
    "bleu4": "bleu",
    "cbleu1": "bleu",
    "self_bleu4": "self_bleu",
    "dist2": "dist",
}
PRINTED_BY = {  # papers with metrics of their own
    "davam": {
        **{key: key for key in ("rec", "ppl", "kl", "dist1", "dist2")},
        **{f"paper:davam/{key}": key for key in ("rec", "ppl", "kl")},
        "ppl_word": "ppl",
        "ent1": "ent",
        "fluency_sentence": "gpt2_ppl",
    }
}
PRINTED_TIMES = {"bertscore": 100, "dist1": 0.01, "dist2": 0.01}  # printed metric -> it is ours times this


def printed_as(quantity: str, dataset: str, paper: str = "della") -> str | None:
    """The printed metric beside a quantity on a dataset: the BLEU of a conditional one is not that of others."""
    source = registry.datasets().get(dataset)
    paired = source is not None and source.conditional
    metric = PRINTED_BY.get(paper, PRINTED_AS).get(quantity)
    return None if metric == "bleu" and paired != (quantity == "cbleu1") else metric


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
    """All printed numbers, in file order, looked up by (dataset, method, metric) in one table or the first with it."""

    def __init__(self, rows: Sequence[Printed]) -> None:
        self.rows = tuple(rows)
        self._at: dict[tuple[str | None, ...], Printed] = {}
        for row in self.rows:
            for table in (row.table, None):
                self._at.setdefault((row.paper, table, row.dataset, row.method, row.metric), row)

    def find(
        self, dataset: str, method: str, quantity: str, paper: str = "della", table: str | None = None
    ) -> Printed | None:
        """The number the paper prints for one of our quantities, in ``table`` or in the first table that has it.

        A variant ``name@...`` stands beside ``name``'s.
        """
        metric = printed_as(quantity, dataset, paper)
        return self._at.get((paper, table, dataset, method.partition("@")[0], metric)) if metric else None

    def table(self, paper: str, table: str) -> list[Printed]:
        """All numbers of one table, in file order; empty where there is no such table."""
        return [row for row in self.rows if (row.paper, row.table) == (paper, table)]

    def datasets(self, paper: str = "della") -> set[str]:
        """Datasets the paper prints numbers for."""
        return {row.dataset for row in self.rows if row.paper == paper}.difference(SETTINGS)


def load_published(folder: Path = PUBLISHED) -> Published:
    """Every CSV of the folder, by name; a bad row is a :class:`BenchError` naming file and line."""
    rows: dict[tuple[str, ...], Printed] = {}
    for file in sorted(folder.glob("*.csv")):
        for line, row in _read(file):
            key = (row.paper, row.table, row.dataset, row.method, row.metric)
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
