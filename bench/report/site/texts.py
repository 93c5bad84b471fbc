"""The sample browser's texts: what each cell generated, beside what each text is most like.

A page must open at once, so it holds the first texts of every set: as many of each as fit into LIMIT. What is said of a
set as a whole is of all its texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import suite as suites
from bench.data.prepare import read_split
from bench.paths import CellPaths
from bench.report.site.neighbours import Nearest, nearest
from bench.samples import read_samples
from bench.schema import Suite
from bench.suite import HUMAN, UNTRAINED, Cell, generation_of

LIMIT = 2_500_000  # bytes of all texts and what they are most like


@dataclass(frozen=True)
class TextSet:
    """The texts of one cell, what they are most like, and which stand in train, or twice among them, as they are
    but for white space."""

    cell: Cell
    texts: list[str]
    train: Nearest
    other: Nearest
    copied: NDArray[np.bool_]
    repeated: NDArray[np.bool_]

    def sizes(self, training: Sequence[str]) -> list[int]:
        """Bytes that each text takes, with the training text and the other text beside it."""
        near = (training[i] + self.texts[j] for i, j in zip(self.train.text, self.other.text, strict=True))
        return [len((text + beside).encode()) for text, beside in zip(self.texts, near, strict=True)]


def texts(suite: Suite, report: str, root: Path = Path()) -> dict[str, Any]:
    """By dataset: the sources of a conditional one, training texts that are near to something, sets of texts."""
    cells = [*suites.drawn(suite, report), *suites.untrained(suite, report)]
    sets: dict[str, list[TextSet]] = {}
    splits = {}
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        data = root / CellPaths(suite.name, dataset, "", 0).data
        training = read_split(data, "train").texts
        splits[dataset] = (training, read_split(data, "test").sources)
        sets[dataset] = [_read(suite, cell, training, root) for cell in cells if cell.dataset == dataset]
    n = fitting([of.sizes(splits[dataset][0]) for dataset, found in sets.items() for of in found])
    return {dataset: _shown(suite, found, *splits[dataset], n) for dataset, found in sets.items()}


def fitting(sizes: Sequence[Sequence[int]]) -> int:
    """How many of the first texts of every set are at most LIMIT bytes together; one of each in any case.

    >>> fitting([[LIMIT // 2, LIMIT // 4, 1], [LIMIT // 4]]), fitting([[1, 2 * LIMIT]]), fitting([[2 * LIMIT]])
    (2, 1, 1)
    """
    together = np.zeros(max(map(len, sizes)), np.int64)
    for of in sizes:
        together[: len(of)] += of
    return max(1, int((together.cumsum() <= LIMIT).sum()))


def _read(suite: Suite, cell: Cell, training: list[str], root: Path) -> TextSet:
    path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding).samples
    written = read_samples(path)
    folded = [" ".join(text.split()) for text in written]  # as the texts of data are
    known, times = set(training), Counter(folded)
    same = (np.array([text in known for text in folded]), np.array([times[text] > 1 for text in folded]))
    return TextSet(cell, written, *nearest(written, training), *same)


def _shown(
    suite: Suite, sets: Sequence[TextSet], training: list[str], sources: list[str] | None, n: int
) -> dict[str, Any]:
    near = {
        i: training[i] for of in sets for i, like in zip(of.train.text[:n], of.train.likeness, strict=False) if like
    }
    most = max(len(of.texts[:n]) for of in sets)
    return {
        "sources": (sources or [])[:most],
        "training": {str(i): text for i, text in near.items()},
        "sets": [_set(suite, of, sources is not None, n) for of in sets],
    }


def _set(suite: Suite, of: TextSet, conditional: bool, n: int) -> dict[str, Any]:
    """A set's first texts. A row: text, nearest training text, likeness, nearest other text (its index), likeness."""
    cell, train, other = of.cell, of.train, of.other
    columns = (train.text, train.likeness.round(3), other.text, other.likeness.round(3))
    likeness = [
        train.likeness.mean(), train.likeness.max(), of.copied.sum(), other.likeness.mean(), of.repeated.sum(),
    ]  # fmt: skip
    return {
        "method": cell.method, "seed": cell.seed, "trained": cell.method not in UNTRAINED,
        "given": conditional and cell.method != HUMAN,  # human texts have other sources
        "decoding": generation_of(suite, cell.dataset, cell.decoding).decoding.signature,
        "n": len(of.texts), "likeness": [round(float(number), 4) for number in likeness],
        "rows": list(zip(of.texts[:n], *(column[:n].tolist() for column in columns), strict=True)),
        "others": {str(i): of.texts[i] for i in other.text[:n].tolist() if i >= n},  # texts that are not shown
    }  # fmt: skip
