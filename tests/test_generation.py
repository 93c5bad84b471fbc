"""What is drawn and what it is scored against belong together: the i-th text, the i-th source, the i-th reference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import suite as suites
from bench.backbones.base import Cache
from bench.cli import main
from bench.data.prepare import read_split
from bench.files import sha256, write_json
from bench.generation import generate, together
from bench.methods.base import Condition, Method
from bench.metrics import score as score_texts
from bench.paths import CellPaths
from bench.schema import Generation, Suite
from tests.trained_cell import write_cell

DRAWN = 5  # of nine


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A conditional cell whose test split is not its train split, and a model that says its source again."""
    monkeypatch.chdir(tmp_path)
    write_cell(tmp_path, "sotu-story", "embed")
    text = Path("trained.yaml").read_text()
    Path("trained.yaml").write_text(
        text.replace("metrics: [elbo]", "metrics: [elbo, corpus_bleu, distinct]").replace(
            "max_source_tokens: 12", "max_source_tokens: 40"
        )
        + f"generation: {{samples: {DRAWN}}}\n"
    )
    data = CellPaths("trained", "sotu-story", "embed", 1).data
    pairs = [(f"{word} is named", f"It was {word} they named on day {i}.") for i, word in enumerate("abcdefghi")]
    (data / "test.txt").write_text("".join(f"{source}\t{text}\n" for source, text in pairs))
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["splits"]["test"]["sha256"] = sha256(data / "test.txt")
    write_json(data / "manifest.json", manifest)

    def say_again(
        self: Method, z: Any, decoding: Any, limit: int, condition: Condition | None = None
    ) -> list[list[int]]:
        assert condition is not None and len(z) == len(condition.context.ids)
        return [ids[real].tolist() for ids, real in zip(condition.context.ids, condition.context.mask, strict=True)]

    monkeypatch.setattr(Method, "decode", say_again)
    return suites.load("trained.yaml")


