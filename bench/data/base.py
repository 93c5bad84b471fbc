"""What a dataset source gives, and how its texts become a fixed, disjoint, checksummed split.

A dataset is one file of ``bench/data`` with a literal ``NAMES`` (unconditional), ``CONDITIONAL``, or both, and
``read(name, data_dir) -> Source``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from bench.errors import BenchError

SPLITS = ("train", "valid", "test")
SPLIT_SEED = 20220707  # fixed for good: another seed is another dataset

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """The texts of a dataset, by split, and where they come from.

    Attributes
    ----------
    splits: "train", "valid" and "test" -> texts, one line each: what a model generates.
    licence: of the text, and of the package that carries it.
    origin: package and version, hub revision, or file names.
    notes: what was filtered or changed, with counts.
    sources: of a conditional dataset, what each text of ``splits`` is conditioned on, in the same order.
    verified: of files from elsewhere, whether they are those papers use; ``warning: ...`` where not.
    """

    splits: dict[str, list[str]]
    licence: str
    origin: str
    notes: list[str] = field(default_factory=list)
    sources: dict[str, list[str]] | None = None
    verified: list[str] = field(default_factory=list)


def one_line(text: str) -> str:
    """White space folded to single spaces."""
    return " ".join(text.split())


def split(texts: list[str], valid: int, test: int) -> dict[str, list[str]]:
    """Shuffle by ``SPLIT_SEED`` and cut: no text, compared without case, is in two splits (duplicates are dropped)."""
    return _cut(list({text.casefold(): text for text in texts}.values()), valid, test)


def distinct_pairs(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The (source, text) pairs of which neither side, compared without case, is a side of an earlier one kept."""
    kept, seen = [], set[str]()
    for pair in pairs:
        sides = {side.casefold() for side in pair}
        if not sides & seen:
            kept.append(pair)
            seen |= sides
    return kept


def split_pairs(pairs: list[tuple[str, str]], valid: int, test: int) -> tuple[dict[str, list[str]], ...]:
    """The sources and the texts of pairs, shuffled and cut as :func:`split` does.

    What the parts share is not looked at: of :func:`distinct_pairs` they share nothing.
    """
    parts = _cut(pairs, valid, test)
    sources, texts = ({key: [pair[side] for pair in part] for key, part in parts.items()} for side in (0, 1))
    return sources, texts


def _cut(distinct: list[T], valid: int, test: int) -> dict[str, list[T]]:
    if len(distinct) <= valid + test:
        raise BenchError(f"dataset has {len(distinct)} distinct texts, too few for {valid} valid and {test} test")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(distinct))
    shuffled = [distinct[i] for i in order]
    return {"test": shuffled[:test], "valid": shuffled[test : test + valid], "train": shuffled[test + valid :]}
