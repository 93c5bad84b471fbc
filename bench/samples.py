"""``samples.jsonl``: one JSON object a line with id, text, decoding, seed, and the source where there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.files import atomic, read_lines

half_a_character = re.compile("[\ud800-\udfff]").search  # of a surrogate pair, which Python's texts may hold


def write_samples(
    path: Path, texts: Sequence[str], decoding: str, seed: int, sources: Sequence[str] | None = None
) -> None:
    """Write texts, whole or not at all; the i-th was generated given the i-th source."""
    with atomic(path) as stream:
        for i, text in enumerate(texts):
            source = {} if sources is None else {"source": sources[i]}
            row = {"id": i, **source, "text": text, "decoding": decoding, "seed": seed}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_samples(path: Path) -> list[str]:
    """The texts of a ``samples.jsonl``; a line that is not a sample is named."""
    return texts_of(read_lines(path, "samples"), path)


def texts_of(lines: Sequence[str], path: Path) -> list[str]:
    """The texts of the lines of a ``samples.jsonl``, likewise."""
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise BenchError(f"samples {path}: line {number} is not a JSON object with a 'text'")
        texts.append(text)
    if not texts:
        raise BenchError(f"samples {path}: no text")
    return texts
