"""Whether local files are those papers use: git and hashlib are the oracles; the papers' texts are in no test."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.data import known, local, papers
from bench.data.prepare import prepare
from bench.files import read_json
from bench.report.notes import data_notes
from bench.schema import Backbone, Dataset

TEXTS = {"train": ["a b", "c <unk> d", "e"], "valid": ["f"], "test": ["g", "h i"]}
SHA256 = {part: hashlib.sha256(("\n".join(texts) + "\n").encode()).hexdigest() for part, texts in TEXTS.items()}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PTB, SNLI and Yelp of three, one and two texts."""
    of = known.Known((3, 1, 2), 23.1)
    blobs = {part: known.git_blob(Path("x.txt"), ("\n".join(texts)).encode())[:8] for part, texts in TEXTS.items()}
    monkeypatch.setattr(
        known, "KNOWN", {"ptb": replace(of, sha256=SHA256), "snli": of, "yelp": known.Known((3, 1, 2), blobs=blobs)}
    )


def written(folder: Path, texts: dict[str, list[str]], suffix: str = ".txt") -> Path:
    for part, lines in texts.items():
        data = "\n".join(lines).encode()
        (folder / f"{part}{suffix}").write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return folder


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_the_papers_files_are_known(tmp_path: Path, suffix: str) -> None:
    written(tmp_path, TEXTS, suffix)
    assert papers.read("ptb", tmp_path).verified == ["train, valid, test: the texts papers use, by sha256"]
    assert papers.read("yelp", tmp_path).verified == ["train, valid, test: the file papers use, by git blob"]
    unknown = "train, valid, test: as many texts as papers use; no checksum of theirs is known"
    assert papers.read("snli", tmp_path).verified == [unknown]
    assert local.read("local", tmp_path).verified == []


def test_white_space_around_words_makes_no_other_text(tmp_path: Path) -> None:
    """As the file of PTB that most copy, whose lines begin and end with a space."""
    written(tmp_path, {part: [f" {text} " for text in texts] for part, texts in TEXTS.items()})
    assert papers.read("ptb", tmp_path).verified == ["train, valid, test: the texts papers use, by sha256"]
    assert papers.read("yelp", tmp_path).verified[0].startswith("warning: train: as many, but not the file papers use")


def test_other_files_are_a_warning_and_no_error(tmp_path: Path) -> None:
    written(tmp_path, TEXTS | {"train": ["a b", "c d"], "test": ["g", "h j"]})
    found = hashlib.sha256(b"g\nh j\n").hexdigest()
    assert papers.read("ptb", tmp_path).verified == [
        "warning: train: not the split papers use: 2 texts, not 3",
        "valid: the texts papers use, by sha256",
        f"warning: test: as many, but not the texts papers use: sha256 {found[:8]}, not {SHA256['test'][:8]}",
    ]


def test_pairs_are_known_by_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known.KNOWN, "quora", known.Known((2, 1, 1), prepared=SHA256))
    written(tmp_path, {"train": ["a\tb", "c\td"], "valid": ["e\tf"], "test": ["g\th"]}, ".tsv")
    unknown = "as many texts as papers use; no checksum of theirs is known"
    assert papers.read("quora", tmp_path).verified == [f"train, valid, test: {unknown}"]
    written(tmp_path, {"valid": ["e\tf", "i\tj"]}, ".tsv")
    other = "warning: valid: not the split papers use: 2 texts, not 1"
    assert papers.read("quora", tmp_path).verified == [f"train, test: {unknown}", other]
    assert local.read("local-pairs", tmp_path).verified == []


def test_labels_before_a_tab_are_noticed(tmp_path: Path) -> None:
    written(tmp_path, TEXTS | {"train": ["1\ta b", "\tc", "0\te"]})
    said = "warning: 2 lines of train.txt hold a tab; a label before it is read as a word"
    assert local.read("local", tmp_path).verified == [said]


def test_a_papers_sizes_stand_beside_the_files(tmp_path: Path) -> None:
    size = (
        "DAVAM's paper: 3 / 1 / 2 texts of 23.1 tokens; these files: 3 / 1 / 2 texts of 1.7 words, 3.7 with BOS and EOS"
    )
    assert papers.read("ptb", written(tmp_path, TEXTS)).notes == [size]
    assert papers.read("yelp", tmp_path).notes == []


def test_reports_show_what_was_verified(tmp_path: Path) -> None:
    written(tmp_path, TEXTS | {"valid": ["f", "f"]})
    prepare("ptb", Dataset(data_dir=str(tmp_path)), Backbone(vocabulary=300), tmp_path / "out")
    manifest = read_json(tmp_path / "out/manifest.json")
    (note,) = data_notes(["ptb"], {"ptb": manifest})
    assert "warning: valid: not the split papers use: 2 texts, not 1" in note.text
    assert "train, test: the texts papers use" in note.text
    prepare("local", Dataset(data_dir=str(tmp_path)), Backbone(vocabulary=300), tmp_path / "plain")
    assert "verified" not in read_json(tmp_path / "plain/manifest.json")


@pytest.mark.parametrize("data", [b"", b"a\n", bytes(range(256))])
def test_git_names_files_alike(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    git = subprocess.run(["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True)
    assert known.git_blob(tmp_path / "file", data) == git.stdout.strip()
    assert known.git_blob(tmp_path / "file.gz", gzip.compress(data)) == git.stdout.strip()
