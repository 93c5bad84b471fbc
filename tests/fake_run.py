"""A finished run made of invented numbers: what the report, freeze and compare tests read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench import digests, registry
from bench import suite as suites
from bench.files import sha256, write_json
from bench.paths import CellPaths
from bench.schema import Suite
from bench.suite import COPY, HUMAN, UNTRAINED, Cell

YAML = """
name: tiny
datasets: {bbe: {train: 20, valid: 5, test: 5}, sotu: {train: 20, valid: 5, test: 4, seeds: [1]}}
methods: [gpt2, embed, della, della@paper]
seeds: [1, 2]
metrics: [iw, elbo, mi, au, "paper:della", bleu, self_bleu, distinct, cnd, jaccard]
generation: {samples: 250}
"""
BASE = {"gpt2": 60.0, "embed": 55.0, "della": 58.0, "della@paper": 57.0, HUMAN: 50.0, COPY: 40.0}
GROUPS = {"gpt2": 0, "bart": 0, "embed": 1, "della": 3, "della@paper": 3}
EXAMPLES = 40
SIZES = {"train": 20, "valid": 5, "test": 5}


DELLA_YAML = """
name: tiny
datasets:
  bbe:
  yelp: {data_dir: x}
  sotu-story:
  kjv2bbe: {backbone: {kind: bart}, decoding: {strategy: beam, k: 5}, seeds: [1]}
  quora: {backbone: {kind: bart}, data_dir: x}
methods:
  gpt2:
  bart:
  embed:
  memory:
  della:
  embed+none:
  embed+bow:
  embed+annealing+bn:
  della+none:
  embed-96: {use: embed, options: {latent: 96}}
  della-ltp:
  della-kl-last:
  embed+medium: {use: embed, backbone: {layers: 24}}
  della+medium: {use: della, backbone: {layers: 24}}
seeds: [1, 2]
metrics: [iw, elbo, mi, au, "paper:della", bleu, self_bleu, distinct, cnd, jaccard, rouge, corpus_bleu, bertscore]
training: {epochs: 3, batch_size: 8}
generation: {samples: 250}
reports:
  della/table1: {datasets: [bbe, yelp], methods: [gpt2, embed, memory, della]}
  della/table2: {datasets: [sotu-story], methods: [gpt2, embed, memory, della]}
  della/table4: {datasets: [bbe], methods: [della, della-ltp, della-kl-last, embed-96]}
  della/table5:
    datasets: [bbe, yelp]
    methods: [embed+none, embed+bow, embed, embed+annealing+bn, della+none, della, embed+medium, della+medium]
  della/table6: {datasets: [bbe, kjv2bbe], methods: [gpt2, bart, embed, della]}
  della/table7: {datasets: [bbe, sotu-story, quora], methods: [della]}
  della/table8: {datasets: [bbe], methods: [gpt2, della]}
  della/table9: {datasets: [kjv2bbe, quora], methods: [bart, embed, memory, della]}
"""


def write_suite(root: Path, text: str = YAML) -> str:
    """The suite's YAML as a file."""
    path = root / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def write_run(root: Path, suite_path: str, uses: tuple[str, ...] = ()) -> Suite:
    """Every record, history, manifest and likelihood file of a finished run under ``root``."""
    suite = suites.load(suite_path, uses)
    for dataset in suite.datasets:
        manifest = root / CellPaths(suite.name, dataset, "", 0).manifest
        write_json(manifest, manifest_of(dataset))
    drawn = (cell for report in suite.reports for cell in suites.drawn(suite, report))
    for cell in dict.fromkeys([*suites.cells(suite), *suites.untrained(suite), *drawn]):
        write_cell(root, suite, cell)
    return suite


