"""Cells as the train stage leaves them, with random weights: data, tokenizer, manifest and model directory."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from bench import model as models
from bench import registry
from bench import suite as suites
from bench.data.prepare import fit_tokenizer
from bench.files import sha256, write_json
from bench.paths import CellPaths
from bench.schema import Suite

YAML = """
name: trained
datasets: {bbe: , kjv2bbe: , sotu-story: }
methods: [gpt2, embed, memory, della, della-ltp]
seeds: [1, 2]
metrics: [elbo]
backbone: {layers: 3, width: 16, heads: 4, vocabulary: 270, max_tokens: 24, max_source_tokens: 12}
"""
TEXTS = [f"And {who} went up to the {where}." for who in ("he", "they", "Abel") for where in ("sea", "town", "hill")]
SOURCES = [f"{text.split()[1]} goes" for text in TEXTS]


def write_cell(root: Path, dataset: str, method: str, seed: int = 1, yaml: str = YAML) -> Suite:
    """One cell under ``root``; returns its suite."""
    (root / "trained.yaml").write_text(yaml, encoding="utf-8")
    suite = suites.load(root / "trained.yaml")
    paths, conditional = CellPaths(suite.name, dataset, method, seed), registry.dataset(dataset).conditional
    write_data(root / paths.data, conditional)
    spec, backbone = suites.spec_of(suite, method), suites.backbone_of(suite, dataset, method)
    built = models.build(spec, backbone, seed, conditional)
    with torch.no_grad():
        for parameter in built.parameters():  # off the starting point: weights and texts that differ
            parameter += 0.3 * torch.randn_like(parameter)
    (root / paths.model).mkdir(parents=True)
    config = {**spec.model_dump(include={"use", "options"}), "backbone": backbone.model_dump(mode="json")}
    models.save(built, {**config, "conditional": conditional}, root / paths.model)
    shutil.copy(root / paths.data / "tokenizer.json", root / paths.model)
    return suite


def write_data(folder: Path, conditional: bool) -> None:
    """A prepared dataset whose splits are all TEXTS."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{source}\t{text}" for source, text in zip(SOURCES, TEXTS, strict=True)] if conditional else TEXTS
    for part in ("train", "valid", "test"):
        (folder / f"{part}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    tokenizer = fit_tokenizer(TEXTS, 270)
    tokenizer.save(str(folder / "tokenizer.json"))
    splits = {part: {"sha256": sha256(folder / f"{part}.txt")} for part in ("train", "valid", "test")}
    write_json(folder / "manifest.json", {
        "conditional": conditional, "splits": splits, "tokenizer": {"vocabulary": tokenizer.get_vocab_size()},
    })  # fmt: skip
