"""Paragraphs of the State of the Union addresses cut after their first sentence: two conditional sets of one cut.

``sotu-story``: the first sentence -> the rest of the paragraph; a set of stories, as WritingPrompts.
``sotu-lead``: the rest -> the first sentence; a set of summaries, as CNN/DailyMail, whose news open with the gist.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from bench.data.base import Source, distinct_pairs, split_pairs
from bench.data.sentences import punkt
from bench.data.sotu import LICENCE, origin, paragraphs

CONDITIONAL = ("sotu-story", "sotu-lead")
FIRST_WORDS, REST_WORDS = 6, 20  # at least; shorter first sentences are mostly headings ("--Legacy of Parks.")


def read(name: str, data_dir: Path | None) -> Source:
    """Both names have the same paragraphs in each split, 1,000 each in valid and test; only the direction differs."""
    kept, note = paragraphs()
    cut = [pair for pair in cut_after_first(kept) if _whole(*pair)]
    pairs = distinct_pairs(cut)
    first, rest = split_pairs(pairs, valid=1000, test=1000)
    texts, sources = (rest, first) if name == "sotu-story" else (first, rest)
    return Source(
        splits=texts,
        sources=sources,
        licence=LICENCE,
        origin=f"{origin()}; sentences by the Punkt tokenizer of nltk {version('nltk')}",
        notes=[
            note,
            f"{len(cut)} of these have a first sentence of at least {FIRST_WORDS} words and at least {REST_WORDS} "
            "words after it; a rest that starts in lower case is no sentence and is left out",
            f"{len(cut) - len(pairs)} more repeat a side of another paragraph, without case, and are left out",
        ],
    )


def cut_after_first(texts: list[str]) -> list[tuple[str, str]]:
    """The first sentence of each text and the rest of it, which is empty where there is one sentence alone."""
    tokenizer = punkt()
    ends = [next(iter(tokenizer.span_tokenize(text)))[1] for text in texts]
    return [(text[:end], text[end:].strip()) for text, end in zip(texts, ends, strict=True)]


def _whole(first: str, rest: str) -> bool:
    return len(first.split()) >= FIRST_WORDS and len(rest.split()) >= REST_WORDS and not re.match(r"\W*[a-z]", rest)
