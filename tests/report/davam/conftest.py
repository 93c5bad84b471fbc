"""A finished run with every kind of dataset and method that DAVAM's reports are about."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import suite as suites
from bench.files import write_json
from bench.paths import CellPaths
from bench.samples import write_samples
from bench.schema import Suite
from bench.suite import UNTRAINED, Cell
from tests import fake_run

YAML = """
name: tiny
datasets: {bbe: , ptb: {data_dir: x}, yahoo: {data_dir: x}}
methods:
  lstm-lm:
  lstm-vae:
  lstm-vae+fbp:
  lstm-vae+pretraining+fbp:
  vae-attn:
  gavam:
  davam-q:
  davam-k128:
  davam-k512:
  davam-k256: {use: davam-k512, options: {codes: 256}}
  davam-beta-1: {use: davam-k512, options: {beta_max: 1.0}}
  davam-latent-8: {use: davam-k512, options: {latent: 8}}
seeds: [1, 2]
metrics: [iw, elbo, "paper:davam", fluency, entropy, distinct]
backbone: {kind: lstm, layers: 1, width: 16, vocabulary: 400, tokenizer: words}
generation: {samples: 250}
decodings:
  length-10: {strategy: sample}
  length-30: {strategy: sample}
augmentation: {sizes: [1000, 2000], factors: [0, 0.5, 4]}
reports:
  davam/table1: {datasets: [bbe, ptb], methods: [davam-k512]}
  davam/table2:
    datasets: [bbe, ptb]
    methods: [lstm-lm, lstm-vae, lstm-vae+fbp, gavam, davam-q, davam-k128, davam-k512]
  davam/table3: {datasets: [bbe], methods: [vae-attn, davam-k512], decodings: [length-10, length-30]}
  davam/table4: {datasets: [bbe, yahoo], methods: [vae-attn, gavam, davam-k512], decodings: [length-10, length-30]}
  davam/table5:
    datasets: [yahoo]
    methods: [lstm-vae+pretraining+fbp, davam-k512]
    decodings: [length-10, length-30]
  davam/figure3: {datasets: [bbe], methods: [davam-k512, davam-k128]}
  davam/figure4a: {datasets: [bbe], methods: [davam-k512, davam-k128, davam-k256]}
  davam/figure4b: {datasets: [bbe], methods: [davam-k512, davam-beta-1]}
  davam/figure4c: {datasets: [bbe], methods: [davam-k512, davam-latent-8]}
  davam/figure4d: {datasets: [bbe], methods: [gavam, davam-k512]}
"""
STEPS = 20
KL = {"lstm-vae": 0.01, "lstm-vae+fbp": 3.0, "gavam": 0.02, "davam-q": 4.0}  # others have STEPS of KL_STEP
KL_STEP = 3.0
WORDS = 22.0  # and EOS


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once, copied for each test."""
    root = tmp_path_factory.mktemp("davam")
    suite = fake_run.write_run(root, fake_run.write_suite(root, YAML))
    for cell in suites.cells(suite):
        _record(root, suite, cell)
        if cell.method.startswith(("gavam", "davam")):
            _history(root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).history, cell)
    for cell in suites.cells(suite, "davam/figure3"):
        for part, (size, factor) in suites.augmented_parts(suite).items():
            path = CellPaths(suite.name, cell.dataset, cell.method, cell.seed).augmented(part)
            write_json(root / path, augmented(cell, size, factor))
    for report in ("davam/table3", "davam/table4", "davam/table5"):
        for cell in (*suites.drawn(suite, report), *suites.untrained(suite, report)):
            _record(root, suite, cell)
            path = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding).samples
            texts = [f"{cell.method} {cell.decoding} {cell.seed} text {i}" for i in range(6)]
            write_samples(root / path, texts, "sample()", cell.seed)
    return root


