"""One metric family of one cell: from texts or likelihood statistics to signed values in ``scores/<family>.json``."""

from __future__ import annotations

from typing import Any

from bench import registry
from bench.data.prepare import read_split
from bench.errors import BenchError, suggest
from bench.files import write_json
from bench.metrics.base import TextInputs
from bench.metrics.likelihood_file import LikelihoodFile
from bench.paths import CellPaths
from bench.samples import read_samples
from bench.suite import Cell, Suite


def score(suite: Suite, cell: Cell, family: str) -> None:
    """Compute every metric of the suite that belongs to ``family`` and write their values as a record holds them.

    A model that diverged has infinite values: results like any other, and no reason to lose the finite ones.
    """
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    wanted = {name: options for name, options in suite.metrics.items() if registry.metric(name).family == family}
    if not wanted:
        families = {registry.metric(name).family for name in suite.metrics}
        raise BenchError(f"suite '{suite.name}' has no metric of family '{family}'{suggest(family, families)}")
    inputs: Any
    if registry.metric(next(iter(wanted))).from_texts:
        references = read_split(paths.data, "test").texts
        inputs = TextInputs(read_samples(paths.samples), references, cache=paths.data / "features")
    else:
        inputs = LikelihoodFile.read(paths.likelihood)
    values = {}
    for name, options in wanted.items():
        for key, value in registry.load_metric(name).compute(inputs, options).items():
            values[key] = value.as_dict()
    write_json(paths.scores(family), values)
