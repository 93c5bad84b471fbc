"""What the benchmarks of training, likelihood and generation share: sizes, texts, turns, model FLOPs, the table.

Model FLOPs utilisation (MFU) is as PaLM's report counts it (Chowdhery et al. 2022, appendix B): the operations that the
model asks of a token, times tokens a second, over the machine's peak. L layers of width d, V words, a text of T tokens:

    forward pass of a token = 2 (12 L d^2 + V d) + 4 L d T

Attention is counted in full, though half of a causal one is masked; 2 V d is the output layer's; the backward pass is
twice the forward one. DELLA's decoder adds 2 L d^2, one linear map of the values a layer, in whatever number of maps
it is computed; its encoder is a second pass without an output layer. What latent variables take beside that is not
counted (a few products with vectors of 32), nor are padding and what is computed twice: they make the utilisation
smaller.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bench import device as devices
from bench import model as models
from bench.batch import Sequences
from bench.methods.base import Method
from bench.schema import Backbone, MethodSpec
from bench.vocabulary import BOS, EOS

SIGMA = 0.5  # of the logarithm of a text's length; PTB's is 0.54, Yahoo's 0.60
PEAK = {"H100": 989e12, "H200": 989e12}  # FLOP/s, dense bfloat16 (NVIDIA's data sheets)


@dataclass(frozen=True)
class Size:
    """A backbone and how much work a turn is.

    Attributes
    ----------
    length: tokens that a text predicts, on average.
    batch, steps: texts a training batch, and batches a turn.
    samples, texts: K of the importance-weighted likelihood, and texts a turn.
    drawn: texts generated a turn.
    """

    backbone: Backbone
    length: int
    batch: int
    steps: int
    samples: int
    texts: int
    drawn: int


SIZES = {
    "debug": Size(
        Backbone(layers=3, width=48, heads=2, vocabulary=1000, max_tokens=160),
        length=30, batch=16, steps=10, samples=100, texts=32, drawn=64,
    ),
    "gpt2-small": Size(
        Backbone(layers=12, width=768, heads=12, vocabulary=50257, max_tokens=256),
        length=100, batch=96, steps=10, samples=500, texts=32, drawn=1280,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Where and on what: ``equal`` says whether all texts are of one length."""

    size: Size
    device: str
    equal: bool

    def sequences(self, n: int, seed: int = 0) -> Sequences:
        """Texts of random words, as ``BOS x EOS``; of one length, or log-normally distributed ones."""
        rng, length, most = np.random.default_rng(seed), self.size.length, self.size.backbone.max_tokens - 1
        drawn = rng.lognormal(np.log(length) - SIGMA**2 / 2, SIGMA, n).round().astype(int).clip(2, most)
        lengths = np.full(n, length) if self.equal else drawn
        return Sequences([
            [BOS, *rng.integers(4, self.size.backbone.vocabulary, count - 1).tolist(), EOS] for count in lengths
        ])  # fmt: skip

    def method(self, name: str) -> Method:
        """Of the suite, with fresh weights, the same every time."""
        return models.build(MethodSpec(use=name), self.size.backbone, seed=0).to(self.device)

    def forward_flops(self, name: str, reads: float) -> float:
        """Of a token's pass through the decoder of a method, which ``reads`` so many positions."""
        size = self.size.backbone
        maps = 12 + (name == "della")
        return 2 * (maps * size.layers * size.width**2 + size.vocabulary * size.width) + self._attention(reads)

    def encoder_flops(self, reads: float) -> float:
        """Of a token's pass through the encoder."""
        size = self.size.backbone
        return 2 * 12 * size.layers * size.width**2 + self._attention(reads)

    def _attention(self, reads: float) -> float:
        return 4 * self.size.backbone.layers * self.size.backbone.width * reads


def mean_length(texts: Sequences) -> float:
    """Of the text that a token is in, mean over tokens."""
    lengths = np.array([len(text) - 1 for text in texts.texts])
    return float((lengths**2).sum() / lengths.sum())


@dataclass(frozen=True)
class Job:
    """One way to do the work.

    Attributes
    ----------
    turn: does a part of it, and says of how many tokens.
    flops: the model's, of a token.
    repeats: whether it is done as ``bench`` does it on a CPU, by algorithms that repeat themselves bit for bit.
    """

    turn: Callable[[], int]
    flops: float
    repeats: bool = False

    def __call__(self, device: str) -> int:
        """One turn, to its end."""
        torch.use_deterministic_algorithms(self.repeats and device == "cpu")
        tokens = self.turn()
        if device == "cuda":
            torch.cuda.synchronize()
        return tokens


Forms = dict[str, Callable[[Setting], Job]]  # by name: a plain form, then ours, then the next plain form


def seconds(device: str) -> float:
    """Now. On a CPU, of this process's one thread, since a machine may have other work; on a GPU by the clock."""
    return time.process_time() if device == "cpu" else time.perf_counter()


def turns(jobs: dict[str, Job], rounds: int, device: str) -> dict[str, list[float]]:
    """Tokens a second of each job in each round, in which all have their turns; two more are warm-up."""
    speeds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(-2, rounds):
        for name, job in jobs.items():
            began = seconds(device)
            tokens = job(device)
            if round_ >= 0:
                speeds[name].append(tokens / (seconds(device) - began))
    return speeds


