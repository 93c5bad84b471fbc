"""One HTML file with its data inside: nothing is fetched, nothing is sent, and no text of a model is markup.

Data are JSON in a script element that is no script, with ``<``, ``>`` and ``&`` escaped, and reach the page as text
nodes alone. A Content-Security-Policy lets nothing run but the page's own script, and nothing be loaded at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.files import atomic
from bench.record_schema import Record, read_cell
from bench.report.collect import Results, gather
from bench.report.della import interpolation
from bench.report.layout import noted_columns
from bench.report.notes import notes
from bench.report.published import Published, load_published
from bench.report.render import environment
from bench.report.site import contents, parts, values
from bench.report.site.costs import costs
from bench.report.site.texts import texts
from bench.schema import Suite
from bench.suite import Cell, select

Interpolations = Mapping[Cell, interpolation.Interpolation]
SCRIPTS = (
    "site_table.js", "site_overview.js", "site_samples.js", "site_between.js", "site_cells.js", "site_reports.js",
    "site.js",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """All that the page shows: results by decoding, the datasets' own first; records of every cell with a page."""

    results: Mapping[str, Results]
    records: Sequence[Record]
    samples: Mapping[str, Any]
    interpolations: Interpolations
    reports: Sequence[parts.Group]


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out``."""
    page = build(find(suite, report, root), load_published())
    with atomic(out.with_suffix(".html")) as stream:
        stream.write(page)


def find(suite: Suite, report: str, root: Path = Path()) -> Found:
    """Read what a run left behind."""
    return Found(
        {name: gather(suite, report, root, name) for name in ("", *select(suite, report).decodings)},
        [read_cell(suite.name, cell, root) for cell in contents.recorded(suite, report)],
        texts(suite, report, root),
        {cell: interpolation.read(suite, cell, root) for cell in contents.interpolated(suite, report)},
        parts.groups(suite, report, root),
    )


def build(found: Found, published: Published) -> str:
    """The whole page."""
    results, strings = found.results[""], values.Strings()
    keys = results.keys()
    of = values.columns(results, found.records)
    data = {
        "quantities": values.quantities(of),
        "sets": values.column_sets({key: column for key, column in of.items() if key in keys}, keys),
        "tables": [
            table
            for name, measured in found.results.items()
            for table in values.tables(measured, published, of, strings, name)
        ],
        "papers": values.papers(results, published),
        "cells": [values.cell(results.suite, record, strings) for record in found.records],
        "samples": found.samples,
        "strings": list(strings.all),  # last: the others fill it
    }
    script = "\n".join(map(template, SCRIPTS))
    made = environment("html")
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": False, "separators": (",", ":")}
    return made.get_template("site.html.j2").render(
        suite=results.suite.name,
        data=data,
        pairs=list(pairs(found.interpolations)),
        groups=found.reports,
        costs=costs(found.records),
        notes=notes(results, noted_columns(keys)),
        script=Markup(script),
        style=Markup(template("site.css")),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def template(name: str) -> str:
    """A file of the page."""
    return files("bench.report").joinpath("templates", name).read_text("utf-8")


def pairs(interpolations: Interpolations) -> Iterable[dict[str, Any]]:
    """Every pair of texts of every cell, from sentence 1 to sentence 2."""
    for cell, of in interpolations.items():
        for i, pair in enumerate(of.pairs, 1):
            rows = interpolation.listed(pair, [f"τ = {tau:g}" for tau in of.taus])
            yield {
                "dataset": cell.dataset, "model": f"{cell.method} · seed {cell.seed}", "number": i,
                "decoding": of.decoding, "rows": rows,
            }  # fmt: skip
