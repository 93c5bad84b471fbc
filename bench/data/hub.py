"""A dataset on the Hugging Face hub, at a pinned revision, as Parquet files; or one that its library has saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data import download
from bench.data.base import one_line
from bench.data.known import said
from bench.errors import BenchError
from bench.files import sha256

Rows = dict[str, list[tuple[str, ...]]]  # split of the hub -> the texts of its rows, white space folded


@dataclass(frozen=True)
class Hub:
    """One dataset on the hub, as Parquet files.

    Attributes
    ----------
    repository: of datasets, ``owner/name``.
    revision: the commit that is fetched; empty where none is known, and nothing is fetched.
    files: pattern of the file names, with ``{split}``.
    columns: of the texts, in this order.
    only: a column, and the value that a row has there if it is read.
    splits: the hub's names of those that are read.
    sha256: file name -> hex digest, where it is known.
    """

    repository: str
    revision: str
    files: str
    columns: tuple[str, ...]
    only: tuple[str, Any] | None = None
    splits: tuple[str, ...] = ("train", "validation", "test")
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """As a table has it."""
        return f"{self.repository}@{self.revision[:7]}"

    @property
    def read(self) -> list[str]:
        """All columns that are read."""
        return [*self.columns, *([self.only[0]] if self.only else [])]

    def patterns(self) -> list[str]:
        """Of each split's files."""
        return [self.files.format(split=split) for split in self.splits]


def cached(hub: Hub) -> Path | None:
    """The pinned revision's folder in the library's cache; None where a file of it is missing."""
    if not hub.revision:
        return None
    folder = download.cached("dataset", hub.repository, hub.revision, hub.patterns())
    return folder if folder and all(_whole(files) for files in parquet(hub, folder).values()) else None


def fetch(hub: Hub) -> Path:
    """The pinned revision's folder, with what is missing in the library's cache fetched."""
    if (folder := cached(hub)) is None:
        download.fetch("dataset", hub.repository, hub.revision, hub.patterns(), instead="give its files as data_dir")
        folder = cached(hub)
    if folder is None:
        raise BenchError(f"{hub.short} lacks some of {', '.join(hub.patterns())}")
    return folder


def parquet(hub: Hub, folder: Path) -> dict[str, list[Path]]:
    """The files of each split in a folder laid out as the repository is, or as the first folder in its pattern."""
    found = {}
    for split, pattern in zip(hub.splits, hub.patterns(), strict=True):
        found[split] = sorted(folder.glob(pattern)) or sorted(folder.glob(pattern.partition("/")[2]))
    return found


def _whole(files: list[Path]) -> bool:
    """Whether these are all files of a split: as many as ``train-00000-of-00003.parquet`` says."""
    of_many = re.search(r"-of-(\d+)$", files[0].stem) if files else None
    return len(files) == (int(of_many[1]) if of_many else 1)


def read_parquet(hub: Hub, folder: Path) -> tuple[Rows, list[str]]:
    """The rows of each split, and in words which of the files are known."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: Rows = {}
    outcomes: dict[str, list[str]] = {}
    for (split, files), pattern in zip(parquet(hub, folder).items(), hub.patterns(), strict=True):
        if not _whole(files):
            raise BenchError(f"{folder}: {'not all' if files else 'none'} of {pattern} of {hub.repository}")
        for file in files:
            try:
                batches = pq.ParquetFile(file).iter_batches(columns=hub.read)
                rows.setdefault(split, []).extend(_rows(hub, (batch.to_pydict() for batch in batches), file))
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise BenchError(f"{file}: cannot be read as Parquet ({str(error).partition(chr(10))[0]})") from None
            outcomes.setdefault(_known(hub, file), []).append(file.name)
    return rows, [said(outcome, names) for outcome, names in outcomes.items() if outcome]


def read_saved(hub: Hub, folder: Path) -> Rows:
    """The rows of each split of a ``DatasetDict`` that ``save_to_disk`` wrote."""
    from datasets import load_from_disk

    try:
        saved = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{folder}: cannot be read as a saved dataset ({str(error).partition(chr(10))[0]})") from None
    if missing := [split for split in hub.splits if split not in saved]:
        raise BenchError(f"{folder}: the saved dataset has no split {missing[0]}")
    return {split: list(_rows(hub, saved[split].iter(batch_size=1000), folder)) for split in hub.splits}


def is_saved(folder: Path) -> bool:
    """Whether ``DatasetDict.save_to_disk`` wrote this folder."""
    return (folder / "dataset_dict.json").is_file()


def _rows(hub: Hub, batches: Iterator[dict[str, list[Any]]], where: Path) -> Iterator[tuple[str, ...]]:
    for batch in batches:
        if missing := [column for column in hub.read if column not in batch]:
            raise BenchError(f"{where}: no column '{missing[0]}'")
        for row in zip(*(batch[column] for column in hub.read), strict=True):
            if hub.only and row[-1] != hub.only[1]:
                continue
            texts = row[: len(hub.columns)]
            if not all(isinstance(text, str | None) for text in texts):
                raise BenchError(f"{where}: not all of {', '.join(hub.columns)} are text")
            yield tuple(one_line(text or "") for text in texts)


def _known(hub: Hub, file: Path) -> str:
    if file.name not in hub.sha256:
        return ""
    found, expected = sha256(file), hub.sha256[file.name]
    if found == expected:
        return "the hub's file, by sha256"
    return f"warning: not the hub's file: sha256 {found[:8]}, not {expected[:8]}"