def manifest_of(dataset: str) -> dict[str, Any]:
    """The JSON of one manifest."""
    conditional = registry.dataset(dataset).conditional
    counts: dict[str, Any] = {"words_a_text": 20.25, "tokens_a_text": 31.5, "cut_at_max_tokens": 1}
    if conditional:
        counts |= {"source_words_a_text": 10.5, "source_tokens_a_text": 16.75, "sources_cut_at_max_tokens": 2}
    splits = {part: {"texts": n, "available": 10 * n, **counts} for part, n in SIZES.items()}
    limits = {"max_tokens": 64, **({"max_source_tokens": 48} if conditional else {})}
    return {
        "dataset": dataset, "conditional": conditional, "licence": "public domain", "origin": "x 1.0",
        "tokenizer": {"vocabulary": 400}, "splits": splits, **limits,
    }  # fmt: skip


def write_cell(root: Path, suite: Suite, cell: Cell) -> None:
    """One cell's record, history and likelihood file; of a named decoding the record alone."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding)
    write_json(root / paths.record, record(root, suite, cell))
    if cell.method not in UNTRAINED and not cell.decoding:
        history(root / paths.history, cell)
        likelihood(root / paths.likelihood, cell)


def record(root: Path, suite: Suite, cell: Cell) -> dict[str, Any]:
    """The JSON of one record."""
    untrained = cell.method in UNTRAINED
    trained = ("train", "generate") if cell.decoding else ("train", "likelihood", "generate")
    stages = ("untrained",) if untrained else trained
    manifest = root / CellPaths(suite.name, cell.dataset, "", 0).manifest
    return {
        "schema": 1, "suite": suite.name, "dataset": cell.dataset, "method": cell.method, "seed": cell.seed,
        "decoding": cell.decoding,
        "values": {**({} if untrained or cell.decoding else _likelihood_values(cell)), **_text_values(cell)},
        "provenance": {
            "git": {"sha": "0123456789abcdef", "dirty": False},
            "code": {stage: f"{stage}-code" for stage in stages},
            "data": sha256(manifest),
            "settings": {
                stage: digests.settings(suite, stage, cell.dataset, cell.method, decoding=cell.decoding)
                for stage in stages
            },
            "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
            "device": "cpu", "parameters": 0 if untrained else 200_000 + len(cell.method),
            "cost": {} if untrained else {"train": cost(cell)},
            "tokens": {"test": 25.0},
        },
    }  # fmt: skip


def cost(cell: Cell) -> dict[str, float]:
    """What training it took: less for the plain language model."""
    groups = GROUPS.get(cell.method, 1)
    wall = (1.0 + groups) * (1.5 + cell.seed)
    return {"wall_s": wall, "peak_mb": 300.0 + groups, "tokens_per_s": 1000.0 - groups, "step_s": wall / 800}


def edit(dataset: str, method: str, change: Callable[[dict[str, Any]], None], seeds: tuple[int, ...] = (1, 2)) -> None:
    """Change the records of a run of the suite ``tiny`` under the working directory."""
    for seed in seeds:
        path = CellPaths("tiny", dataset, method, seed).record
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")


def value(number: float, signature: str, note: str = "", half: float = 0.5) -> dict[str, Any]:
    """One recorded value."""
    return {"value": number, "ci95": [number - half, number + half], "n": 5, "signature": signature, "note": note}


def _likelihood_values(cell: Cell) -> dict[str, Any]:
    nelbo, predicted = per_example(cell)
    groups = GROUPS.get(cell.method, 1)
    kl = 4.0 * groups
    ppl = math.exp(float((nelbo - 1).sum() / predicted.sum()))
    exact, paper = "protocol:exact|groups:sum", "protocol:paper:della|groups:mean"
    found = {
        "ppl": value(ppl, f"ppl|{exact}|K:100|N:5|v:1", "K = 100" if groups else "exact: no latent variable"),
        "nelbo": value(float(nelbo.mean()), f"nelbo|{exact}|N:5|v:1"),
        "paper:della/ppl": value(ppl * 0.9 - groups, f"ppl|{paper}|K:30|N:5|v:1"),
        "paper:della/nelbo": value(float(nelbo.mean()) - kl / 2, f"nelbo|{paper}|N:5|v:1"),
    }
    if groups:
        found |= {
            "kl": value(kl, f"kl|{exact}|N:5|v:1"),
            "mi": value(1.2 + cell.seed / 10, f"mi|{exact}|N:5|v:1", "cannot exceed log 5 = 1.61"),
            **{f"au_{t}": value(20.0 * groups, f"au|{exact}|delta:{t}|v:1", f"of {32 * groups} dims")
               for t in (0.01, 0.1, 0.2)},
            "paper:della/kl": value(kl / groups, f"kl|{paper}|N:5|v:1"),
            "paper:della/au_0.2": value(20.0, f"au|{paper}|delta:0.2|v:1"),
        }  # fmt: skip
    return found


def _text_values(cell: Cell) -> dict[str, Any]:
    base = BASE.get(cell.method, 56.0) + cell.seed + len(cell.dataset) + len(cell.decoding)
    return {
        "bleu4": value(base / 2, "bleu|n:4|tok:13a|refs:all5|v:1"),
        "cnd": value(base / 60, "cnd|form:logcos|n:3|N:250|refs:5|v:1"),
        "self_bleu4": value(base / 3, "self_bleu|n:4|N:250|tok:13a|v:1"),
        "dist2": value(base, "dist|n:2|N:250|v:1"),
        "js": value(base / 100, "js|N:250|v:1"),
        **(_pair_values(base) if registry.dataset(cell.dataset).conditional and cell.method != HUMAN else {}),
    }


def _pair_values(base: float) -> dict[str, Any]:
    return {
        "sacrebleu": value(base / 8, "corpus_bleu|sacrebleu:nrefs:1|v:1"),
        "cbleu1": value(base / 2, "corpus_bleu|n:1|sacrebleu:nrefs:1|v:1"),
        **{f"rouge{n}": value(base / 3, f"rouge|n:{n}|v:1") for n in (1, 2, "L")},
        "bertscore_f1": value(base / 100, "bertscore|form:f1|v:1", half=0.01),
    }


def per_example(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """nelbo and predicted tokens of each test example: the examples' difficulty is shared by all cells."""
    shared = np.random.default_rng(len(cell.dataset))
    difficulty, predicted = shared.normal(0, 8, EXAMPLES), shared.integers(15, 30, EXAMPLES)
    own = np.random.default_rng([cell.seed, *cell.method.encode()]).normal(0, 0.3, EXAMPLES)
    return BASE.get(cell.method, 56.0) + difficulty + own, predicted


