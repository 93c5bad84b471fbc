"""Table 7: from manifests alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.files import read_json
from bench.paths import CellPaths
from bench.report.collect import Taken
from bench.report.della.data import render
from bench.report.della.paper import DELLA
from bench.report.model import Cell, Report
from bench.report.papers.data import build, statistics_of
from bench.report.published import load_published
from bench.schema import Suite

DATASETS = ("bbe", "sotu-story", "quora")


def manifest(dataset: str) -> Path:
    return CellPaths("tiny", dataset, "", 0).manifest


def report(suite: Suite, datasets: tuple[str, ...] = DATASETS) -> Report:
    manifests = {name: read_json(manifest(name), "manifest") for name in datasets}
    return build(DELLA, "7", suite, manifests, load_published(), Taken())


def cells(found: Report, dataset: str) -> dict[str, Cell]:
    table = found.tables[0]
    row = next(row for row in table.groups[0].rows if row.label == dataset)
    return {column.key: cell for column, cell in zip(table.columns, row.cells, strict=True)}


def test_no_record_is_read(della: Suite) -> None:
    for record in Path().glob("results/runs/**/record.json"):
        record.unlink()
    render(della, "della/table7", Path("r/table7.html"))
    assert sorted(path.suffix for path in Path("r").iterdir()) == [".csv", ".html", ".md", ".tex"]


def test_means_are_over_the_texts_of_all_splits() -> None:
    splits = {
        part: {"texts": n, "words_a_text": words, "tokens_a_text": 2 * words, "cut_at_max_tokens": cut}
        for part, n, words, cut in (("train", 80, 10.0, 8), ("valid", 10, 20.0, 1), ("test", 10, 30.0, 1))
    }
    found = statistics_of({"splits": splits})
    assert found == {"train": 80, "valid": 10, "test": 10, "length": 13.0, "tokens": 26.0, "cut": 10.0}


def test_measured_and_printed(della: Suite) -> None:
    found = report(della)
    assert {key: cell.text for key, cell in cells(found, "quora").items()} == {
        "train": "20", "valid": "5", "test": "5", "source_length": "10.5", "length": "20.2",
        "source_tokens": "16.8", "tokens": "31.5", "source_cut": "20.0", "cut": "10.0",
    }  # fmt: skip
    beside = cells(found, "quora")
    assert (beside["train"].printed, beside["source_length"].printed, beside["tokens"].printed) == ("134k", "10", "")
    assert cells(found, "bbe")["source_length"].text == "-" and cells(found, "bbe")["train"].printed == ""
    printed = found.tables[1]
    assert [row.label for row in printed.groups[0].rows][-2:] == ["WritingPrompts", "Quora"]
    assert "the usual split has 3761" in dict(printed.footnotes).values()


def test_without_conditional_datasets_there_is_no_source(della: Suite) -> None:
    found = report(della, ("bbe",))
    assert "source_length" not in [column.key for column in found.tables[0].columns]
    assert "source" not in found.tables[0].caption and "parentheses" not in found.tables[0].caption


def test_csv(della: Suite) -> None:
    rows = {row[:2] + row[3:4]: row for row in report(della).tidy_rows}
    assert rows["quora", "train", ""][2] == "20" and rows["quora", "train", "134000"][2] == ""


def test_bad_manifests_are_one_clear_line(della: Suite) -> None:
    manifest("bbe").write_text(json.dumps({"splits": {"train": {}}}), encoding="utf-8")
    with pytest.raises(BenchError, match=r"bbe/data/manifest.json: expected the splits train, valid, test"):
        render(della, "della/table7", Path("t.md"))
    manifest("bbe").unlink()
    with pytest.raises(BenchError, match="manifest"):
        render(della, "della/table7", Path("t.md"))
