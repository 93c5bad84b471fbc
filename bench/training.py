"""The one training loop. Every method of a suite gets the same batches and, but for what it says itself, schedule.

A method is trained in stages (``Method.stages``), nearly always one. All randomness of step s comes from (seed, s), so
that a run killed anywhere and resumed is the undisturbed run.
"""

from __future__ import annotations

import csv
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import aggressive, objectives, ranks
from bench import device as devices
from bench import model as models
from bench.batch import Batch, Sequences, length_batches, sorted_batches, token_batches, training_batches
from bench.checkpoint import Checkpoint, Progress, Saved
from bench.cost import Meter, measured
from bench.data.sequences import read_sequences
from bench.errors import BenchError
from bench.files import atomic, atomic_directory
from bench.methods.base import Method, Stage, Terms
from bench.paths import CellPaths
from bench.progress import progress as shown
from bench.ranks import ALONE, Ranks
from bench.schema import Suite, Training
from bench.stepper import Stepper, Work
from bench.suite import Cell, backbone_of, spec_of, training_of

COLUMNS = (
    "stage", "step", "epoch", "beta", "lr", "train_rec", "train_kl", "valid_rec", "valid_kl", "valid_nelbo",
)  # fmt: skip
ADAPTIVE = {"optimiser": "adamw", "learning_rate": 0.001}  # in place of SGD


def train(suite: Suite, cell: Cell, key: str, device: str = "cpu") -> None:
    """Train one cell and write ``model/`` and ``history.csv``; ``key`` names what a checkpoint must agree on.

    Where this is one of several processes, the first one writes.
    """
    with ranks.joined(device) as own:
        _train(suite, cell, key, device, own)


def _train(suite: Suite, cell: Cell, key: str, device: str, own: Ranks) -> None:
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    plan = training_of(suite, cell.dataset, cell.method)
    target = devices.select(device, plan.threads)
    spec, backbone = spec_of(suite, cell.method), backbone_of(suite, cell.dataset, cell.method)
    sequences, valid = (read_sequences(paths.data, part, backbone) for part in ("train", "valid"))
    backbone, start = models.resolve(backbone, paths)
    method = models.build(spec, backbone, cell.seed, conditional=valid.sources is not None, start=start).to(target)
    own_rate = plan.optimiser == "sgd" and suite.methods[cell.method].learning_rate
    if own_rate and all(stage.adaptive for stage in method.stages()):
        rate = ADAPTIVE["learning_rate"]
        raise BenchError(f"'methods.{cell.method}.learning_rate' is of SGD; this method is trained by AdamW at {rate}")
    with measured(paths.cost("train")) if own.first else nullcontext(Meter()) as meter:
        meter.device = devices.describe(target) if own.size == 1 else f"{own.size} × {devices.describe(target)}"
        rows = fit(method, sequences, valid, plan, cell.seed, Checkpoint(paths.resume, key), meter, own)
    if not own.first:
        return
    if start is not None:  # the size of what was built, in place of what counted for nothing
        built = method.backbone
        backbone = backbone.model_copy(update={"layers": built.layers, "width": built.width, "heads": built.heads})
    config = {
        "method": cell.method, "use": spec.use, "options": spec.options, "backbone": backbone.model_dump(),
        **({"pretrained": start.config} if start else {}),
        "conditional": method.backbone.conditional,
        "parameters": sum(p.numel() for p in method.parameters()), "groups": method.groups,
    }  # fmt: skip
    with atomic_directory(paths.model) as folder:
        models.save(method, config, folder)
        shutil.copy(paths.data / "tokenizer.json", folder)
    with atomic(paths.history) as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    shutil.rmtree(paths.resume, ignore_errors=True)


