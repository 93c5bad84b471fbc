"""Reading the tables of a report in tests, and changing the records they are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.report.model import Cell, Row, Table


def rows(table: Table) -> dict[tuple[str, str], Row]:
    return {(group.label, row.label): row for group in table.groups for row in group.rows}


def cell(table: Table, group: str, row: str, key: str) -> Cell:
    return rows(table)[group, row].cells[[column.key for column in table.columns].index(key)]


def sets(key: str, number: float) -> Callable[[dict[str, Any]], None]:
    """A change of a record: another value of one quantity."""
    return lambda record: record["values"][key].update(value=number)
