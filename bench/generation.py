"""``samples.jsonl``: texts drawn once from a trained cell; every text metric reads only these."""

from __future__ import annotations

import torch

from bench import device as devices
from bench import model as models
from bench.cost import measured
from bench.paths import CellPaths
from bench.progress import progress
from bench.samples import write_samples
from bench.suite import Cell, Suite
from bench.vocabulary import decode, load_tokenizer

BATCH = 256  # sequences decoded together


@torch.inference_mode()
def generate(suite: Suite, cell: Cell, device: str = "cpu") -> None:
    """Draw z from the prior and a text from each z, by the decoding of the suite."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    target = devices.select(device, suite.training.threads)
    method = models.load(paths.model).to(target)
    tokenizer = load_tokenizer(paths.model / "tokenizer.json")
    plan = suite.generation
    texts: list[str] = []
    with measured(paths.cost("generate")) as meter:
        meter.device = devices.describe(target)
        torch.manual_seed(cell.seed)
        starts = range(0, plan.samples, BATCH)
        for start in progress(starts, len(starts), "generate"):
            z = method.sample_prior(min(BATCH, plan.samples - start))
            ids = method.decode(z, plan.decoding, suite.backbone.max_tokens)
            meter.tokens += sum(map(len, ids))
            texts += decode(tokenizer, ids)
    write_samples(paths.samples, texts, plan.decoding.signature, cell.seed)
