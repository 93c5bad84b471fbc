"""Texts drawn from ``gpt2`` and ``della`` beside the same models written plainly, in one run.

    python -m benchmarks.generation [--device cuda] [--out docs/speed-generation.md]

Top-k with k = 50, one batch of texts of one length: fresh weights end a text too rarely for that to matter. Ours is
what ``bench generate`` does. The plain forms (benchmarks/plain.py) are transformers' ``generate`` with its own cache,
and DELLA without one, which no library has: every token is drawn from a pass through the whole text. The operations of
a token are those of a forward pass that reads half a text, on average; there is no encoder (benchmarks/speed.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.generation import draw
from bench.schema import Decoding
from benchmarks import speed
from benchmarks.plain import PlainDella, PlainLM
from benchmarks.speed import Forms, Job, Setting, Size

TOP_K = 50


def ours(name: str) -> Callable[[Setting], Job]:
    def make(setting: Setting) -> Job:
        method, size = setting.method(name).eval(), setting.size

        @torch.inference_mode()
        def turn() -> int:
            return sum(map(len, draw(method, size.drawn, Decoding(strategy="top_k", k=TOP_K), size.length + 1)))

        return Job(turn, setting.forward_flops(name, size.length / 2), repeats=True)

    return make


def plain(name: str) -> Callable[[Setting], Job]:
    def make(setting: Setting) -> Job:
        size = setting.size
        model = (PlainLM if name == "gpt2" else PlainDella)(setting.method(name), size.backbone)
        model.to(setting.device).eval()

        @torch.inference_mode()
        def turn() -> int:
            return sum(len(row) - 1 for row in model.generate(size.drawn, size.length, TOP_K).tolist())

        return Job(turn, setting.forward_flops(name, size.length / 2))

    return make


def what(size: Size) -> str:
    return f"{size.drawn} texts of {size.length} tokens a turn, top-k with k = {TOP_K}."


FORMS: Forms = {
    "gpt2: transformers, float32": plain("gpt2"),
    "gpt2: ours": ours("gpt2"),
    "della: plain, without a cache, float32": plain("della"),
    "della: ours": ours("della"),
}

if __name__ == "__main__":
    speed.run(__doc__, "Generation", what, {"Texts of one length": (True, FORMS)})
