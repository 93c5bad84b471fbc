"""One HTML file with its data inside: nothing is fetched, nothing is sent, and no text of a model is markup.

Data are JSON in a script element that is no script, with ``<``, ``>`` and ``&`` escaped, and reach the page as text
nodes alone. A Content-Security-Policy lets nothing run but the page's own script, and nothing be loaded at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.files import atomic
from bench.report import figures
from bench.report.collect import Results, gather
from bench.report.layout import shown_columns
from bench.report.notes import notes
from bench.report.published import Published, load_published
from bench.report.render import environment
from bench.report.site import values
from bench.report.site.texts import texts
from bench.schema import Suite
from bench.suite import select


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out``."""
    gathered = {name: gather(suite, report, root, name) for name in ("", *select(suite, report).decodings)}
    page = build(gathered, load_published(), texts(suite, report, root), curves(suite, report, root))
    with atomic(out.with_suffix(".html")) as stream:
        stream.write(page)


def build(
    gathered: Mapping[str, Results], published: Published, samples: dict[str, Any], curves: dict[str, Markup]
) -> str:
    """The whole page; results are by decoding, first those of the datasets' own."""
    results, strings = gathered[""], values.Strings()
    of = values.columns(results)
    data = {
        "quantities": values.quantities(of),
        "sets": values.column_sets(of, results.keys()),
        "tables": [
            table for name, found in gathered.items() for table in values.tables(found, published, of, strings, name)
        ],
        "papers": values.papers(results, published),
        "cells": values.cells(gathered.values(), strings),
        "samples": samples,
        "strings": list(strings.all),  # last: the others fill it
    }
    templates = files("bench.report").joinpath("templates")
    parts = ("site_table.js", "site_overview.js", "site_samples.js", "site.js", "site.css")
    *scripts, style = (templates.joinpath(part).read_text("utf-8") for part in parts)
    script = "\n".join(scripts)
    made = environment("html")
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": False, "separators": (",", ":")}
    return made.get_template("site.html.j2").render(
        suite=results.suite.name,
        data=data,
        curves=curves,
        notes=notes(results, shown_columns(results.keys())),
        script=Markup(script),
        style=Markup(style),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def curves(suite: Suite, report: str, root: Path = Path()) -> dict[str, Markup]:
    """The learning curves of each dataset as an SVG element."""
    panels = figures.read_panels(suite, report, root)
    found = {}
    for i, dataset in enumerate(dict.fromkeys(panel.dataset for panel in panels)):
        of = [panel for panel in panels if panel.dataset == dataset]
        found[dataset] = figures.inline(figures.drawn(partial(figures.draw, of), ("svg",))["svg"], f"c{i}-")
    return found