def likelihood(path: Path, cell: Cell) -> None:
    """A likelihood file whose nelbo, kl, nll and token counts are those of the record."""
    from bench.metrics.likelihood_file import LikelihoodFile

    nelbo, predicted = per_example(cell)
    groups = GROUPS.get(cell.method, 1)
    stats = LikelihoodFile.empty(EXAMPLES, EXAMPLES, 1, groups, 2, 100, 32)
    stats.kl[:] = 4.0
    stats.rec[:] = nelbo - 4.0 * groups
    stats.log_px[:] = -(nelbo - 1)[:, None]
    stats.predicted[:] = predicted
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as stream:
        stats.write(stream)


def history(path: Path, cell: Cell) -> None:
    """A plausible learning curve under cyclical annealing."""
    noise = np.random.default_rng([cell.seed, *cell.method.encode()])
    groups = GROUPS.get(cell.method, 1)
    lines = ["step,epoch,beta,lr,train_rec,train_kl,valid_rec,valid_kl,valid_nelbo"]
    for step in range(0, 801, 20):
        phase = (step % 400) / 400
        beta = 1e-5 if phase < 0.5 else min(1.0, 1e-5 + (phase - 0.5) * 4)
        rec = 70 + 150 * math.exp(-step / 60) + noise.normal(0, 0.6)
        kl = groups * (0.02 + step / 12 * (1.2 - beta) ** 3 * math.exp(noise.normal(0, 0.1)))
        train = ("", "") if step == 0 else (f"{rec - 2 + noise.normal(0, 2):.4f}", f"{kl * 1.1:.4f}")
        shown = f"{beta:g}" if groups else ""
        lines.append(f"{step},{step / 200},{shown},0.001,{train[0]},{train[1]},{rec:.4f},{kl:.4f},{rec + kl:.4f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
