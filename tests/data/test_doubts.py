"""What ``prepare`` says of data that is doubtful and no error: on the terminal too, and a line each."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from bench.cli import main
from bench.data import known
from bench.files import read_json

SUITE = {"name": "s", "methods": ["embed"], "seeds": [0], "metrics": ["elbo"], "backbone": {"vocabulary": 270}}
TEXTS = {"train": "A b\nc d\nc d\n", "valid": "e\n", "test": "f\ng\n"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with three files that are PTB as papers use it."""
    monkeypatch.chdir(tmp_path)
    digests = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in TEXTS.items()}
    monkeypatch.setitem(known.KNOWN, "ptb", known.Known((3, 1, 2), sha256=digests))


def prepared(name: str, capsys: pytest.CaptureFixture[str], **changes: str) -> tuple[list[str], dict]:
    """The lines that are printed, and the manifest."""
    Path("data").mkdir(exist_ok=True)
    for part, text in {**TEXTS, **changes}.items():
        Path(f"data/{part}.txt").write_text(text, encoding="utf-8")
    Path("s.yaml").write_text(yaml.safe_dump({**SUITE, "datasets": {name: {"data_dir": "data"}}}), encoding="utf-8")
    assert main(["prepare", "--suite", "s.yaml", "--dataset", name]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines(), read_json(f"results/runs/s/{name}/data/manifest.json")


@pytest.mark.parametrize("name", ["ptb", "local"])
def test_of_good_data_nothing_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared(name, capsys)[0] == []


def test_a_changed_word_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    said, manifest = prepared("ptb", capsys, train="A b\nc d\nc e\n")
    warning = next(line for line in manifest["verified"] if line.startswith("warning: "))
    assert "train: as many, but not the texts papers use" in warning
    assert said == [f"bench: dataset 'ptb': {warning}"]


def test_texts_of_train_in_test_are_told_and_the_manifest_is_as_without(capsys: pytest.CaptureFixture[str]) -> None:
    """PTB's own split shares texts: its manifest is that of frozen rows."""
    said, manifest = prepared("local", capsys, valid="a B\nh\n", test="c d\nC D\nf\n")
    assert said == [
        "bench: dataset 'local': warning: of 2 valid texts, train holds 1; none are dropped",
        "bench: dataset 'local': warning: of 3 test texts, train holds 2; none are dropped",
    ]
    assert manifest["notes"] == [] and "verified" not in manifest


def test_pairs_of_train_in_test_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    said, manifest = prepared("local-pairs", capsys, train="a\tb\n", valid="c\td\n", test="a\tB\n")
    (note,) = manifest["notes"]
    assert said == [f"bench: dataset 'local-pairs': {note}"] and note.startswith("warning: of 1 test pairs")


def test_what_is_limited_away_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Of what the suite uses of each split."""
    said, _ = prepared("local", capsys, test="c d\nf\n")
    assert len(said) == 1
    Path("s.yaml").write_text(Path("s.yaml").read_text().replace("data_dir: data", "data_dir: data\n    train: 1"))
    assert main(["prepare", "--suite", "s.yaml", "--dataset", "local"]) == 0
    assert capsys.readouterr().err == ""
