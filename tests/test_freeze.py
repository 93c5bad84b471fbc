"""Releases: what is written, and when nothing is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench.freeze
from bench import digests
from bench import suite as suites
from bench.errors import BenchError
from bench.files import sha256
from bench.freeze import freeze, load_release
from bench.paths import CellPaths
from bench.suite import Cell
from tests import fake_run


@pytest.fixture
def run(tmp_path: Path) -> str:
    """The suite of a finished run under ``tmp_path``."""
    suite = fake_run.write_suite(tmp_path)
    fake_run.write_run(tmp_path, suite)
    return suite


def edit(root: Path, change: dict[str, Any], method: str = "della", seed: int | str = 2, dataset: str = "bbe") -> None:
    path = root / CellPaths("tiny", dataset, method, seed).record
    content = json.loads(path.read_text(encoding="utf-8"))
    content["provenance"].update(change)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_round_trip(run: str, tmp_path: Path) -> None:
    folder = freeze(run, "r1", root=tmp_path)
    assert folder == tmp_path / "results/frozen/r1"
    release = load_release("r1", tmp_path)
    assert len(release.cells) == 4 * 2 + 4 + 2, "four methods, two seeds and one; human text of two datasets"
    cell = release.cells[Cell("bbe", "della", 1)]
    assert cell.record.values["kl"].value == 12.0
    nelbo, predicted = fake_run.per_example(Cell("bbe", "della", 1))
    np.testing.assert_allclose(cell.per_example["nelbo"], nelbo, atol=5.1e-5)
    assert list(cell.per_example["predicted"]) == predicted.tolist()
    assert cell.history is not None
    assert cell.history.read_bytes() == (tmp_path / CellPaths("tiny", "bbe", "della", 1).history).read_bytes()
    human = release.cells[Cell("sotu", "human", 0)]
    assert human.per_example == {} and human.history is None


def test_the_manifest_stands_for_the_run(run: str, tmp_path: Path) -> None:
    manifest = load_release(freeze(run, "r1", root=tmp_path).name, tmp_path).manifest
    assert manifest["suite"]["yaml"] == fake_run.YAML and manifest["suite"]["resolved"]["name"] == "tiny"
    assert manifest["signatures"]["bbe"]["bleu4"] == ["bleu|n:4|tok:13a|refs:all5|v:1"]
    assert manifest["data"]["bbe"]["manifest"]["licence"] == "public domain"
    assert manifest["versions"] == {"numpy": ["2.4.6"], "torch": ["2.13.0"]}
    assert manifest["git"] == [{"sha": "0123456789abcdef", "dirty": False}]
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_same_run_gives_the_same_bytes(run: str, tmp_path: Path) -> None:
    first, second = (freeze(run, name, root=tmp_path) for name in ("r1", "r2"))
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    for file in files:
        ours, theirs = ((folder / file).read_text(encoding="utf-8") for folder in (first, second))
        ours, theirs = (re.sub(r'"release": "r\d"|\w+  manifest.json', "", text) for text in (ours, theirs))
        assert ours == theirs


def test_a_release_has_the_cells_whose_own_decoding_a_report_shows(tmp_path: Path) -> None:
    about = """
reports:
  table1: {datasets: [bbe], methods: [gpt2]}
  trace/table6: {datasets: [sotu], methods: [della], decodings: [greedy]}
