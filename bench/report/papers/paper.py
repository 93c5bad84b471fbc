"""A paper's tables: their columns and the quantities of ours in their place, their rows' names, and what they print."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.report.blocks import Section, body, printed_cell, without_empty
from bench.report.collect import Results, quantity
from bench.report.layout import MAIN, Protocol
from bench.report.model import Cell, Column, Footnotes, Table
from bench.report.published import PRINTED_TIMES, Printed, Published
from bench.suite import UNTRAINED


@dataclass(frozen=True)
class PaperColumn:
    """One column of the paper and the quantities of ours in its place."""

    metric: str  # as results/published names it
    label: str  # as printed
    group: str
    digits: int
    ours: tuple[str, ...]


def columns(group: str, *given: tuple[str, str, int, tuple[str, ...]]) -> tuple[PaperColumn, ...]:
    """Columns under one head."""
    return tuple(PaperColumn(metric, label, group, digits, ours) for metric, label, digits, ours in given)


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes
    ----------
    setting: what its numbers were made with.
    rows: what its rows' names mean, and what else must be read with them.
    ranked: among which rows best and second are, where not among those of a dataset.
    why: what the paper's arithmetic does to the quantities of this table, in place of what it does to all.
    """

    number: str
    title: str
    columns: tuple[PaperColumn, ...]
    setting: str
    rows: tuple[str, ...] = ()
    ranked: str = ""
    why: tuple[str, ...] = ()

    @property
    def ours(self) -> tuple[Column, ...]:
        """The columns of what this suite measures."""
        labels = {key: label for key, _, _, label in MAIN}
        return tuple(
            Column(
                key, labels.get(key) or quantity(key).label, column.group, quantity(key).direction, column.digits,
                scale=PRINTED_TIMES.get(column.metric, 1),
            )
            for column in self.columns
            for key in column.ours
        )  # fmt: skip

    @property
    def quantities(self) -> set[str]:
        """What this suite measures of it."""
        return {key for column in self.columns for key in column.ours}


@dataclass(frozen=True)
class Paper:
    """One paper.

    Attributes
    ----------
    name: as results/published names it, and reports.
    source: who printed its numbers.
    protocol: its own arithmetic.
    datasets: our names of its datasets -> its own.
    row_label: (method, whether in the paper's own table) -> the paper's name of it.
    """

    name: str
    label: str
    source: str
    protocol: Protocol
    datasets: Mapping[str, str]
    tables: Mapping[str, PaperTable]
    row_label: Callable[[str, bool], str]

    def arithmetic(self, table: PaperTable) -> Protocol:
        """Its arithmetic, explained for one table."""
        return replace(self.protocol, why=table.why) if table.why else self.protocol


def named(label: str, method: str) -> str:
    """A label with the method's own name where that is not plain from it.

    >>> named("GPT-2", "gpt2"), named("+BOW", "embed+bow")
    ('GPT-2', '+BOW (embed+bow)')
    """

    def bare(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    return label if method in UNTRAINED or bare(label) == bare(method) else f"{label} ({method})"


def by_dataset(results: Results, paper: Paper) -> list[Section]:
    """Our rows under the paper's names, a section a dataset."""
    return [
        Section(dataset, dataset, {m: named(paper.row_label(m, False), m) for m in results.methods(dataset)})
        for dataset in results.datasets
    ]


def printed_by_dataset(published: Published, paper: Paper, table: str) -> list[Section]:
    """The printed rows, a section a dataset."""
    return [
        Section(paper.datasets.get(dataset, dataset), dataset, {m: paper.row_label(m, True) for m in methods})
        for dataset, methods in printed_methods(published, paper, table).items()
    ]


def printed_methods(published: Published, paper: Paper, table: str) -> dict[str, list[str]]:
    """Dataset -> the methods that a table has rows of, both in the paper's order."""
    rows = published.table(paper.name, table)
    return {
        dataset: list(dict.fromkeys(row.method for row in rows if row.dataset == dataset))
        for dataset in dict.fromkeys(row.dataset for row in rows)
    }


def as_printed(row: Printed, footnotes: Footnotes) -> Cell:
    """A printed number in the paper's own writing where the note has it: ``100k`` of "printed as 100k; ...".

    >>> as_printed(Printed("della", "7", "quora", "data", "length", "10", "printed as T: 10"), Footnotes()).text
    '10'
    """
    found = re.fullmatch(r"printed as (?:[ST]: )?([^;]+)(?:; (.*))?", row.note)
    text, note = (found[1], found[2]) if found else (row.text, row.note)
    return Cell(text, row.value, marks=(footnotes.mark(note),) if note else ())


def printed_table(published: Published, paper: Paper, table: PaperTable, sections: Sequence[Section]) -> Table:
    """The table as the paper prints it, with what is known to be wrong with it in footnotes."""
    at = {(row.dataset, row.method, row.metric): row for row in published.table(paper.name, table.number)}
    footnotes = Footnotes()

    def cells_of(column: Column, dataset: str, methods: Sequence[str]) -> dict[str, Cell]:
        return {method: printed_cell(at.get((dataset, method, column.key)), footnotes, about="") for method in methods}

    printed_columns = tuple(
        Column(column.metric, column.label, column.group, quantity(column.ours[0]).direction)
        for column in table.columns
    )
    return without_empty(Table(
        name=f"{paper.name}-table{table.number}-printed",
        title=f"As the paper prints it: {paper.label}, Table {table.number}",
        caption=(
            f"Printed by {paper.source}, Table {table.number}, not measured here: {table.setting}. The paper's own "
            "data, splits, tokenizer and arithmetic, one run; not to be compared with the tables above. Arrows: "
            "which way is better by this suite's definitions. -: not printed."
        ),
        stub="Model",
        columns=printed_columns,
        groups=body(sections, printed_columns, cells_of),
        footnotes=footnotes.listed(),
    ))  # fmt: skip
