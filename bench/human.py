"""The human row: validation texts in place of generated ones. Without it no text metric means anything."""

from __future__ import annotations

from bench.data.prepare import read_split
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.samples import write_samples
from bench.suite import HUMAN, Suite


def human(suite: Suite, dataset: str) -> None:
    """Write as many validation texts as every method draws samples; N is part of most signatures."""
    paths = CellPaths(suite.name, dataset, HUMAN, 0)
    texts, wanted = read_split(paths.data, "valid").texts, suite.generation.samples
    if len(texts) < wanted:
        raise BenchError(
            f"dataset '{dataset}': the human row needs {wanted} validation texts (generation.samples), "
            f"there are {len(texts)}"
        )
    write_samples(paths.samples, texts[:wanted], "valid", 0)