@pytest.fixture
def davam(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite of a finished run in the working directory."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).parents[3] / "results" / "published", "results/published")
    suite = suites.load(str(tmp_path / "tiny.yaml"))
    decodings = {
        name: of.model_copy(update={"words": int(name.rpartition("-")[2])}) for name, of in suite.decodings.items()
    }
    return suite.model_copy(update={"decodings": decodings})


def augmented(cell: Cell, size: int, factor: float) -> dict[str, Any]:
    """A language model that gains by generated texts, the more the fewer others it has."""
    ppl = 100 + 100_000 / size / (1 + factor * (0.5 if cell.method == "davam-k512" else 0.1)) + cell.seed
    return {
        "model": "lstm-lm", "size": size, "factor": factor, "generated": int(factor * size), "decoding": "sample()",
        "seed": cell.seed, "data": "0" * 64, "trained_on": 20, "n": 5, "ppl_word": ppl, "ci95": [ppl - 4, ppl + 4],
        "signature": "ppl|protocol:exact|per:word|tokens:words_read+eos|N:5|v:1",
    }  # fmt: skip


def _record(root: Path, suite: Suite, cell: Cell) -> None:
    """The values of DAVAM's metrics in place of the invented ones."""
    path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding).record
    content = json.loads(path.read_text(encoding="utf-8"))
    values = {} if cell.decoding or cell.method in UNTRAINED else _likelihood(cell)
    write_json(path, {**content, "values": {**values, **_texts(cell)}})


def _likelihood(cell: Cell) -> dict[str, Any]:
    """Numbers as in the paper: a low Rec is bought with codes."""
    rec = 100.0 - 8.0 * cell.method.startswith("davam-k") - int(cell.method.removeprefix("davam-k") == "512") * 20
    rec += cell.seed / 10
    exact, paper = "protocol:exact|groups:sum", "protocol:paper:davam|groups:mean"
    plain = cell.method == "lstm-lm"
    steps = 1 if cell.method in KL and cell.method != "gavam" else STEPS
    kl = 0.0 if plain else KL.get(cell.method, KL_STEP * STEPS)
    ppl, averaged = math.exp((rec + kl) / WORDS), math.exp((rec + kl / steps) / WORDS)
    found = {
        "rec": fake_run.value(rec, f"rec|{exact}|N:5|v:1"),
        "nelbo": fake_run.value(rec + kl, f"nelbo|{exact}|N:5|v:1"),
        "ppl_word": fake_run.value(ppl, f"ppl|{exact}|K:100|per:word|tokens:words_read+eos|N:5|v:1"),
        "paper:davam/rec": fake_run.value(rec, f"rec|{paper}|N:5|v:1"),
        "paper:davam/ppl": fake_run.value(averaged, f"ppl|{paper}|tokens:words_read+eos|N:5|v:1"),
    }
    if not plain:
        found |= {
            "kl": fake_run.value(kl, f"kl|{exact}|N:5|v:1"),
            "paper:davam/kl": fake_run.value(kl / steps, f"kl|{paper}|N:5|v:1"),
        }
    return found


def _texts(cell: Cell) -> dict[str, Any]:
    words = int(cell.decoding.rpartition("-")[2] or 20)
    own = len(cell.method) / 10 + cell.seed / 100
    return {
        "fluency_sentence": fake_run.value(8 - own - words / 20, "fluency|form:sentence|model:m-1|v:1"),
        "ent1": fake_run.value(5 + own / 10, "entropy|n:1|N:250|tok:regex|v:1"),
        "dist1": fake_run.value(40 - words / 2 + own, "distinct|n:1|N:250|tok:regex|v:1"),
        "dist2": fake_run.value(85 - words / 2 - own, "distinct|n:2|N:250|tok:regex|v:1"),
    }


def _history(path: Path, cell: Cell) -> None:
    """GAVAM's KL rises and falls; DAVAM's codes are trained first, its prior then."""
    lines = ["stage,step,epoch,beta,lr,train_rec,train_kl,valid_rec,valid_kl,valid_nelbo"]
    for step in range(0, 801, 20):
        if cell.method == "gavam":
            kl = 5 * math.exp(-(((step - 60) / 60) ** 2)) + 0.001
            lines.append(f",{step},{step / 200},1,1.0,,,{100 + 40 * math.exp(-step / 100)},{kl},")
        elif step < 400:
            lines.append(f"codes,{step},{step / 200},1,1.0,,,{60 + 90 * math.exp(-step / 60)},,")
        else:
            lines.append(f"prior,{step},{step / 200},1,1.0,,,60,{60 + 70 * math.exp(-(step - 400) / 40)},")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
