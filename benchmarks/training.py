"""Training steps of ``gpt2`` and ``della`` beside the same models written plainly, in one run.

    python -m benchmarks.training [--device cuda] [--out docs/speed-training.md]

Ours are the steps of ``bench.training``, from a list of texts to the optimiser; on a GPU in bfloat16 and compiled. The
plain forms (benchmarks/plain.py) are in float32 and eager, on batches of texts in random order that are padded to their
longest, with clipping and PyTorch's AdamW as it comes: transformers' GPT-2, and DELLA in two passes with full attention
masks. Before anything is timed the two losses of a model must be equal. Of a token training takes three times the
operations of its forward passes, which are DELLA's encoder's and decoder's (benchmarks/speed.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.checkpoint import Progress
from bench.schema import Training
from bench.training import Run
from benchmarks import speed
from benchmarks.plain import PlainDella, PlainLM, padded
from benchmarks.speed import Forms, Job, Setting, Size

TEXTS = 2048  # to draw batches from
PLAN: dict[str, dict[str, Any]] = {"cpu": {}, "cuda": {"precision": "bfloat16", "compile": True}}  # of schema.Training


def ours(name: str) -> Callable[[Setting], Job]:
    def make(setting: Setting) -> Job:
        method, texts = setting.method(name), setting.sequences(TEXTS)
        plan = Training(
            batch_size=setting.size.batch, epochs=10**6, log_points=1, valid_examples=1, **PLAN[setting.device]
        )
        steps = Run(method, method.stages()[0], texts, texts, plan, 0, Progress()).steps(None)
        return Job(lambda: sum(next(steps)[0] for _ in range(setting.size.steps)), flops(name, setting), repeats=True)

    return make


def plain(name: str) -> Callable[[Setting], Job]:
    def make(setting: Setting) -> Job:
        method, size = setting.method(name), setting.size
        model = (PlainLM if name == "gpt2" else PlainDella)(method, size.backbone).to(setting.device).train()
        same_loss(name, setting, model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5)
        batches = shuffled(setting)

        def step() -> int:
            ids, lengths = next(batches)
            model.loss(ids.to(setting.device), lengths.to(setting.device)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            return int(lengths.sum()) - len(lengths)

        return Job(lambda: sum(step() for _ in range(size.steps)), flops(name, setting))

    return make


def shuffled(setting: Setting) -> Iterator[tuple[Tensor, Tensor]]:
    """Padded batches of texts in random order, on the host, without end."""
    texts, rng = setting.sequences(TEXTS).texts, np.random.default_rng(0)
    while True:
        order = [texts[i] for i in rng.permutation(len(texts))]
        for part in speed.in_batches(order, setting.size.batch):
            yield padded(part, "cpu")


def same_loss(name: str, setting: Setting, model: PlainLM | PlainDella) -> None:
    """Raise where the plain form is not the same model."""
    method, texts = setting.method(name), setting.sequences(8)
    losses = []
    with torch.no_grad():
        torch.manual_seed(0)
        terms = method.terms(texts.batch(range(8)).to(setting.device))
        total = terms.rec.sum() / sum(len(text) - 1 for text in texts.texts)
        losses.append(float(total if name == "gpt2" else (terms.rec + terms.kl.sum(-1)).mean()))
        torch.manual_seed(0)
        losses.append(float(model.loss(*padded(texts.texts, setting.device))))
    if abs(losses[0] - losses[1]) > 1e-4 * losses[0]:
        raise SystemExit(f"not the same model: {name}'s loss is {losses[0]} and {losses[1]}")


def flops(name: str, setting: Setting) -> float:
    """Of a token, forward and backward."""
    reads = speed.mean_length(setting.sequences(TEXTS))
    return 3 * (setting.forward_flops(name, reads) + (setting.encoder_flops(reads) if name == "della" else 0))


def what(size: Size) -> str:
    return f"Batches of {size.batch} texts of random words, of {size.length} tokens on average."


FORMS: Forms = {
    "gpt2: transformers, float32": plain("gpt2"),
    "gpt2: ours": ours("gpt2"),
    "della: plain, float32": plain("della"),
    "della: ours": ours("della"),
}

if __name__ == "__main__":
    speed.run(__doc__, "Training", what, speed.of_both_lengths(FORMS))
