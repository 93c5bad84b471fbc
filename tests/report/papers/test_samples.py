"""Figure 4: every method's text to the same prompt, or its first samples where there is none."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from bench import suite as suites
from bench.files import sha256, write_json
from bench.paths import CellPaths
from bench.report.papers.samples import SHOWN, render
from bench.samples import write_samples
from bench.schema import Suite
from tests import fake_run

REPORT = "della/figure4"
YAML = """
name: tiny
datasets: {sotu-story: , bbe: {decoding: {strategy: greedy}}}
methods: [memory, della]
seeds: [1, 2]
metrics: [self_bleu]
reports:
  della/figure4: {datasets: [sotu-story, bbe], methods: [memory, della]}
"""
PROMPTS = [f"prompt {i} <b>|" for i in range(6)]
TEXTS = [f"story {i}" for i in range(6)]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    loaded = suites.load(fake_run.write_suite(tmp_path, YAML))
    for dataset, conditional in (("sotu-story", True), ("bbe", False)):
        folder = CellPaths("tiny", dataset, "", 0).data
        folder.mkdir(parents=True)
        lines = [f"{p}\t{t}" for p, t in zip(PROMPTS, TEXTS, strict=True)] if conditional else TEXTS
        (folder / "test.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        splits = {"test": {"sha256": sha256(folder / "test.txt")}}
        write_json(folder / "manifest.json", {"conditional": conditional, "splits": splits})
    for cell in (*suites.cells(loaded), *suites.untrained(loaded, "della/figure4")):
        path = CellPaths("tiny", cell.dataset, cell.method, cell.seed).samples
        write_samples(path, [f"{cell.method} {cell.seed} text {i}" for i in range(3 if cell.dataset == "bbe" else 6)],
                      "greedy()", cell.seed)  # fmt: skip
    return loaded


def table(markdown: str, title: str) -> list[tuple[str, str]]:
    body = markdown.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (\S.*?) *\| (.*) \|$", body, re.MULTILINE)[2:]


def test_methods_stand_under_the_prompt_and_the_reference(suite: Suite) -> None:
    render(suite, REPORT, Path("f.md"))
    markdown = Path("f.md").read_text(encoding="utf-8")
    assert table(markdown, "sotu-story · prompt 2") == [
        ("*prompt*", r"prompt 1 \<b\>\|"), ("*reference*", "story 1"),
        ("memory", "memory 1 text 1"), ("della", "della 1 text 1"),
    ]  # fmt: skip
    assert f"sotu-story · prompt {SHOWN}" in markdown and f"sotu-story · prompt {SHOWN + 1}" not in markdown
    assert "top\\_k(50), seed 1." in markdown and "greedy(), seed 1." in markdown


def test_unconditional_samples_stand_beside_human_texts(suite: Suite) -> None:
    render(suite, REPORT, Path("f.md"))
    markdown = Path("f.md").read_text(encoding="utf-8")
    assert table(markdown, "bbe · sample 3") == [
        ("memory", "memory 1 text 2"), ("della", "della 1 text 2"), ("*human*", "human 0 text 2")
    ]  # fmt: skip
    assert "bbe · sample 4" not in markdown  # there are three


def test_the_csv_has_every_seed(suite: Suite) -> None:
    render(suite, REPORT, Path("f.md"))
    with open("f.csv", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["dataset"] == "sotu-story" and row["example"] == "1"]
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("prompt", ""), ("reference", ""), ("memory", "1"), ("memory", "2"), ("della", "1"), ("della", "2")
    ]  # fmt: skip
    assert rows[0]["text"] == PROMPTS[0]
