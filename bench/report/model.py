"""What a report is before it is written down: typed tables, footnotes and notes. Plain text throughout; the templates
escape it for their format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from string import ascii_lowercase
from typing import Literal

from markupsafe import Markup

from bench.metrics.base import Direction

Emphasis = Literal["", "best", "second"]
ARROWS: Mapping[Direction, str] = {"up": "↑", "down": "↓", "none": ""}
MISSING, NOT_COMPARABLE = "-", "n/c"


@dataclass(frozen=True)
class Column:
    """One column: its label, the head it stands under, and which way is better."""

    key: str
    label: str
    group: str = ""
    direction: Direction = "none"
    digits: int = 2
    align: Literal["left", "right"] = "right"
    wrap: bool = False  # texts, which need more than one line
    arrow: bool = True  # False where the head above already has it
    scale: float = 1  # of a number as shown: papers print some fractions times 100

    @property
    def head(self) -> str:
        """Label and arrow."""
        arrow = ARROWS[self.direction] if self.arrow else ""
        return f"{self.label}\N{NO-BREAK SPACE}{arrow}" if arrow else self.label


@dataclass(frozen=True)
class Cell:
    """One cell. ``text`` is the number as shown, "-" (not measured) or "n/c" (not comparable, see its mark)."""

    text: str = MISSING
    value: float | None = None
    spread: str = ""  # half-width over seeds, as shown
    printed: str = ""  # the paper's number beside ours, as printed
    emphasis: Emphasis = ""
    marks: tuple[str, ...] = ()  # footnotes of the text
    printed_marks: tuple[str, ...] = ()  # footnotes of the printed number


@dataclass(frozen=True)
class Row:
    """A row; ``apart`` rows (human text) are set off and take no part in the ranking."""

    label: str
    cells: tuple[Cell, ...]
    apart: bool = False


@dataclass(frozen=True)
class RowGroup:
    """Rows under one head: a dataset."""

    label: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Head:
    """A head over ``span`` neighbouring columns."""

    label: str
    span: int


@dataclass(frozen=True)
class Table:
    """A table with what must be read with it."""

    name: str  # a short identifier: the anchor in HTML, the label in LaTeX
    title: str
    caption: str
    stub: str  # head of the first column
    columns: tuple[Column, ...]
    groups: tuple[RowGroup, ...]
    paragraphs: tuple[str, ...] = ()
    footnotes: tuple[tuple[str, str], ...] = ()  # (mark, text)
    findings: tuple[str, ...] = ()  # what its numbers say, in sentences

    @property
    def heads(self) -> list[Head]:
        """Column-group heads, left to right; empty where no column has one."""
        if not any(column.group for column in self.columns):
            return []
        return [Head(label, len(list(run))) for label, run in groupby(self.columns, lambda column: column.group)]

    @property
    def starts(self) -> set[int]:
        """Indices of the columns that begin a group."""
        ends = [sum(head.span for head in self.heads[:i]) for i in range(len(self.heads))]
        return set(ends)


@dataclass(frozen=True)
class Figure:
    """A figure: its panels as SVG elements, for a page, and the file beside it that other formats show."""

    name: str
    title: str
    caption: str
    panels: tuple[Markup, ...]
    file: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """Text to copy, shown as it is."""

    name: str
    title: str
    caption: str
    text: str


@dataclass(frozen=True)
class Note:
    """A term and what is to be said about it; ``code`` comes first, in a fixed-width font."""

    term: str
    text: str = ""
    code: str = ""


@dataclass(frozen=True)
class NoteGroup:
    """Notes under one head."""

    title: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Report:
    """Everything one page holds, figures and listings after its first table.

    ``tidy`` is its machine-readable form: a header and rows.
    """

    title: str
    lead: str
    tables: tuple[Table, ...]
    notes: tuple[NoteGroup, ...]
    tidy_header: tuple[str, ...] = ()
    tidy_rows: tuple[tuple[str, ...], ...] = ()
    figures: tuple[Figure, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass
class Footnotes:
    """Gives each distinct text one mark: a, b, ..., z, aa, ab, ..."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The mark of a text."""
        if text not in self.texts:
            self.texts.append(text)
        return _letters(self.texts.index(text))

    def listed(self) -> tuple[tuple[str, str], ...]:
        """(mark, text), in order."""
        return tuple((_letters(i), text) for i, text in enumerate(self.texts))


def _letters(index: int) -> str:
    first, last = divmod(index, 26)
    return (_letters(first - 1) if first else "") + ascii_lowercase[last]


def number(value: float, digits: int) -> str:
    """As shown in a cell: fixed decimals, none from 1,000 up, a power of ten from 1,000,000 up.

    >>> [number(v, 2) for v in (12.345, -0.001, 4321.6, 2.5e9, float("inf"))]
    ['12.35', '0.00', '4322', '2.5e9', '∞']
    """
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= 1e6:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(power)}"
    shown = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"
    return shown.removeprefix("-") if float(shown) == 0 else shown


def signed(value: float, digits: int) -> str:
    """A difference as shown in a cell, with its sign unless it is shown as zero.

    >>> [signed(v, 2) for v in (1.5, -1.5, 0.001)]
    ['+1.50', '-1.50', '0.00']
    """
    shown = number(value, digits)
    return f"+{shown}" if value > 0 and any(c in "123456789∞" for c in shown) else shown


def rank(values: Sequence[float | None], direction: Direction, digits: int) -> list[Emphasis]:
    """Best and second of a column, compared as shown; equals share a rank, and two bests leave no second.

    >>> rank([3.0, 1.0, None, 2.0], "down", 2)
    ['', 'best', '', 'second']
    """
    shown = [None if v is None or math.isnan(v) else float(number(v, digits).replace("∞", "inf")) for v in values]
    ordered = sorted((v for v in shown if v is not None), reverse=direction == "up")
    if direction == "none" or len(ordered) < 2 or ordered[0] == ordered[-1]:
        return [""] * len(shown)
    ranks: list[Emphasis] = ["best", "second"]
    return ["" if v is None or ordered.index(v) > 1 else ranks[ordered.index(v)] for v in shown]
