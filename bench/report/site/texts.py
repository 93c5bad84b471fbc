"""The sample browser's texts: what each cell generated, beside what each text is most like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import suite as suites
from bench.data.prepare import read_split
from bench.paths import CellPaths
from bench.report.site.neighbours import nearest
from bench.samples import read_samples
from bench.schema import Suite
from bench.suite import HUMAN, UNTRAINED, generation_of


def texts(suite: Suite, report: str, root: Path = Path()) -> dict[str, Any]:
    """By dataset: the sources of a conditional one, training texts that are near to something, sets of texts.

    A set has rows of text, nearest training text, likeness, nearest other text of the set (its index), likeness.
    """
    cells = [*suites.drawn(suite, report), *suites.untrained(suite, report)]
    found = {}
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        data = root / CellPaths(suite.name, dataset, "", 0).data
        training, sources = read_split(data, "train").texts, read_split(data, "test").sources
        near: dict[int, str] = {}
        sets: list[dict[str, Any]] = []
        for cell in cells:
            if cell.dataset != dataset:
                continue
            written = read_samples(root / CellPaths(suite.name, dataset, cell.method, cell.seed, cell.decoding).samples)
            train, other = nearest(written, training)
            near |= {i: training[i] for i, like in zip(train.text.tolist(), train.likeness, strict=True) if like}
            columns = (train.text, train.likeness.round(3), other.text, other.likeness.round(3))
            sets.append({
                "method": cell.method, "seed": cell.seed, "trained": cell.method not in UNTRAINED,
                "given": sources is not None and cell.method != HUMAN,  # human texts have other sources
                "decoding": generation_of(suite, dataset, cell.decoding).decoding.signature,
                "rows": list(zip(written, *(column.tolist() for column in columns), strict=True)),
            })  # fmt: skip
        most = max(len(of["rows"]) for of in sets)
        found[dataset] = {"sources": (sources or [])[:most], "training": near, "sets": sets}
    return found
