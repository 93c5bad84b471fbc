"""Datasets that no package may carry: read from a local directory given as ``data_dir`` in the suite.

The directory holds ``train``, ``valid`` and ``test``, each as ``.txt`` or ``.txt.gz``, UTF-8, one text a line.
"""

from __future__ import annotations

from pathlib import Path

from bench.data.base import SPLITS, Source, one_line
from bench.errors import BenchError
from bench.files import read_lines

NAMES = ("local", "ptb", "snli", "yelp", "yahoo")


def read(name: str, data_dir: Path | None) -> Source:
    """The three files as they are; blank lines are dropped and counted."""
    if data_dir is None:
        raise BenchError(f"dataset '{name}': set data_dir, a directory with train, valid and test as .txt or .txt.gz")
    splits, notes = {}, []
    for part in SPLITS:
        file = _find(data_dir, part, name)
        lines = [one_line(line) for line in read_lines(file)]
        splits[part] = [line for line in lines if line]
        if not splits[part]:
            raise BenchError(f"dataset '{name}': {file} holds no text")
        if blank := len(lines) - len(splits[part]):
            notes.append(f"{blank} blank lines of {file.name} dropped")
    return Source(splits, licence="not stated (local files)", origin=f"local files {name}", notes=notes)


def _find(data_dir: Path, part: str, name: str) -> Path:
    for suffix in (".txt", ".txt.gz"):
        if (data_dir / f"{part}{suffix}").is_file():
            return data_dir / f"{part}{suffix}"
    raise BenchError(f"dataset '{name}': no {part}.txt or {part}.txt.gz in {data_dir}")
