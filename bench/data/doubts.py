"""What is doubtful about a prepared dataset and is no error, as lines for a terminal."""

from __future__ import annotations

from pathlib import Path

from bench.data.prepare import read_split
from bench.files import read_json


def doubts(folder: Path) -> list[str]:
    """The warnings of the manifest in ``folder``; of texts without sources also what valid and test share with train.

    The latter is no part of the manifest, as it is of pairs: PTB's own split shares texts, and rows that are compared
    have to be of one manifest.
    """
    manifest = read_json(folder / "manifest.json", "manifest")
    said = [line for line in (*manifest.get("verified", ()), *manifest["notes"]) if line.startswith("warning: ")]
    return said if manifest["conditional"] else [*said, *_shared(folder)]


def _shared(folder: Path) -> list[str]:
    """How many texts of valid and of test train holds, compared without case; nothing where it holds none."""
    known = {text.casefold() for text in read_split(folder, "train").texts}
    said = []
    for part in ("valid", "test"):
        texts = read_split(folder, part).texts
        if held := sum(text.casefold() in known for text in texts):
            said.append(f"warning: of {len(texts):,} {part} texts, train holds {held:,}; none are dropped")
    return said
