"""Rows without a model, scored like generated texts. Without them no text metric means anything.

``human``: validation texts, what a perfect generator would get. ``copy``: of a conditional dataset, each source as it
is, what a model must beat to have done anything at all.
"""

from __future__ import annotations

from bench.data.prepare import read_split
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.samples import write_samples
from bench.schema import Suite
from bench.suite import COPY, Cell


def untrained(suite: Suite, cell: Cell) -> None:
    """Write as many texts as every method draws samples; N is part of most signatures."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, 0)
    wanted, test = suite.generation.samples, read_split(paths.data, "test")
    if test.sources is not None:
        wanted = min(wanted, len(test.texts))
    if cell.method == COPY:
        if test.sources is None:
            raise BenchError(f"dataset '{cell.dataset}' is unconditional: it has no sources to copy")
        write_samples(paths.samples, test.sources[:wanted], "source", 0, test.sources)
        return
    texts = read_split(paths.data, "valid").texts
    if len(texts) < wanted:
        raise BenchError(
            f"dataset '{cell.dataset}': the human row needs {wanted} validation texts (generation.samples), "
            f"there are {len(texts)}"
        )
    write_samples(paths.samples, texts[:wanted], "valid", 0)
