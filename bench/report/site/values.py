"""The numbers of the page: tables by dataset and quantity, the papers' own tables, and every value of every cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import Any

from bench import registry
from bench.files import json_number
from bench.record_schema import Record
from bench.report.blocks import measured_cells
from bench.report.collect import Results, made_by, quantity, registered
from bench.report.layout import PROTOCOLS, main_columns, shown_columns
from bench.report.model import ARROWS, Column, Footnotes
from bench.report.notes import fewer_texts
from bench.report.papers.known import PAPERS
from bench.report.papers.paper import Paper
from bench.report.published import Printed, Published
from bench.report.tidy import HEADER, tidy_rows
from bench.schema import Suite
from bench.suite import UNTRAINED

FIGURES = 3  # significant digits of the middle one of the numbers of a column that no table shows


class Strings:
    """Signatures and notes repeat in every row: each is kept once, and its number in its place."""

    def __init__(self) -> None:
        self.all: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.all.setdefault(text, len(self.all))


def columns(results: Results, records: Sequence[Record]) -> dict[str, Column]:
    """A column for every quantity: those of the tables as they have them, others with enough decimals."""
    shown = {column.key: column for column in shown_columns(results.keys())}
    others = sorted({key for record in records for key in record.values} - set(shown))
    return shown | {
        key: Column(key, quantity(key).label, "", quantity(key).direction, _decimals(records, key)) for key in others
    }


def _decimals(records: Sequence[Record], key: str) -> int:
    values = [record.values[key].value for record in records if key in record.values]
    sizes = [abs(v) for v in values if v and math.isfinite(v)] or [1.0]
    return min(9, max(2, FIGURES - 1 - math.floor(math.log10(median_low(sizes)))))


def quantities(of: dict[str, Column]) -> dict[str, Any]:
    """What is to be known of each quantity."""
    metrics = {q.key: name for name in registry.metrics() for q in registry.load_metric(name).quantities}
    return {
        key: {
            "label": column.label, "arrow": ARROWS[column.direction], "group": column.group,
            "direction": column.direction, "unit": quantity(key).unit, "formula": quantity(key).formula,
            "metric": metrics.get(key, ""),
        }
        for key, column in of.items()
    }  # fmt: skip


def tables(
    results: Results, published: Published, of: dict[str, Column], strings: Strings, decoding: str = ""
) -> list[Any]:
    """By dataset and method every value: as tables show it, then the rest of its row of the tidy form."""
    rows_of = tidy_rows(results, published, decoding=decoding)
    tidy = {(row[0], row[1], row[2]): dict(zip(HEADER, row, strict=True)) for row in rows_of}
    found = []
    for dataset in results.datasets:
        methods = results.methods(dataset)
        rows: dict[str, Any] = {method: {} for method in methods}
        for key, column in of.items():
            for method, cell in measured_cells(column, methods, results.column(dataset, key), Footnotes()).items():
                if (dataset, method, key) in tidy:
                    row = tidy[dataset, method, key]
                    numbers = [row[name] for name in ("value", "half_width", "n_seeds", "ci95_low", "ci95_high", "n")]
                    texts = ("signature", "protocol", "published", "published_note", "not_comparable", "note")
                    pooled = [strings(row[name]) for name in texts]
                    rows[method][key] = [cell.text, cell.spread, cell.emphasis, *numbers, *pooled]
        found.append({
            "dataset": dataset, "decoding": decoding,
            "rows": [{"method": m, "apart": m in UNTRAINED, "cells": rows[m]} for m in methods],
        })  # fmt: skip
    return found


def papers(results: Results, published: Published) -> list[Any]:
    """Each paper: its arithmetic on our models (exact key -> its key), and the tables that it prints."""
    found, measured = [], set(results.keys())
    for protocol in PROTOCOLS:
        own = {protocol.exact(base): protocol.key(base) for base in protocol.quantities}
        rows = [row for row in published.rows if row.paper == protocol.name]
        paper = PAPERS[protocol.name]
        found.append({
            "name": protocol.name, "label": paper.label, "arithmetic": protocol.label,
            "why": (*protocol.why, *fewer_texts(results, protocol)),
            "keys": {exact: key for exact, key in own.items() if key in measured},
            "tables": [printed_table(paper, name, rows) for name in dict.fromkeys(row.table for row in rows)],
        })  # fmt: skip
    return found


def printed_table(paper: Paper, name: str, rows: Iterable[Printed]) -> dict[str, Any]:
    """One table as printed: (text, note) by dataset, method and metric, which have the paper's own names."""
    of = [row for row in rows if row.table == name]
    labels = {column.metric: column.label for table in paper.tables.values() for column in table.columns}
    datasets: dict[str, dict[str, Any]] = {}
    for row in of:
        datasets.setdefault(row.dataset, {}).setdefault(row.method, {})[row.metric] = [row.text, row.note]
    metrics = dict.fromkeys(row.metric for row in of)
    return {
        "name": name,
        "metrics": {metric: labels.get(metric, metric) for metric in metrics},
        "datasets": datasets,
    }


def cell(suite: Suite, record: Record, strings: Strings) -> dict[str, Any]:
    """One record: its values, where they come from, what it cost, and the command that makes it again."""
    values = {
        key: [
            json_number(of.value), [*map(json_number, of.ci95)] if of.ci95 else None, of.n,
            *map(strings, (of.signature, of.interval, of.note)),
        ]
        for key, of in record.values.items()
    }  # fmt: skip
    return {
        "dataset": record.dataset, "method": record.method, "seed": record.seed, "decoding": record.decoding,
        "values": values, "provenance": record.as_dict()["provenance"], "command": made_by(suite, record),
    }  # fmt: skip


def column_sets(of: dict[str, Column], keys: Sequence[str]) -> list[Any]:
    """What the overview can show: the first table's columns, then everything that each metric measures."""
    metrics: dict[str, list[str]] = {}
    listed = [*registered(), *keys]
    for key, about in sorted(quantities(of).items(), key=lambda item: listed.index(item[0])):
        metrics.setdefault(about["metric"] or "others", []).append(key)
    first = [column.key for column in main_columns(keys)]
    return [{"name": "table1", "label": "Main quantities", "keys": first}] + [
        {"name": name, "label": f"All of {name}", "keys": metrics[name]} for name in sorted(metrics)
    ]