def table(forms: Forms, setting: Setting, rounds: int, peak: float, memory: Callable[[str], float]) -> Iterator[str]:
    """Lines of Markdown."""
    jobs = {name: make(setting) for name, make in forms.items()}
    speeds = turns(jobs, rounds, setting.device)
    yield "| | tokens/s, median (min - max of rounds) | MFU | peak memory, MB | ours / plain |"
    yield "|---|---:|---:|---:|---:|"
    plain: list[float] = []
    for name, job in jobs.items():
        each = speeds[name]
        ratios = [ours / other for ours, other in zip(each, plain, strict=True)] if plain else []
        against = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})" if ratios else ""
        plain = [] if ratios else each
        speed = statistics.median(each)
        yield (
            f"| {name} | {speed:,.0f} ({min(each):,.0f} - {max(each):,.0f}) | {100 * speed * job.flops / peak:.1f} % | "
            f"{memory(name):,.0f} | {against} |"
        )


def peak_of(device: str, given: float | None) -> tuple[float, str]:
    """FLOP/s, and where the number is from."""
    if given is not None:
        return given, "as given"
    if device == "cpu":
        a, b = torch.randn(2, 1024, 1024)
        took = []
        for _ in range(12):
            began = seconds(device)
            a @ b
            took.append(seconds(device) - began)
        return 2 * 1024**3 / min(took), "the fastest of 12 float32 products of 1024 × 1024 matrices in this run"
    known = [peak for name, peak in PEAK.items() if name in torch.cuda.get_device_name()]
    if not known:
        raise SystemExit(f"give --peak, the FLOP/s of {torch.cuda.get_device_name()}")
    return known[0], "dense bfloat16, by its data sheet; float32 is measured against the same number"


def alone(job: Job, device: str) -> float:
    """Peak memory of a process that does this alone, MB: of the GPU, or of the process."""
    job(device)
    job(device)
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()  # getrusage gives a child its parent's peak
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def parser(doc: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--size", choices=SIZES, help="debug on a CPU, gpt2-small on a GPU where it is not given")
    made.add_argument("--batch", type=int, help="texts a training batch, in place of the size's")
    made.add_argument("--rounds", type=int, default=8)
    made.add_argument("--peak", type=float, help="FLOP/s that utilisation is a share of")
    made.add_argument("--out", type=Path, help="also write the tables here")
    made.add_argument("--alone", help=argparse.SUPPRESS)  # form and lengths of a process that measures its memory
    return made


def of_both_lengths(forms: Forms) -> dict[str, tuple[bool, Forms]]:
    """The tables of forms on texts of one length, and on texts as corpora have them."""
    natural = f"Texts of log-normally distributed lengths (sigma {SIGMA})"
    return {"Texts of one length": (True, forms), natural: (False, forms)}


def run(doc: str | None, title: str, what: Callable[[Size], str], tables: dict[str, tuple[bool, Forms]]) -> None:
    """Everything: ``tables`` have a heading, whether texts are of one length, and the forms to compare."""
    given = parser(doc).parse_args()
    size = SIZES[given.size or ("debug" if given.device == "cpu" else "gpt2-small")]
    if given.batch:
        size = replace(size, batch=given.batch)
    devices.select(given.device, threads=1)
    if given.alone:
        heading, _, name = given.alone.partition(": ")
        equal, forms = tables[heading]
        print(alone(forms[name](Setting(size, given.device, equal)), given.device))
        return
    peak, source = peak_of(given.device, given.peak)
    text = "\n".join([f"# {title}\n", *_head(given, size, peak, source), what(size), ""])
    for heading, (equal, forms) in tables.items():

        def memory(name: str, heading: str = heading) -> float:
            return _memory(f"{heading}: {name}")

        lines = table(forms, Setting(size, given.device, equal), given.rounds, peak, memory)
        text += "\n".join([f"\n## {heading}\n", *lines, ""])
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


def _head(given: argparse.Namespace, size: Size, peak: float, source: str) -> Iterable[str]:
    where = f"{platform.machine()}, one thread, seconds of its own CPU time"
    if given.device == "cuda":
        where = torch.cuda.get_device_name()
    backbone = size.backbone
    yield (
        f"Written by `python -m {_module()} {' '.join(sys.argv[1:])}`; {where}, torch {torch.__version__}. "
        f"{backbone.layers} layers of width {backbone.width}, {backbone.vocabulary:,} words. {given.rounds} rounds, in "
        f"which each form has its turn; ratios are of turns of the same round. MFU is of {peak / 1e12:,.3g} TFLOP/s, "
        f"{source}; a forward pass of a token counts as 2 (12 L d² + V d) + 4 L d T operations, and of DELLA's decoder "
        "as 2 L d² more. Memory is that of a process which does the one thing alone.\n"
    )


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "run it with python -m"
    return spec.name


def _memory(which: str) -> float:
    """Of a process of its own with the same arguments."""
    command = [sys.executable, "-m", _module(), *sys.argv[1:], "--alone", which]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def in_batches(texts: Sequence[Sequence[int]], size: int) -> list[Sequence[Sequence[int]]]:
    """In the order they come."""
    return [texts[start : start + size] for start in range(0, len(texts), size)]