decodings: {greedy: {strategy: greedy}}
"""
    suite = fake_run.write_suite(tmp_path, fake_run.YAML + about)
    fake_run.write_run(tmp_path, suite)
    own, named = (CellPaths("tiny", "sotu", "della", 1, decoding) for decoding in ("", "greedy"))
    (tmp_path / own.record).unlink()
    assert (tmp_path / named.record).exists()
    release = load_release(freeze(suite, "r1", root=tmp_path).name, tmp_path)
    rows = [Cell("bbe", "gpt2", 1), Cell("bbe", "gpt2", 2), Cell("bbe", "human", 0), Cell("sotu", "human", 0)]
    assert list(release.cells) == rows


def refused(run: str, root: Path, complaint: str, **how: Any) -> None:
    """It is one clear line, and nothing is left behind."""
    with pytest.raises(BenchError) as error:
        freeze(run, "r1", root=root, **how)
    assert complaint in str(error.value) and "\n" not in str(error.value)
    assert not list((root / "results/frozen").glob("*") if (root / "results/frozen").exists() else [])


def test_an_unfinished_cell_is_named(run: str, tmp_path: Path) -> None:
    (tmp_path / CellPaths("tiny", "bbe", "della", 2).record).unlink()
    refused(run, tmp_path, "cell bbe/della/seed2 is not finished")


def test_what_is_finished_can_be_kept(run: str, tmp_path: Path) -> None:
    (tmp_path / CellPaths("tiny", "bbe", "della", 2).record).unlink()
    release = load_release(freeze(run, "r1", finished=True, root=tmp_path).name, tmp_path)
    assert release.manifest["unfinished"] == ["bbe/della/seed2"]
    assert Cell("bbe", "della", 1) in release.cells and Cell("bbe", "della", 2) not in release.cells
    for record in (tmp_path / "results/runs").rglob("record.json"):
        record.unlink()
    with pytest.raises(BenchError, match="is not finished"):
        freeze(run, "r2", finished=True, root=tmp_path)


def test_a_training_that_no_table_reads_can_be_all_that_is_finished(tmp_path: Path) -> None:
    about = "reports:\n  table1: {datasets: [bbe], methods: [gpt2]}\n  curves: {datasets: [bbe], methods: [della]}\n"
    suite = fake_run.write_suite(tmp_path, fake_run.YAML + about)
    fake_run.write_run(tmp_path, suite)
    for method, seeds in {"gpt2": (1, 2), "human": (0,)}.items():
        for seed in seeds:
            (tmp_path / CellPaths("tiny", "bbe", method, seed).record).unlink()
    release = load_release(freeze(suite, "r1", finished=True, root=tmp_path).name, tmp_path)
    assert list(release.cells) == [Cell("bbe", "della", 1), Cell("bbe", "della", 2)]
    assert release.manifest["unfinished"] == ["bbe/gpt2/seed1", "bbe/gpt2/seed2", "bbe/human/seed0"]


@pytest.mark.parametrize("git", [{"sha": "0123", "dirty": True}, {"sha": "", "dirty": False}])
def test_uncommitted_code_is_refused_unless_allowed(run: str, tmp_path: Path, git: dict[str, Any]) -> None:
    edit(tmp_path, {"git": git})
    refused(run, tmp_path, "cell bbe/della/seed2: made from uncommitted code")
    assert git in load_release(freeze(run, "r1", True, root=tmp_path).name, tmp_path).manifest["git"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"data": "0" * 64}, "bbe/della/seed2: made from other data"),
        ({"code": {"train": "older"}}, "bbe/della/seed2: stage 'train' ran other code"),
        ({"settings": {"train": "older"}}, "bbe/della/seed2: stage 'train' ran under settings the suite no longer has"),
    ],
)
def test_mixtures_are_refused(run: str, tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    edit(tmp_path, change)
    refused(run, tmp_path, complaint, allow_dirty=True)


def test_lost_statistics_are_refused(run: str, tmp_path: Path) -> None:
    (tmp_path / CellPaths("tiny", "bbe", "della", 2).likelihood).unlink()
    refused(run, tmp_path, "della/seed2/likelihood.npz: cannot be read")


def say_scores(root: Path, suite_path: str) -> None:
    """What a record says of its scores, where :mod:`tests.fake_run` writes those of an older version."""
    suite = suites.load(suite_path)
    for cell in (*suites.cells(suite), *suites.untrained(suite)):
        paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
        (root / paths.samples).write_text(f"texts of {cell}\n", encoding="utf-8")
        files = {"likelihood": paths.likelihood, "texts": paths.samples}
        scores = {
            family: {
                "code": "metrics", "settings": digests.settings(suite, "score", family=family),
                "of": sha256(root / files[source]),
            }
            for family, source in suites.families_of(suite, cell.dataset, cell.method).items()
        }  # fmt: skip
        edit(root, {"scores": scores}, cell.method, cell.seed, cell.dataset)


@pytest.mark.parametrize(("file", "family"), [("likelihood.npz", "likelihood"), ("samples.jsonl", "ngrams")])
def test_values_of_other_statistics_or_texts_are_refused(run: str, tmp_path: Path, file: str, family: str) -> None:
    """As where a run was killed after they were made again, and before they were scored."""
    say_scores(tmp_path, run)
    path = tmp_path / CellPaths("tiny", "bbe", "della", 2).root / file
    before = path.read_bytes()
    path.write_bytes((path.parents[1] / "seed1" / file).read_bytes())
    refused(run, tmp_path, f"cell bbe/della/seed2: its {family} values are of another {file} than is there")
    path.write_bytes(before)
    assert freeze(run, "r1", root=tmp_path).is_dir()


METRICS = fake_run.YAML[fake_run.YAML.index("metrics:") : fake_run.YAML.index("generation:")]


@pytest.mark.parametrize(
    ("metrics", "complaint"),
    [
        (METRICS.replace("jaccard]", "jaccard, mauve]"), "cell bbe/gpt2/seed1: it has no mauve values"),
        (METRICS.replace("jaccard]", "jaccard, fluency]"), "cell bbe/gpt2/seed1: it has no fluency values"),
        (METRICS.replace("mi, au", "mi"), "cell bbe/gpt2/seed1: its likelihood values are of metrics the suite no"),
        ("metrics:\n  elbo:\n  bleu: {resamples: 10}\n", "cell bbe/gpt2/seed1: its likelihood values are of metrics"),
    ],
)
def test_metrics_that_were_never_computed_are_refused(run: str, tmp_path: Path, metrics: str, complaint: str) -> None:
    say_scores(tmp_path, run)
    fake_run.write_suite(tmp_path, fake_run.YAML.replace(METRICS, metrics))
    refused(run, tmp_path, complaint)
    fake_run.write_suite(tmp_path)
    assert freeze(run, "r1", root=tmp_path).is_dir()


def test_a_training_without_values_is_refused_where_the_suite_has_metrics_of_it(tmp_path: Path) -> None:
    """Else it is frozen for its history alone."""
    text = fake_run.YAML + "reports:\n  table1: {datasets: [bbe], methods: [gpt2]}\n"
    alone = text + "  curves: {datasets: [bbe], methods: [della]}\n"
    suite = fake_run.write_suite(tmp_path, alone)
    fake_run.write_run(tmp_path, suite)
    say_scores(tmp_path, suite)
    for seed in (1, 2):
        path = tmp_path / CellPaths("tiny", "bbe", "della", seed).record
        content = json.loads(path.read_text(encoding="utf-8"))
        content["values"] = {}
        path.write_text(json.dumps(content), encoding="utf-8")
    assert Cell("bbe", "della", 1) in load_release(freeze(suite, "r1", root=tmp_path).name, tmp_path).cells
    shutil.rmtree(tmp_path / "results/frozen")
    fake_run.write_suite(tmp_path, text.replace("[gpt2]", "[gpt2, della]"))
    refused(suite, tmp_path, "cell bbe/della/seed1: it has no likelihood values, which the suite now has")


def test_scores_by_other_code_than_other_cells_are_refused(run: str, tmp_path: Path) -> None:
    say_scores(tmp_path, run)
    edit(tmp_path, {"scores": {"ngrams": {"code": "older"}}}, "human", 0)
    refused(run, tmp_path, "cell bbe/human/seed0: its ngrams values are by other code than other cells'")


def test_a_lost_history_is_refused(run: str, tmp_path: Path) -> None:
    (tmp_path / CellPaths("tiny", "bbe", "della", 2).history).unlink()
    refused(run, tmp_path, "bbe/della/seed2/history.csv: the history of a training with a record is gone")


def test_a_release_never_changes(run: str, tmp_path: Path) -> None:
    folder = freeze(run, "r1", root=tmp_path)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BenchError, match="a release never changes"):
        freeze(run, "r1", root=tmp_path)
    assert (folder / "manifest.json").read_bytes() == before


def test_a_name_is_one_freezes_alone(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one that begins before the first has ended would take its place."""
    check = bench.freeze._check

    def check_and_begin_again(*given: Any) -> None:
        check(*given)
        with pytest.raises(BenchError, match="is writing it: wait for that") as error:
            freeze(run, "r1", root=tmp_path)
        assert "\n" not in str(error.value)

    monkeypatch.setattr("bench.freeze._check", check_and_begin_again)
    folder = freeze(run, "r1", root=tmp_path)
    assert list((tmp_path / "results/frozen").iterdir()) == [folder], "no lock is left"


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b"])
def test_names_that_are_paths_are_refused(run: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(BenchError, match="expected letters"):
        freeze(run, name, root=tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"), [("{}", "damaged"), ("{", "not valid JSON"), ('{"schema": 9}', "reads 1")]
)
def test_a_damaged_manifest_is_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "results/frozen/r1/manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BenchError, match=complaint):
        load_release("r1", tmp_path)


def test_a_method_has_code_of_its_own_on_each_backbone(tmp_path: Path) -> None:
    text = fake_run.YAML.replace("sotu: {train: 20, valid: 5, test: 4, seeds: [1]}", "quora: {backbone: {kind: bart}}")
    suite = fake_run.write_suite(tmp_path, text)
    fake_run.write_run(tmp_path, suite)

    def change(seed: int) -> None:
        path = tmp_path / CellPaths("tiny", "quora", "della", seed).record
        content = json.loads(path.read_text(encoding="utf-8"))
        content["provenance"]["code"]["train"] = "of bart"
        path.write_text(json.dumps(content), encoding="utf-8")

    change(1)
    refused(suite, tmp_path, "quora/della/seed2: stage 'train' ran other code")
    change(2)
    assert freeze(suite, "r1", root=tmp_path).is_dir()
