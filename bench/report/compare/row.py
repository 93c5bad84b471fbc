"""``reports/compare.tex``: the new methods as rows of ``reports/table1.tex``, to paste there or into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.blocks import measured_cells
from bench.report.collect import measure
from bench.report.compare.pairs import Method, Pair
from bench.report.layout import main_columns
from bench.report.model import Column, Footnotes, Row, number
from bench.report.render import environment


@dataclass(frozen=True)
class Section:
    """One row and what is to be known of it."""

    about: str
    row: Row


def rows(pairs: Sequence[Pair], beside: str) -> str:
    """A row for each new method and dataset, in the columns of Table 1, under comments that say what they are.

    ``beside`` names the releases.
    """
    columns = main_columns({key for pair in pairs for record in pair.records for key in record.values})
    new = {(pair.dataset, pair.new.name): pair.new for pair in pairs}
    return environment("tex").get_template("row.tex.j2").render(
        title=f"Rows to paste into a table with the columns of reports/table1.tex, measured beside {beside}.",
        stub="Method",
        columns=columns,
        caption=(
            "Likelihoods by the exact protocol. ±: 95 % interval over seeds. Nothing is marked best: that depends on "
            "the rows around."
        ),
        sections=[_section(dataset, method, columns) for (dataset, _), method in new.items()],
    )  # fmt: skip


def _section(dataset: str, method: Method, columns: Sequence[Column]) -> Section:
    found = {column.key: measured for column in columns if (measured := measure(method.records, column.key))}
    footnotes = Footnotes()
    cells = [
        measured_cells(c, [method.name], {method.name: found[c.key]} if c.key in found else {}, footnotes)[method.name]
        for c in columns
    ]
    seeds = ", ".join(str(record.seed) for record in method.records)
    about = [f"{dataset}, seed{'' if len(method.records) == 1 else 's'} {seeds}."]
    if len(method.records) == 1:
        intervals = [(column, found[column.key].ci95) for column in columns if column.key in found]
        listed = [f"{c.label} [{', '.join(number(end, c.digits) for end in ends)}]" for c, ends in intervals if ends]
        about += [f"95 % intervals over examples: {'; '.join(listed)}."] if listed else []
    about += [f"{mark}: {text}." for mark, text in footnotes.listed()]
    return Section(" ".join(about), Row(method.name, tuple(cells)))
