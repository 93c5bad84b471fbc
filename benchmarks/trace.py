"""Training steps of TRACE: the recurrence of trace-r, the parallel form of trace-p, and a model with one z, in one run.

    python -m benchmarks.trace [--out docs/trace-speed.md]

A step is what training does with one batch of random texts: terms, loss, backward pass, clipping, AdamW. Methods take
turns, and the fastest of the rounds counts. "latents" is the part that TRACE Sec. 4.2 makes parallel: from what the
encoder says to z and back, without the encoder and the decoder, whose cost is the same for both. Two sizes: one where a
step is its number of operations, as on a GPU, and the embedded suite's, where on a CPU it is arithmetic.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench import model as models
from bench import objectives
from bench.batch import Batch, Sequences
from bench.methods.base import Method
from bench.methods.recurrent import RecurrentPosterior
from bench.schema import Backbone, MethodSpec
from bench.vocabulary import BOS, EOS

LENGTHS = (1, 2, 5, 10, 20)
COLUMNS = (
    "segment length", "trace-r, s a step", "trace-p", "r / p", "latents: trace-r, s", "trace-p", "r / p",
    "trace-r, tokens/s", "of no-recurrence's",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """A backbone and a batch of texts of half to all of ``tokens``; 96 is the mean of Yelp (TRACE Table 1)."""

    what: str
    layers: int
    width: int
    batch: int
    tokens: int


SIZES = (Size("Few and small operations", 1, 16, 1, 96), Size("The embedded suite's size", 3, 48, 16, 96))


def build(name: str, size: Backbone, **options: object) -> Method:
    return models.build(MethodSpec(use=name, options=options), size, seed=0).train()


def stepper(method: Method, batch: Batch) -> Callable[[], None]:
    """One training step, as ``bench.training`` makes it."""
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        objectives.loss(method.terms(batch), 0.5, "sum").backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def sampler(method: Method, batch: Batch) -> Callable[[], None]:
    """z of all segments from what the encoder said, forward and backward."""
    with torch.no_grad():
        posterior = method.posterior(batch)
    assert isinstance(posterior, RecurrentPosterior)
    posterior.reading.own.requires_grad_()

    def sample() -> None:
        posterior.sample(1).sum().backward()

    return sample


def fastest(jobs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Seconds of each job, the least over rounds in which each has its turn."""
    best = dict.fromkeys(jobs, float("inf"))
    for round_ in range(rounds + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_ >= 2:  # the first ones are warm-up
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def table(size: Size, rounds: int) -> Iterator[str]:
    """Lines of Markdown."""
    backbone = Backbone(layers=size.layers, width=size.width, heads=2, vocabulary=1000, max_tokens=size.tokens + 2)
    rng = np.random.default_rng(0)
    lengths = [size.tokens - i % (size.tokens // 2) for i in range(size.batch)]
    texts = [[BOS, *rng.integers(4, 1000, length).tolist(), EOS] for length in lengths]
    batch = Sequences(texts).batch(range(size.batch))
    tokens = int(batch.predicted.sum())
    yield f"## {size.what}\n"
    yield f"{size.layers} layer(s) of width {size.width}, {size.batch} text(s), {tokens} predicted tokens.\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "---:|" * len(COLUMNS)
    plain = stepper(build("no-recurrence", backbone), batch)
    for length in LENGTHS:
        methods = {name: build(name, backbone, segment_length=length) for name in ("trace-r", "trace-p")}
        jobs = {name: stepper(method, batch) for name, method in methods.items()}
        jobs |= {f"latents {name}": sampler(method, batch) for name, method in methods.items()}
        took = fastest({**jobs, "no-recurrence": plain}, rounds)
        r, p, latents_r, latents_p = (took[job] for job in jobs)
        yield (
            f"| {length} | {r:.4f} | {p:.4f} | {r / p:.2f} | {latents_r:.5f} | {latents_p:.5f} | "
            f"{latents_r / latents_p:.1f} | {tokens / r:,.0f} | {took['no-recurrence'] / r:.0%} |"
        )
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the tables here")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lines = [
        "# Training steps of TRACE\n",
        f"Written by `python -m benchmarks.trace --out docs/trace-speed.md`; {given.threads} thread(s), torch "
        f"{torch.__version__}, {platform.machine()}. Times of one step, the fastest of {given.rounds} taken in turns;",
        "latents: sampling all z of a batch, and its gradient, alone.\n",
    ]
    for size in SIZES:
        lines += table(size, given.rounds)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
