"""Training steps of the LSTM family beside the same models written plainly, in one run.

    python -m benchmarks.lstm [--threads 2] [--device cuda] [--side-by-side 8] [--out docs/lstm-speed.md]

The plain form is the design of the public lagging-encoder code (He et al. 2019), as one writes it down in PyTorch: a
batch of 32 sentences of one length, an LSTM, a linear layer to all words, cross entropy, SGD with clipping; for the VAE
an encoder LSTM before it. Both are at the size of PTB, and both take steps on the same batches in turns: texts of the
lengths that PTB has most of. The models are the same: with equal weights and without dropout their losses are equal,
which is checked before anything is timed. Ours is timed in float32, as the plain form is, and in bfloat16 where the
device has it; on a GPU both also as CUDA graphs; GAVAM's steps are of AdamW, as in training. With ``--side-by-side n``
also n processes of ours at once, as rows of a table are trained, on a GPU as graphs, beside one of the plain form.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import graphs, objectives
from bench import model as models
from bench.batch import Batch, Sequences
from bench.device import has_bfloat16
from bench.methods.base import Method
from bench.passes import Passes
from bench.schema import Backbone, MethodSpec, Training
from bench.sgd import SparseSGD, sparse_embeddings
from bench.training import ADAPTIVE
from bench.vocabulary import BOS, EOS

LENGTHS = (12, 17, 21, 25, 33)  # words of a text: the middle of each fifth of PTB's training set
BATCH, LATENT, CLIP, RATE = 32, 32, 5.0, 0.01
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
GRAPHS = " as graphs"
SIZE = Backbone(
    kind="lstm", layers=1, width=256, embedding=256, dropout=0.5, tokenizer="words", vocabulary=10002, max_tokens=100
)
OURS_ALONE = ("davam-k512", "vae-attn", "gavam")


class Plain(nn.Module):
    """LSTM-LM, or with ``latent`` the LSTM-VAE: one z read beside every word, from which the decoder also starts."""

    def __init__(self, size: Backbone, latent: int) -> None:
        super().__init__()
        words, width = size.embedding or size.width, size.width
        self.embedding = nn.Embedding(size.vocabulary, words)
        self.decoder = nn.LSTM(words + latent, width, batch_first=True)
        self.output = nn.Linear(width, size.vocabulary, bias=False)
        self.dropout = nn.Dropout(size.dropout)
        self.latent = latent
        if latent:
            self.encoder_embedding = nn.Embedding(size.vocabulary, words)
            self.encoder = nn.LSTM(words, width, batch_first=True)
            self.to_latent = nn.Linear(width, 2 * latent, bias=False)
            self.to_cell = nn.Linear(latent, width, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [B, T], all of one length -> mean of rec + KL."""
        read, targets = self.dropout(self.embedding(ids[:, :-1])), ids[:, 1:]
        kl: Tensor | float = 0.0
        state = None
        if self.latent:
            _, (last, _) = self.encoder(self.encoder_embedding(ids))
            mean, logvar = self.to_latent(last[0]).chunk(2, -1)
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            kl = 0.5 * (mean.pow(2) + logvar.exp() - logvar - 1).sum(-1)
            read = torch.cat([read, z[:, None].expand(-1, read.shape[1], -1)], -1)
            cell = self.to_cell(z)[None]
            state = (cell.tanh(), cell)
        hidden, _ = self.decoder(read, state)
        logits = self.output(self.dropout(hidden))
        rec = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
        return (rec.view(len(ids), -1).sum(-1) + kl).mean()


NAMES = {  # of the plain model's parts in ours
    "embedding": "backbone.words", "decoder": "backbone.lstm", "output": "backbone.output",
    "encoder_embedding": "encoder.words", "encoder": "encoder.lstm", "to_latent": "to_latent", "to_cell": "to_cell",
}  # fmt: skip


def plain_like(method: Method, latent: int) -> Plain:
    """The plain model with the weights of ours."""
    plain, ours = Plain(SIZE, latent), method.state_dict()
    state = {}
    for name in plain.state_dict():
        part, _, rest = name.partition(".")
        state[name] = ours[f"{NAMES[part]}.{rest}"]
    plain.load_state_dict(state)
    return plain


