"""A model that diverged is a result: its infinite values reach scores, record and table, and the finite ones too."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.freeze import freeze, load_release
from bench.metrics import iw, score_likelihood
from bench.metrics.likelihood_file import LikelihoodFile, per_example
from bench.paths import CellPaths
from bench.record_schema import parse_record, read_record, write_record
from bench.report.collect import gather
from bench.report.published import Published
from bench.report.table import build
from bench.schema import Suite
from bench.score import score
from bench.suite import Cell
from tests import fake_run

CELL = Cell("bbe", "della", 1)


@pytest.fixture
def stats() -> LikelihoodFile:
    """N = 30 texts of 5 tokens, three groups of two dims, K = 10 weights."""
    rng = np.random.default_rng(0)
    made = LikelihoodFile.empty(30, 30, 10, 3, 2, 10, 32)
    made.rec[:], made.kl[:] = 20.0, rng.uniform(0, 3, (30, 3))
    made.log_px[:] = -rng.uniform(20, 40, (30, 10))
    made.mean[:] = rng.normal(size=(30, 3, 2))
    made.predicted[:], made.words[:] = 5, 4
    return made


@pytest.mark.filterwarnings("error")
def test_perplexity_beyond_all_numbers_is_infinite(stats: LikelihoodFile) -> None:
    values = score_likelihood(replace(stats, log_px=np.full((30, 10), -1e5)))
    for key in ("ppl", "ppl_word", "paper:della/ppl", "paper:trace/ppl"):
        assert (values[key].value, values[key].ci95) == (math.inf, None)
        assert values[key].interval.startswith("none: ")
    assert values["nll"].value == 1e5 and values["nelbo"].value < 40
    assert values["ess"].value == values["ess@10"].value == pytest.approx(10) and values["ess"].value <= 10


@pytest.mark.filterwarnings("error")
def test_weights_that_are_all_zero(stats: LikelihoodFile) -> None:
    """One example of 30: an infinite NLL, and no effective sample; others keep theirs."""
    log_px = stats.log_px.copy()
    log_px[3], log_px[4, 1:] = -np.inf, -np.inf
    diverged = replace(stats, log_px=log_px)
    each = iw.effective_sample_size(stats.log_w)
    each[3], each[4] = 0, 1
    assert iw.effective_sample_size(diverged.log_w).tolist() == each.tolist()
    values = iw.METRIC.compute(diverged, {})
    assert values["nll"].value == values["nll@1"].value == values["ppl"].value == math.inf
    assert 0 < values["ess"].value < 10 and values["ess"].ci95 is not None


@pytest.mark.filterwarnings("error")
def test_what_is_not_defined_is_nan(stats: LikelihoodFile) -> None:
    """Never a convenient number: a nan is not a unit that is inactive."""
    nothing = np.full(30, np.nan)
    made = replace(stats, rec=nothing, log_q=nothing, log_q_full=np.full(30, -np.inf), mean=stats.mean * np.nan)
    values = score_likelihood(made)
    undefined = {key for key, value in values.items() if math.isnan(value.value)}
    assert undefined == {"rec", "nelbo", "mi", "mi_batch", "au_0.01", "au_0.1", "au_0.2", "paper:della/nelbo",
                         "paper:della/au_0.2", "paper:trace/nelbo", "paper:trace/au_0.1", "paper:davam/rec",
                         "paper:davam/ppl"}  # fmt: skip
    infinite = replace(stats, log_q=np.full(30, -np.inf), log_q_full=np.full(30, -np.inf))
    assert math.isnan(score_likelihood(infinite, ["mi"])["mi"].value)


@pytest.fixture
def run(stats: LikelihoodFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Suite]:
    """A finished run, one cell of which diverged: its scores and its record are made from its likelihood file."""
    monkeypatch.chdir(tmp_path)
    path = fake_run.write_suite(tmp_path)
    suite = fake_run.write_run(tmp_path, path)
    paths = CellPaths(suite.name, CELL.dataset, CELL.method, CELL.seed)
    with open(paths.likelihood, "wb") as stream:
        replace(stats, rec=np.full(30, np.inf), log_px=np.full((30, 10), -1e5), mean=stats.mean * np.nan).write(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(suite, CELL, "likelihood")
    content = json.loads(paths.record.read_text(encoding="utf-8"))
    scores = json.loads(paths.scores("likelihood").read_text(encoding="utf-8"))
    for key, value in content["values"].items():
        value |= {**scores.get(key, {}), "signature": value["signature"]}  # that of the invented cells beside it
    write_record(parse_record(content, "record"), paths.record)
    return path, suite


def test_to_scores_and_record(run: tuple[str, Suite]) -> None:
    paths = CellPaths(run[1].name, CELL.dataset, CELL.method, CELL.seed)
    scores = json.loads(paths.scores("likelihood").read_text(encoding="utf-8"))
    assert (scores["ppl"]["value"], scores["ppl"]["ci95"], scores["rec"]["value"]) == ("inf", None, "inf")
    assert scores["au_0.2"]["value"] == "nan" and math.isfinite(scores["kl"]["value"])
    values = read_record(paths.record).values
    assert values["ppl"].value == values["nelbo"].value == math.inf and math.isnan(values["au_0.2"].value)
    assert values["kl"].value == scores["kl"]["value"] and values["kl"].ci95 == tuple(scores["kl"]["ci95"])


def test_to_the_table_and_the_release(run: tuple[str, Suite]) -> None:
    """Its per-example statistics that are not finite are left out of a release: nothing can be resampled from them."""
    path, suite = run
    assert set(per_example(CellPaths(suite.name, CELL.dataset, CELL.method, CELL.seed).likelihood)) == {
        "kl", "nll", "predicted",
    }  # fmt: skip
    freeze(path, "r1")
    cell = load_release("r1").cells[CELL]
    assert cell.record.values["ppl"].value == math.inf and set(cell.per_example) == {"kl", "nll", "predicted"}
    main = build(gather(suite, "table1"), Published([])).tables[0]
    row = next(row for row in main.groups[0].rows if row.label == "della")
    shown = dict(zip([column.key for column in main.columns], row.cells, strict=True))
    assert [(shown[key].text, shown[key].spread, shown[key].emphasis) for key in ("ppl", "nelbo", "au_0.2")] == [
        ("∞", "", ""), ("∞", "", ""), ("nan", "", ""),
    ]  # fmt: skip
    assert shown["kl"].spread, "over its two seeds"
    others = [row.cells[[c.key for c in main.columns].index("ppl")] for row in main.groups[0].rows]
    assert {"best", "second"} <= {cell.emphasis for cell in others}