def fit(
    method: Method, sequences: Sequences, valid: Sequences, plan: Training, seed: int, checkpoint: Checkpoint,
    meter: Meter, own: Ranks = ALONE,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train a method to the end of its last stage, from a checkpoint where there is one; the rows of its history.

    A CPU without bfloat16 trains in float32, which standard error and the meter's device tell.
    """
    if plan.precision == "bfloat16" and not devices.has_bfloat16(next(method.parameters()).device):
        plan = plan.model_copy(update={"precision": "float32"})
        meter.device += " in float32"
        if own.first:
            print("this CPU has no bfloat16: training in float32, as without 'precision'", file=sys.stderr, flush=True)
    if (whole := method.of_whole_batches) and (own.size > 1 or plan.tokens_at_once):
        raise BenchError(f"{whole} is of whole batches: train it in one process and without tokens_at_once")
    saved = checkpoint.load(method)
    progress = Progress() if saved is None else saved.progress
    if saved is not None:
        meter.resume(saved.spent)
    stages = method.stages()
    while progress.stage < len(stages):
        run = Run(method, stages[progress.stage], sequences, valid, plan, seed, progress, own)
        for tokens, seconds in run.steps(saved):
            meter.tokens += tokens
            meter.steps += 1
            meter.steps_s += seconds
            if own.first and checkpoint.due:
                began = time.perf_counter()
                run.settle()
                meter.steps_s += time.perf_counter() - began
                checkpoint.save(method, run.stepper.optimiser, run.best, progress, meter.spent)
        run.stepper.graphs = None  # which hold memory, and the stepper that holds them
        progress, saved = progress.next_stage(), None
    method.requires_grad_(True)
    return progress.rows


class Run:
    """One stage of a training, somewhere between its beginning and its end."""

    def __init__(
        self, method: Method, stage: Stage, sequences: Sequences, valid: Sequences, plan: Training, seed: int,
        progress: Progress, own: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self.method, self.stage, self.sequences, self.seed, self.progress = method, stage, sequences, seed, progress
        self.ranks = own
        self.plan = plan.model_copy(update=ADAPTIVE) if stage.adaptive and plan.optimiser == "sgd" else plan
        self.halving = self.plan.decay == "plateau"
        self.valid = valid if self.halving else valid.first(self.plan.valid_examples)
        self.device = next(method.parameters()).device
        first = self._batches(0)  # those of every epoch are of as many texts
        self.per_epoch = len(first)
        self.total = self.per_epoch * self.plan.epochs
        if not self.total:
            raise BenchError(f"{len(sequences)} training texts make no batch of {plan.batch_size}")
        if (smallest := min(map(len, first))) < method.fewest_texts:
            raise BenchError(
                f"a step needs {method.fewest_texts} texts, for {method.of_whole_batches}, and there is a batch of "
                f"{smallest} (batches: {plan.batches}, batch_size: {plan.batch_size})"
            )
        self.stepper = Stepper(method, stage, sequences, self.plan, own)
        self.stepper.sums.copy_(torch.tensor(progress.sums, dtype=torch.float64))
        self.best: dict[str, Tensor] = {}  # weights of the best validation bound

    def steps(self, saved: Saved | None) -> Iterator[tuple[int, float]]:
        """Run the steps that are left, yielding the tokens each predicted and the seconds it took, validation apart.

        History has a row at step 0, then evenly, or after every epoch.
        """
        progress, plan = self.progress, self.plan
        self._begin(saved)
        log_at = {round(i * self.total / plan.log_points) for i in range(plan.log_points + 1)}
        batches: dict[int, list[np.ndarray[Any, Any]]] = {}
        ended = self.halving and progress.halvings == plan.halvings  # and killed before the next stage
        left = range(self.total if ended else progress.step, self.total)
        for step in shown(left, self.total, self._label, start=progress.step) if self.ranks.first else left:
            epoch = step // self.per_epoch
            if epoch not in batches:
                batches = {epoch: self._batches(epoch)}
            began, before = time.perf_counter(), self.stepper.tokens
            self._step(self.stepper.work(batches[epoch][step % self.per_epoch]), batches[epoch])
            whole = progress.step % self.per_epoch == 0
            if logged := whole if self.halving else progress.step in log_at:
                self.settle()
            seconds = time.perf_counter() - began
            if logged:
                self._row()
                if plan.keep == "best" or self.halving:
                    self._keep()
            ended = whole and self._end_epoch()
            yield self.stepper.tokens - before, seconds
            if ended:
                break
        if self.best:
            self.method.load_state_dict(self.best)
            self._row()

    @property
    def _label(self) -> str:
        return f"train {self.stage.name}".strip()

    def _batches(self, epoch: int) -> list[np.ndarray[Any, Any]]:
        if self.plan.batch_tokens:
            return token_batches(self.sequences.sizes, self.plan.batch_tokens, self.seed, epoch)
        make = {"pools": training_batches, "lengths": length_batches}[self.plan.batches]
        return make(self.sequences.lengths, self.plan.batch_size, self.seed, epoch)

    def _begin(self, saved: Saved | None) -> None:
        """What comes before the first step, or what a checkpoint has of it."""
        progress, begin = self.progress, self.stage.begin
        if progress.step == 0 and begin is not None:
            _seed(self.seed, progress.before)
            begin(self.sequences, self.device)
        self.stepper.begin()
        if saved is not None:
            self.best = saved.best
            named = dict(self.method.named_parameters())
            for name, moments in saved.moments.items():
                self.stepper.optimiser.state[named[name]] = moments
        if progress.step == 0:
            progress.rate = self.plan.learning_rate
            self._row()

    def _step(self, work: Work, batches: list[np.ndarray[Any, Any]]) -> None:
        """One optimiser step on a batch, one of those of this epoch."""
        progress, ahead = self.progress, self.stage.ahead if self.progress.aggressive else ()
        _seed(self.seed, progress.before + progress.step, self.ranks.rank)
        self.stepper.take(work, self._beta(progress.step), self._rate(progress.step), ahead, self._others(batches))
        progress.step += 1

    def _others(self, batches: list[np.ndarray[Any, Any]]) -> Iterator[Work]:
        """Batches of this epoch, each drawn anew, for what is ahead of a step."""
        drawn = np.random.default_rng([self.seed, self.progress.before + self.progress.step])
        while True:
            yield self.stepper.work(batches[int(drawn.integers(len(batches)))])

    def settle(self) -> None:
        """Wait for the steps so far to end, and take note of their terms."""
        self.progress.sums = self.stepper.sums.tolist()

    def _beta(self, step: int) -> float:
        return self.stage.beta(step, self._period, self.total)

    @property
    def _period(self) -> int:
        """Of annealing, in steps."""
        return self.plan.annealing_period * self.per_epoch

    def _rate(self, step: int) -> float:
        plan = self.plan
        if self.halving:
            return self.progress.rate
        return objectives.learning_rate(step, self.total, plan.learning_rate, plan.warmup_steps, plan.decay)

    def _end_epoch(self) -> bool:
        """Whether the stage ends with this epoch, before its last one."""
        progress = self.progress
        if progress.aggressive and self.stage.ahead:
            now = self.ranks.of_first(
                lambda: aggressive.mutual_information(self.method, self.valid, self.plan.batch_size, self.seed)
            )
            progress.aggressive, progress.mutual_information = now >= progress.mutual_information, now
        return self.halving and self._settled and self._halve()

    @property
    def _settled(self) -> bool:
        """Whether the stage is what it is about, and not on its way there."""
        settled = self.stage.settled
        return settled is None or settled(self.progress.step, self._period, self.total)

    def _keep(self) -> None:
        """Keep the weights whose validation bound, in the last row, is the best so far; count the rows since.

        Not where the stage is on its way to what it is about.
        """
        progress, row = self.progress, self.progress.rows[-1]
        if not self._settled:
            return
        value = row["valid_rec"] if self.stage.judged == "rec" else row["valid_nelbo"]
        if value < progress.best or not self.best:  # the first, were it that of a model that diverged: nan
            progress.best, progress.worse = min(progress.best, value), 0
            self.best = {name: tensor.clone() for name, tensor in self.method.state_dict().items()}
        else:
            progress.worse += 1

    def _halve(self) -> bool:
        """Go back to the best weights at half the rate when they stay the best; whether that is enough."""
        progress, plan = self.progress, self.plan
        if progress.worse < plan.patience or progress.step < plan.decay_from * self.per_epoch:
            return False
        progress.worse, progress.rate, progress.halvings = 0, progress.rate / 2, progress.halvings + 1
        self.method.load_state_dict(self.best)
        return progress.halvings == plan.halvings

    def _row(self) -> None:
        """One row of history: training terms since the last row, validation terms now; KL summed over groups."""
        progress = self.progress
        rec, kl, n = progress.sums
        progress.sums = [0.0, 0.0, 0.0]
        self.stepper.sums.zero_()
        valid = self.ranks.of_first(
            lambda: validation_terms(
                self.method, self.valid, self.plan.batch_size, self.seed, self.device, self.stage.validated
            )
        )
        if progress.rows and not valid[0]:  # a stage that trains the prior alone: rec is what the one before left
            valid = (progress.rows[-1]["valid_rec"], *valid[1:])
        last = max(0, progress.step - 1)
        latent, known = self.method.groups > 0, self.stage.judged == "bound"
        progress.rows.append({
            "stage": self.stage.name,
            "step": progress.before + progress.step,
            "epoch": round((progress.before + progress.step) / self.per_epoch, 4),
            "beta": round(self._beta(last), 6) if latent else "",
            "lr": self._rate(last),
            "train_rec": rec / n if rec else "",  # a stage that trains the prior alone has none
            "train_kl": kl / n if n and known else "",
            "valid_rec": valid[0],
            "valid_kl": valid[1] if known else "",
            "valid_nelbo": sum(valid) if known else "",
        })  # fmt: skip


@torch.no_grad()
def validation_terms(
    method: Method,
    sequences: Sequences,
    batch_size: int,
    seed: int,
    device: torch.device,
    of: Callable[[Batch], Terms] | None = None,
) -> tuple[float, float, float]:
    """The parts of -ELBO, means over examples, nats, at one posterior sample; the same noise at every call.

    They are rec, KL summed over groups, and what the length of a latent sequence costs, or those of them that ``of``
    computes.
    """
    method.eval()
    _seed(seed, -1)
    rec = kl = cost = 0.0
    for _, batch in sorted_batches(sequences, batch_size):
        batch = batch.to(device)
        terms = (of or method.terms)(batch)
        rec, kl = rec + float(terms.rec.sum()), kl + float(terms.kl.sum())
        cost += 0.0 if terms.length is None else float(terms.length.sum())
    return rec / len(sequences), kl / len(sequences), cost / len(sequences)


def _seed(seed: int, step: int, rank: int = 0) -> None:
    """Dropout and posterior noise of a step, from (seed, step), and of the rank where there are several, alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step + 1, rank]).generate_state(1)[0]))