@pytest.mark.parametrize("method", ["embed", "gpt2"])
def test_samples_are_those_of_the_seed(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One model under two seeds: each has its own texts, and the same ones again."""
    monkeypatch.chdir(tmp_path)
    suite = write_cell(tmp_path, "bbe", method).model_copy(update={"generation": Generation(samples=8)})
    first, second = (CellPaths(suite.name, "bbe", method, seed) for seed in (1, 2))
    shutil.copytree(first.model, second.model)

    def drawn(seed: int) -> list[str]:
        generate(suite, suites.Cell("bbe", method, seed))
        lines = (first, second)[seed - 1].samples.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["text"] for line in lines]

    of_first, of_second = drawn(1), drawn(2)
    assert drawn(1) == of_first != of_second == drawn(2)


@given(st.data())
def test_a_cache_holds_what_was_put_in(data: st.DataObject) -> None:
    """Of the sequences selected, in their order, all positions: bit for bit what concatenation has."""
    cache, n = Cache(), data.draw(st.integers(1, 4))
    expected = [torch.empty(n, 2, 0, 3) for _ in range(4)]  # keys and values of two layers
    for length in data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=8)):
        new = torch.randn(4, n, 2, length, 3)
        expected = [torch.cat(pair, 2) for pair in zip(expected, new, strict=True)]
        found = [part for layer in range(2) for part in cache.extend(layer, new[2 * layer], new[2 * layer + 1])]
        assert all(map(torch.equal, found, expected))
        rows = torch.tensor(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=5)))
        cache.select(rows)
        expected, n = [part[rows] for part in expected], len(rows)


def test_on_a_cpu_batches_are_of_one_size() -> None:
    """Or a seed's samples would be others; on a GPU longer texts are decoded fewer at a time."""
    assert {together(torch.device("cpu"), positions) for positions in (10, 100, 10_000)} == {256}
    sizes = [together(torch.device("cuda"), positions) for positions in (100, 1000, 10**6)]
    assert sizes == [1310, 131, 1]


def run(*arguments: str, row: str = "embed", seed: int = 1) -> None:
    cell = ["--suite", "trained.yaml", "--dataset", "sotu-story"]
    own = ["--row", row] if arguments[0] == "untrained" else ["--method", row, "--seed", str(seed)]
    assert main([arguments[0], *cell, *own, *arguments[1:]]) == 0


def samples(row: str, seed: int) -> list[dict[str, Any]]:
    path = CellPaths("trained", "sotu-story", row, seed).samples
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_ith_text_is_drawn_from_the_ith_test_source(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.generation.BATCH", 2)  # several batches, the last one smaller
    run("generate")
    test, drawn = read_split(CellPaths("trained", "sotu-story", "embed", 1).data, "test"), samples("embed", 1)
    assert test.sources is not None and len(drawn) == DRAWN
    assert [row["source"] for row in drawn] == test.sources[:DRAWN]
    assert [row["text"] for row in drawn] == test.sources[:DRAWN], "the model says its source again"


def test_rows_without_a_model(suite: Suite) -> None:
    data = CellPaths("trained", "sotu-story", "embed", 1).data
    test, valid = read_split(data, "test"), read_split(data, "valid")
    for row in ("copy", "human"):
        run("untrained", row=row)
    assert test.sources is not None
    assert [row["text"] for row in samples("copy", 0)] == test.sources[:DRAWN]
    assert [row["text"] for row in samples("human", 0)] == valid.texts[:DRAWN]


def test_fewer_human_texts_than_samples(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("trained.yaml").read_text().replace(f"samples: {DRAWN}", "samples: 10")
    Path("trained.yaml").write_text(text)
    where = ["--suite", "trained.yaml", "--dataset", "sotu-story"]
    data = CellPaths("trained", "sotu-story", "human", 0).data
    pairs = [f"{letter} source\t{letter} text" for letter in "abcdefghijkl"]  # ten sources, but of nine references
    (data / "test.txt").write_text("".join(f"{pair}\n" for pair in pairs))
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["splits"]["test"]["sha256"] = sha256(data / "test.txt")
    write_json(data / "manifest.json", manifest)
    assert main(["untrained", *where, "--row", "human"]) == 2
    error = capsys.readouterr().err
    assert "dataset 'sotu-story': the human row needs 10 validation texts (generation.samples), there are 9" in error
    assert error.count("\n") == 1 and not CellPaths("trained", "sotu-story", "human", 0).samples.exists()


def test_a_text_is_scored_against_the_reference_of_its_source(suite: Suite) -> None:
    """The copied sources, by the standalone scorer and by the cell's: the same number."""
    run("untrained", row="copy")
    run("score-cell", "--family", "pairs", row="copy", seed=0)
    paths = CellPaths("trained", "sotu-story", "copy", 0)
    test = read_split(paths.data, "test")
    assert test.sources is not None
    values = json.loads(paths.scores("pairs").read_text())["values"]
    expected = score_texts(test.sources[:DRAWN], test.texts[:DRAWN], metrics=["corpus_bleu"])
    turned = score_texts(test.sources[:DRAWN], test.texts[DRAWN - 1 :: -1], metrics=["corpus_bleu"])
    assert values["cbleu2"]["value"] == expected["cbleu2"].value > turned["cbleu2"].value


def test_human_text_has_no_reference_of_its_own(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    run("untrained", row="human")
    where = ["--suite", "trained.yaml", "--dataset", "sotu-story"]
    assert main(["score-cell", *where, "--method", "human", "--seed", "0", "--family", "pairs"]) == 2
    assert "human on sotu-story: no metric of family 'pairs'" in capsys.readouterr().err
    for verb in ("train", "likelihood", "generate"):
        assert main([verb, *where, "--method", "copy", "--seed", "0"]) == 2
        assert f"'copy' is a row without a model: there is nothing to {verb}" in capsys.readouterr().err
    assert main(["untrained", "--suite", "trained.yaml", "--dataset", "bbe", "--row", "copy"]) == 2
