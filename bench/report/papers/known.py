"""The papers whose tables there are, in the order they appeared."""

from __future__ import annotations

from bench.report.davam.paper import DAVAM
from bench.report.della.paper import DELLA
from bench.report.trace.paper import TRACE

PAPERS = {paper.name: paper for paper in (DAVAM, DELLA, TRACE)}


def label(paper: str) -> str:
    """What a paper is called; one of which only printed numbers are known by its name."""
    return PAPERS[paper].label if paper in PAPERS else paper
