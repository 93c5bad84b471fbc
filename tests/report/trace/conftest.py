"""A finished run with every kind of dataset and method that TRACE's reports are about."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import suite as suites
from bench.files import write_json
from bench.metrics.likelihood_file import LikelihoodFile
from bench.paths import CellPaths
from bench.schema import Suite
from tests import fake_run

YAML = """
name: tiny
datasets: {bbe: , yelp: {data_dir: x}, sotu-story: {sentences: true}}
methods:
  gpt2:
  ind:
  cgd:
  no-recurrence:
  trace-r:
  trace-p:
  trace-r-ln:
  trace-r-rp:
  trace-r+bn:
  trace-p-sn:
  trace-r-1: {use: trace-r, options: {segment_length: 1}}
  trace-p-1: {use: trace-p, options: {segment_length: 1}}
  trace-r-20: {use: trace-r, options: {segment_length: 20}}
seeds: [1, 2]
metrics: [iw, elbo, mi, au, "paper:trace", self_bleu, distinct, cnd, jaccard, rouge, corpus_bleu, bertscore]
generation: {samples: 250}
decodings: {greedy: {strategy: greedy}, beam10: {strategy: beam, k: 10}}
reports:
  trace/table1: {datasets: [bbe, yelp, sotu-story], methods: [trace-r]}
  trace/table2: {datasets: [bbe, yelp], methods: &models [gpt2, ind, cgd, no-recurrence, trace-r, trace-p]}
  trace/table3: {datasets: [sotu-story], methods: *models}
  trace/table5: {datasets: [bbe], methods: [trace-r, trace-r-ln, trace-r-rp, trace-r+bn, trace-p, trace-p-sn]}
  trace/table6: {datasets: [bbe], methods: [gpt2, ind, trace-r], decodings: [greedy, beam10]}
  trace/figure2: {datasets: [bbe], methods: [trace-r-1, trace-r, trace-r-20, trace-p-1, trace-p]}
  trace/figure3: {datasets: [bbe], methods: [trace-r-20, trace-r, trace-r-1]}
  trace/theorem1: {datasets: [bbe], methods: [trace-r, trace-r-ln, trace-r+bn], seeds: [1]}
"""
LATENT, GAMMA = 32, 3.0


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once, copied for each test."""
    root = tmp_path_factory.mktemp("trace")
    suite = fake_run.write_run(root, fake_run.write_suite(root, YAML))
    for cell in suites.cells(suite):
        paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
        write_json(root / paths.cost("train"), {**fake_run.cost(cell), "device": "cpu"})
        _paper_trace(root / paths.record)
    for cell in suites.cells(suite, "trace/table6"):
        for name in suite.decodings:
            _drawn(root, suite, cell, name)
    for cell in suites.cells(suite, "trace/theorem1"):
        _trained(root, suite, cell)
    return root


@pytest.fixture
def trace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite of a finished run in the working directory."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).parents[3] / "results" / "published", "results/published")
    return suites.load(str(tmp_path / "tiny.yaml"))


def _paper_trace(record: Path) -> None:
    """The values of ``paper:della`` as those of ``paper:trace``."""
    content = json.loads(record.read_text(encoding="utf-8").replace("paper:della", "paper:trace"))
    values = content["values"]
    if "paper:trace/au_0.2" in values:
        values["paper:trace/au_0.1"] = values.pop("paper:trace/au_0.2")
    write_json(record, content)


def _drawn(root: Path, suite: Suite, cell: suites.Cell, name: str) -> None:
    """A record of one decoding: text metrics alone, less diverse than the dataset's own."""
    given = json.loads(
        (root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).record).read_text(encoding="utf-8")
    )
    texts = {key: value for key, value in given["values"].items() if key in ("cnd", "self_bleu4", "dist2", "js")}
    texts["self_bleu4"]["value"] += {"greedy": 20, "beam10": 40}[name]
    path = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, name).record
    write_json(root / path, {**given, "decoding": name, "values": texts})


def _trained(root: Path, suite: Suite, cell: suites.Cell) -> None:
    """A model directory of a bias of norm 4, and statistics whose KL(z_1) is what such a posterior has."""
    from safetensors.numpy import save_file

    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    rng = np.random.default_rng(len(cell.method))
    bias = rng.normal(size=LATENT)
    bias *= 4 / np.linalg.norm(bias)
    raw = rng.normal(size=(40, LATENT))
    normalised = (raw - raw.mean(1, keepdims=True)) / raw.std(1, keepdims=True)
    mean = (raw if cell.method == "trace-r-ln" else GAMMA * normalised) + (cell.method != "trace-r-ln") * bias
    kl = np.stack([0.5 * (mean**2).sum(1) + 0.01, np.full(40, 2.0)], axis=1)
    empty = LikelihoodFile.empty(40, 40, 1, 2, LATENT, 100, 32)
    with open(root / paths.likelihood, "wb") as stream:
        replace(empty, kl=kl).write(stream)
    (root / paths.model).mkdir()
    write_json(root / paths.model / "config.json", {"use": cell.method, "options": {}})
    tensors = {"g.weight": np.zeros((2, 2), dtype=np.float32)}
    if cell.method != "trace-r-ln":
        tensors["normalise.bias"] = bias.astype(np.float32)
    save_file(tensors, root / paths.model / "weights.safetensors")
