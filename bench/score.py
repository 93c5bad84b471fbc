"""One metric family of one cell: from texts or likelihood statistics to signed values in ``scores/<family>.json``."""

from __future__ import annotations

from bench import registry
from bench.data.prepare import read_split
from bench.errors import BenchError, suggest
from bench.files import write_json
from bench.metrics.base import TextInputs
from bench.metrics.likelihood_file import LikelihoodFile
from bench.paths import CellPaths
from bench.samples import read_samples
from bench.schema import Suite
from bench.suite import Cell, metrics_of


def score(suite: Suite, cell: Cell, family: str) -> None:
    """Compute every metric of the suite that belongs to ``family`` and write their values as a record holds them.

    A model that diverged has infinite values: results like any other, and no reason to lose the finite ones.
    """
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding)
    sources = metrics_of(suite, cell.dataset, cell.method, cell.decoding)
    wanted = [name for name, source in sources.items() if source.family == family]
    if not wanted:
        families = {source.family for source in sources.values()}
        by = f" by decoding '{cell.decoding}'" if cell.decoding else ""
        where = f"suite '{suite.name}', {cell.method} on {cell.dataset}{by}"
        raise BenchError(f"{where}: no metric of family '{family}'{suggest(family, families)}")
    inputs = _texts(paths) if sources[wanted[0]].from_texts else LikelihoodFile.read(paths.likelihood)
    values = {}
    for name in wanted:
        for key, value in registry.load_metric(name).compute(inputs, suite.metrics[name]).items():
            values[key] = value.as_dict()
    write_json(paths.scores(family), values)


def _texts(paths: CellPaths) -> TextInputs:
    """Samples beside the test texts; of a conditional dataset the i-th sample belongs to the i-th source and text."""
    generated, test, cache = read_samples(paths.samples), read_split(paths.data, "test"), paths.data / "features"
    if test.sources is None:
        return TextInputs(generated, test.texts, cache=cache)
    n = len(generated)
    return TextInputs(generated, test.texts[:n], test.sources[:n], cache=cache)
