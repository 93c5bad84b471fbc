"""What a dataset source gives, and how its texts become a fixed, disjoint, checksummed split.

A dataset is one file of ``bench/data`` with a literal ``NAMES`` and ``read(name, data_dir) -> Source``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.errors import BenchError

SPLITS = ("train", "valid", "test")
SPLIT_SEED = 20220707  # fixed for good: another seed is another dataset


@dataclass(frozen=True)
class Source:
    """The texts of a dataset, by split, and where they come from.

    Attributes
    ----------
    splits: "train", "valid" and "test" -> texts, one line each.
    licence: of the text, and of the package that carries it.
    origin: package and version, hub revision, or file names.
    notes: what was filtered or changed, with counts.
    """

    splits: dict[str, list[str]]
    licence: str
    origin: str
    notes: list[str] = field(default_factory=list)


def one_line(text: str) -> str:
    """White space folded to single spaces."""
    return " ".join(text.split())


def split(texts: list[str], valid: int, test: int) -> dict[str, list[str]]:
    """Shuffle by ``SPLIT_SEED`` and cut: no text, compared without case, is in two splits (duplicates are dropped)."""
    distinct = list({text.casefold(): text for text in texts}.values())
    if len(distinct) <= valid + test:
        raise BenchError(f"dataset has {len(distinct)} distinct texts, too few for {valid} valid and {test} test")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(distinct))
    shuffled = [distinct[i] for i in order]
    return {"test": shuffled[:test], "valid": shuffled[test : test + valid], "train": shuffled[test + valid :]}
