"""The suite's other reports as parts of the page, taken from the files that were made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bench.errors import BenchError
from bench.files import read_bytes
from bench.report import catalogue
from bench.report.site import contents
from bench.report.svg import inline
from bench.schema import Suite


@dataclass(frozen=True)
class Part:
    """One report: ``name`` is its anchor, ``head`` says which it is and what of, ``body`` is a figure or tables."""

    name: str
    head: str
    body: Markup
    figure: bool = False


@dataclass(frozen=True)
class Group:
    """The reports of one paper, or of none: ``paper`` is then ""."""

    paper: str
    parts: tuple[Part, ...]


def groups(suite: Suite, site: str, root: Path = Path()) -> list[Group]:
    """Every report of the page, those of no paper first, otherwise in the suite's order."""
    found = [catalogue.find(name) for name in contents.pages(suite, site)]
    return [
        Group(paper, tuple(_part(report, root) for report in found if report.paper == paper))
        for paper in dict.fromkeys(["", *(report.paper for report in found)])
    ]


def _part(report: catalogue.Report, root: Path) -> Part:
    path = root / report.page
    text = read_bytes(path, "report").decode(errors="replace")
    start, name = "<svg" if report.kind == "figure" else "<main>", "report-" + report.name.replace("/", "-")
    if start not in text:
        raise BenchError(f"report {path}: there is no {start} in it; delete it and run again")
    if report.kind == "figure":
        return Part(name, report.head, inline(text, f"{name}-", report.paper, report.head), True)
    return Part(name, report.head, body(text, f"{name}-"))


def body(page: str, prefix: str) -> Markup:
    """The tables and notes of a report's page, heads two levels lower, notes folded."""
    text = page.partition("<main>")[2].rpartition("</main>")[0]
    text = re.sub(r"<h1>.*?</h1>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"(</?h)2\b", r"\g<1>4", text)
    text = text.replace("<footer>", "<details><summary>Notes</summary>").replace("</footer>", "</details>")
    return Markup(re.sub(r'(\sid=")', rf"\g<1>{prefix}", text))