def same_loss(method: Method, plain: Plain, batch: Batch) -> None:
    """Raise where the two are not the same model."""
    losses = []
    for model in (lambda: loss(method, batch), lambda: plain(batch.ids)):
        torch.manual_seed(0)
        losses.append(model().item())
    if abs(losses[0] - losses[1]) > 1e-4 * losses[0]:
        raise SystemExit(f"not the same model: loss {losses[0]} and {losses[1]}")


def loss(method: Method, batch: Batch) -> Tensor:
    """As ``bench.training`` minimises it, in the first stage of a method."""
    return objectives.loss(method.stages()[0].terms(batch, 1.0), 1.0, "sum")


def stepper(
    model: nn.Module, loss: Callable[[Batch], Tensor], sparse: bool = False, adaptive: bool = False
) -> Callable[[Batch], None]:
    parameters = list(model.parameters())
    optimiser: torch.optim.Optimizer
    if adaptive:
        on_gpu = parameters[0].is_cuda  # where steps may be recorded
        optimiser = torch.optim.AdamW(parameters, lr=ADAPTIVE["learning_rate"], fused=True, capturable=on_gpu)
    elif sparse:
        optimiser = SparseSGD(parameters, RATE)
    else:
        optimiser = torch.optim.SGD(parameters, lr=RATE, fused=True)
    sparse_embeddings(model, sparse)

    def step(batch: Batch) -> None:
        loss(batch).backward()
        if isinstance(optimiser, SparseSGD):
            optimiser.clip(CLIP)
        else:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        optimiser.zero_grad()

    return step


def our_stepper(name: str, device: str, form: str) -> Callable[[Batch], None]:
    """As ``bench.training`` takes a step; ``form`` is one of :func:`forms`."""
    precision: Precision = "bfloat16" if form.startswith("bfloat16") else "float32"
    method = models.build(MethodSpec(use=name), SIZE, seed=0).to(device).train()
    passes = Passes(method, Training(precision=precision))

    def lowered(batch: Batch) -> Tensor:
        with passes:
            return loss(method, batch)

    adaptive = method.stages()[0].adaptive
    step = stepper(method, lowered, sparse=device == "cpu" and not adaptive, adaptive=adaptive)
    if not form.endswith(GRAPHS):
        return step
    where = torch.device(device)
    recorder = graphs.recorder(where)
    assert recorder is not None, "on a GPU"
    recorded = graphs.Graphs(step, recorder)
    return lambda batch: recorded(batch, where)


def forms(device: str) -> list[str]:
    """What ours is timed in: the precisions that the device has, on a GPU both ways."""
    precisions = PRECISIONS if has_bfloat16(torch.device(device)) else ("float32",)
    return [*precisions, *(f"{precision}{GRAPHS}" for precision in precisions if device == "cuda")]


def seconds(jobs: dict[str, Callable[[Batch], None]], batches: list[Batch], rounds: int) -> dict[str, list[float]]:
    """Of each round, in which each job has its turn at all batches, waited for at its end."""
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 3):
        for name, job in jobs.items():
            start = time.perf_counter()
            for batch in batches:
                job(batch)
            if batches[0].ids.is_cuda:
                torch.cuda.synchronize()
            if round_ > 2:  # graphs are recorded in the second, which empties the others' memory
                took[name].append(time.perf_counter() - start)
    return took


def texts(device: str) -> list[Batch]:
    rng = np.random.default_rng(0)
    drawn = [[BOS, *rng.integers(4, SIZE.vocabulary, n).tolist(), EOS] for n in LENGTHS for _ in range(BATCH)]
    return [Sequences(drawn).batch(range(i, i + BATCH)).to(device) for i in range(0, len(drawn), BATCH)]


def tokens_of(batches: list[Batch]) -> int:
    return sum(int(batch.predicted.sum()) for batch in batches)


