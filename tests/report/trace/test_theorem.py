"""Theorem 1: what follows from the weights, and what was measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import model as models
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.report.model import Cell, Report
from bench.report.published import load_published
from bench.report.trace.theorem import BIAS, Bound, build, read, read_bound, render
from bench.schema import Backbone, MethodSpec, Suite
from bench.suite import cells

REPORT = "trace/theorem1"


def report(suite: Suite) -> Report:
    return build(suite, [read(suite, cell) for cell in cells(suite, REPORT)], load_published())


def shown(found: Report) -> dict[str, dict[str, Cell]]:
    table = found.tables[0]
    keys = [column.key for column in table.columns]
    return {row.label: dict(zip(keys, row.cells, strict=True)) for group in table.groups for row in group.rows}


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0.1, 5), st.floats(0, 30))
@settings(max_examples=60, deadline=None)
def test_the_guarantee_holds_for_every_normalised_vector(seed: int, latent: int, gamma: float, norm: float) -> None:
    rng = np.random.default_rng(seed)
    raw, bias = rng.normal(size=latent), rng.normal(size=latent)
    normalised, bias = (raw - raw.mean()) / raw.std(), norm * bias / np.linalg.norm(bias)
    bound = Bound("layer", gamma, latent, float(np.linalg.norm(bias)))
    kl = 0.5 * float(((gamma * normalised + bias) ** 2).sum())
    assert kl >= bound.guaranteed * (1 - 1e-9) - 1e-9
    cross = gamma * float(normalised @ bias)
    assert kl == pytest.approx(bound.theorem + cross), "Theorem 1 leaves out the cross term"


def test_the_guarantee_is_sharp() -> None:
    """A constant n and b = -gamma n: KL 0, where Theorem 1 promises l gamma^2."""
    normalised = np.array([1.0, -1.0] * 16)
    bound = Bound("layer", 3.0, 32, float(np.linalg.norm(3 * normalised)))
    assert bound.scale == 144 and bound.theorem == pytest.approx(288) and bound.guaranteed == pytest.approx(0)
    scalar = Bound("layer", 3.0, 32, math.sqrt(32) * 0.5)  # the bias 0.5 in every dimension
    kl = 0.5 * float(((3 * normalised + 0.5) ** 2).sum())
    assert kl == pytest.approx(scalar.theorem) and scalar.theorem == pytest.approx(32 * (9 + 0.25) / 2)


def test_measured_and_promised(trace: Suite) -> None:
    rows = shown(report(trace))
    assert list(rows) == ["TRACE-R, seed 1", "-LN (trace-r-ln), seed 1", "+BN (trace-r+bn), seed 1"]
    layer, none, batch = rows.values()
    assert layer["scale"].text == "144.00" and layer["theorem"].text == "152.00"
    assert layer["guaranteed"].value == pytest.approx((3 * math.sqrt(32) - 4) ** 2 / 2, rel=1e-6)
    assert all(none[key].value == 0 for key in ("scale", "theorem", "guaranteed"))
    assert batch["guaranteed"].value == 0 and batch["theorem"].marks == ("a",)
    low, high = map(float, layer["interval"].text.split(" – "))
    value, total = layer["kl_1"].value, layer["kl"].value
    assert value is not None and total is not None and low < value < high
    assert total == pytest.approx(value + 2), "the second segment's KL is 2"


def test_findings_follow_the_numbers(trace: Suite) -> None:
    found = report(trace).tables[0].findings
    assert len(found) == 2, "-LN promises nothing"
    assert "is at least the guaranteed 84.12" in found[0] and "guaranteed" not in found[1]


def test_the_printed_kl_stands_beside_the_papers_own_bound(trace: Suite) -> None:
    printed = report(trace).tables[1]
    texts = [[cell.text for cell in row.cells] for group in printed.groups for row in group.rows]
    assert texts == [["3.51", "144"], ["4.52", "144"], ["3.65", "144"], ["3.99", "144"]]
    assert "far below" in printed.caption


def test_no_record_is_read_and_every_format_written(trace: Suite) -> None:
    for record in Path().glob("results/runs/**/record.json"):
        record.unlink()
    render(trace, REPORT, Path("r/t.csv"))
    assert sorted(path.suffix for path in Path("r").iterdir()) == [".csv", ".html", ".md", ".tex"]
    assert "U+" not in Path("r/t.tex").read_text(encoding="utf-8")
    header, *lines = Path("r/t.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("dataset,method,seed,quantity") and len(lines) == 3 * 6 + 4


def test_only_the_bias_of_means_counts(tmp_path: Path) -> None:
    """``normalised: both`` trains a bias of log-variances too, behind that of the means: [2l]."""
    backbone = Backbone(layers=1, width=8, heads=2, vocabulary=260, max_tokens=24)
    for kind in ("mean", "both"):
        spec = MethodSpec(use="trace-r", options={"latent": 4, "normalised": kind, "gamma": 2.0})
        method = models.build(spec, backbone, 0)
        with torch.no_grad():
            method.get_parameter(BIAS)[:4] = torch.tensor([1.0, -2.0, 2.0, 0.0])
            method.get_parameter(BIAS)[4:] = 100.0
        config = {**spec.model_dump(include={"use", "options"}), "backbone": backbone.model_dump(mode="json")}
        models.save(method, {**config, "conditional": False}, tmp_path / kind)
        assert read_bound(tmp_path / kind, 4) == Bound("layer", 2.0, 4, 3.0)


def test_a_damaged_model_is_one_clear_line(trace: Suite) -> None:
    folder = CellPaths("tiny", "bbe", "trace-r", 1).model
    (folder / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(BenchError, match=r"model/weights.safetensors: missing or damaged"):
        read_bound(folder, 32)


def test_a_model_without_a_latent_variable_is_refused(trace: Suite) -> None:
    gpt2 = next(cell for cell in cells(trace) if (cell.dataset, cell.method) == ("bbe", "gpt2"))
    with pytest.raises(BenchError, match="gpt2 on bbe has no latent variable"):
        read(trace, gpt2)
