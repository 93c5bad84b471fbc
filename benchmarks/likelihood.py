"""Likelihoods of ``gpt2`` and ``della`` (importance-weighted) beside the same models written plainly, in one run.

    python -m benchmarks.likelihood [--device cuda] [--out docs/speed-likelihood.md]

Ours is what ``bench likelihood`` does for its importance weights: each text encoded once, its K samples decoded as many
at a time as the device takes. The plain forms (benchmarks/plain.py) go through batches of 32 texts in random order,
padded to their longest; DELLA K times through encoder and decoder, a sample at a time. A token is counted once for
every sample, K times in all; its operations are those of a forward pass of the decoder, and of the encoder's, shared by
K (benchmarks/speed.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.batch import Sequences
from bench.likelihood import importance_weights_of
from benchmarks import speed
from benchmarks.plain import PlainDella, PlainLM, padded
from benchmarks.speed import Forms, Job, Setting, Size

BATCH = 32  # texts of the plain forms


def ours(name: str) -> Callable[[Setting], Job]:
    def make(setting: Setting) -> Job:
        method, texts, k = setting.method(name).eval(), *work(name, setting)

        @torch.inference_mode()
        def turn() -> int:
            for _ in importance_weights_of(method, texts, k, setting.device):
                pass
            return k * sum(len(text) - 1 for text in texts.texts)

        return Job(turn, flops(name, setting), repeats=True)

    return make


def plain(name: str) -> Callable[[Setting], Job]:
    def make(setting: Setting) -> Job:
        method, texts, k = setting.method(name), *work(name, setting)
        model = (PlainLM if name == "gpt2" else PlainDella)(method, setting.size.backbone).to(setting.device).eval()
        of_batch = model.log_likelihood if isinstance(model, PlainLM) else model.log_weight

        @torch.inference_mode()
        def turn() -> int:
            for part in speed.in_batches(texts.texts, BATCH):
                batch = padded(part, setting.device)
                for _ in range(k):
                    of_batch(*batch).cpu()
            return k * sum(len(text) - 1 for text in texts.texts)

        return Job(turn, flops(name, setting))

    return make


def work(name: str, setting: Setting) -> tuple[Sequences, int]:
    """Texts of a turn and K: of a language model's one exact likelihood, of more texts."""
    size = setting.size
    return (setting.sequences(16 * size.texts), 1) if name == "gpt2" else (setting.sequences(size.texts), size.samples)


def flops(name: str, setting: Setting) -> float:
    """Of a token and sample."""
    texts, k = work(name, setting)
    reads = speed.mean_length(texts)
    return setting.forward_flops(name, reads) + (setting.encoder_flops(reads) / k if name == "della" else 0)


def what(size: Size) -> str:
    return (
        f"Texts of random words, of {size.length} tokens on average; K = {size.samples} samples of each, a turn of "
        f"{size.texts} texts. gpt2's likelihood is exact, K = 1. 10,000 texts take 10,000 · K · tokens / (tokens/s)."
    )


FORMS: Forms = {
    "gpt2: transformers, float32": plain("gpt2"),
    "gpt2: ours": ours("gpt2"),
    "della: plain, float32": plain("della"),
    "della: ours": ours("della"),
}

if __name__ == "__main__":
    speed.run(__doc__, "Likelihood", what, speed.of_both_lengths(FORMS))