def one_row(name: str, device: str, form: str, rounds: int) -> None:
    """A process of ``side_by_side``: ready, told to go, its tokens a second."""
    batches, step = texts(device), our_stepper(name, device, form)
    seconds({name: step}, batches, 1)
    print("ready", flush=True)
    sys.stdin.readline()
    print(tokens_of(batches) / statistics.mean(seconds({name: step}, batches, rounds)[name]), flush=True)


def side_by_side(name: str, form: str, rows: int, device: str, threads: int, rounds: int) -> float:
    """Tokens a second of so many processes at once, all together."""
    command = [sys.executable, "-m", "benchmarks.lstm", "--row", name, form]
    command += ["--device", device, "--threads", str(threads)]
    with contextlib.ExitStack() as stack:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started = [
            stack.enter_context(subprocess.Popen([*command, "--rounds", str(rounds)], **pipes)) for _ in range(rows)
        ]
        for process in started:
            process.stdout.readline()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in started)


def alone(rounds: int) -> int:
    """Rounds of methods that have no plain form beside them."""
    return max(1, rounds // 4)


def lines(device: str, rounds: int, rows: int, threads: int) -> Iterator[str]:
    """Rows of Markdown."""
    batches = texts(device)
    tokens = tokens_of(batches)
    yield "| method | ours in | plain, tokens/s | ours, tokens/s | ours / plain, median (min - max of rounds) |"
    yield "|---|---|---:|---:|---:|"
    for name, latent in (("lstm-lm", 0), ("lstm-vae", LATENT)):
        method = models.build(MethodSpec(use=name), SIZE, seed=0).to(device)
        plain = plain_like(method, latent).to(device)
        same_loss(method.eval(), plain.eval(), batches[0])
        jobs = {"plain": stepper(plain.train(), lambda batch, plain=plain: plain(batch.ids))}  # type: ignore[misc]
        jobs |= {form: our_stepper(name, device, form) for form in forms(device)}
        took = seconds(jobs, batches, rounds)
        speeds = {job: tokens / statistics.median(each) for job, each in took.items()}
        for form in forms(device):
            ratios = sorted(p / o for p, o in zip(took["plain"], took[form], strict=True))
            yield (
                f"| {name} | {form} | {speeds['plain']:,.0f} | {speeds[form]:,.0f} | "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f}) |"
            )
            if rows > 1 and (device != "cuda" or form.endswith(GRAPHS)):
                together = side_by_side(name, form, rows, device, threads, rounds)
                ratio = together / speeds["plain"]
                yield f"| {name}, {rows} side by side | {form} | | {together:,.0f} | {ratio:.2f} |"
    for name in OURS_ALONE:
        took = seconds({form: our_stepper(name, device, form) for form in forms(device)}, batches, alone(rounds))
        for form in forms(device):
            yield f"| {name} | {form} | | {tokens / statistics.median(took[form]):,.0f} | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side-by-side", type=int, default=1, help="processes of ours at once")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="also write the table here")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.backends.cudnn.allow_tf32 = False  # as in bench/device.py
    if given.row:
        name, form = given.row
        one_row(name, given.device, form, given.rounds)
        return
    capability = torch.backends.cpu.get_cpu_capability()
    cpu = f"{platform.machine()} with {capability}, {given.threads} thread(s) a process"
    where = torch.cuda.get_device_name() if given.device == "cuda" else cpu
    text = "\n".join([
        "# Training steps of the LSTM family\n",
        f"Written by `python -m benchmarks.lstm {' '.join(sys.argv[1:])}`; {where}, torch {torch.__version__}. "
        f"PTB's size: 256 / 256, {SIZE.vocabulary:,} words, {BATCH} texts a batch, of "
        f"{', '.join(map(str, LENGTHS))} words; {given.rounds} rounds, each form having its turn at all of them; of "
        f"methods without a plain form {alone(given.rounds)}. Tokens a second are of median times.\n",
        *lines(given.device, given.rounds, given.side_by_side, given.threads),
        "",
    ])  # fmt: skip
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
