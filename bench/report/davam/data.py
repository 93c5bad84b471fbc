"""``reports/davam/table1``: the datasets of the suite and of the paper."""

from __future__ import annotations

from pathlib import Path

from bench.report.davam.paper import DAVAM
from bench.report.papers import data
from bench.schema import Suite


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    data.render(DAVAM, suite, report, out, root)
