"""The one training loop. Every method of a suite gets the same steps, batches, optimiser and schedule.

All randomness of step s comes from (seed, s), so that a run killed anywhere and resumed is the undisturbed run.
"""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import device as devices
from bench import model as models
from bench import objectives
from bench.batch import Sequences, sorted_batches, training_batches
from bench.cost import measured
from bench.data.sequences import read_sequences
from bench.files import atomic, atomic_directory
from bench.methods.base import Method
from bench.paths import CellPaths
from bench.progress import progress
from bench.schema import Suite, Training
from bench.suite import Cell, backbone_of, spec_of, training_of

COLUMNS = (
    "step", "epoch", "beta", "lr", "train_rec", "train_kl", "valid_rec", "valid_kl", "valid_nelbo",
)  # fmt: skip
CHECKPOINT_STEPS = 50


@dataclass
class State:
    """All that a resumed run needs: weights and moments live in ``method`` and ``optimiser``."""

    method: Method
    optimiser: torch.optim.AdamW
    step: int
    rows: list[dict[str, Any]]
    sums: list[float]  # rec, KL and number of examples trained on since the last row


def train(suite: Suite, cell: Cell, key: str, device: str = "cpu") -> None:
    """Train one cell and write ``model/`` and ``history.csv``; ``key`` names what a checkpoint must agree on."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    target = devices.select(device, suite.training.threads)
    spec, backbone = spec_of(suite, cell.method), backbone_of(suite, cell.dataset, cell.method)
    sequences, valid = (read_sequences(paths.data, part, backbone) for part in ("train", "valid"))
    plan = training_of(suite, cell.dataset)
    valid = valid.first(plan.valid_examples)
    method = models.build(spec, backbone, cell.seed, conditional=valid.sources is not None).to(target)
    with measured(paths.cost("train")) as meter:
        meter.device = devices.describe(target)
        state = _start(method, plan, paths.resume, key)
        for tokens, seconds in _steps(state, sequences, valid, plan, cell.seed, target):
            meter.tokens += tokens
            meter.steps += 1
            meter.steps_s += seconds
            if state.step % CHECKPOINT_STEPS == 0:
                _checkpoint(state, paths.resume, key)
    config = {
        "method": cell.method, "use": spec.use, "options": spec.options, "backbone": backbone.model_dump(),
        "conditional": method.backbone.conditional,
        "parameters": sum(p.numel() for p in method.parameters()), "groups": method.groups,
    }  # fmt: skip
    with atomic_directory(paths.model) as folder:
        models.save(method, config, folder)
        shutil.copy(paths.data / "tokenizer.json", folder)
    with atomic(paths.history) as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(state.rows)
    shutil.rmtree(paths.resume, ignore_errors=True)


def _steps(
    state: State, sequences: Sequences, valid: Sequences, plan: Training, seed: int, device: torch.device
) -> Iterator[tuple[int, float]]:
    """Run the steps that are left, yielding the tokens each predicted and the seconds it took, validation apart.

    History has a row at step 0, then evenly.
    """
    method, lengths = state.method, sequences.lengths
    per_epoch = len(training_batches(lengths, plan.batch_size, seed, 0))
    total = per_epoch * plan.epochs
    log_at = {round(i * total / plan.log_points) for i in range(plan.log_points + 1)}
    if not state.rows:
        state.rows.append(_row(state, valid, plan, per_epoch, total, seed, device))
    batches: dict[int, list[np.ndarray]] = {}
    for step in progress(range(state.step, total), total, "train", start=state.step):
        epoch = step // per_epoch
        if epoch not in batches:
            batches = {epoch: training_batches(lengths, plan.batch_size, seed, epoch)}
        began = time.perf_counter()
        batch = sequences.batch(batches[epoch][step % per_epoch]).to(device)
        _seed(seed, step)
        method.train()
        terms = method.terms(batch)
        options = method.options
        beta = objectives.beta(options.annealing, step, plan.annealing_period * per_epoch, total)
        rate = objectives.learning_rate(step, total, plan.learning_rate, plan.warmup_steps, plan.decay)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        objectives.loss(terms, beta, options.kl_reduction, options.free_bits).backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), plan.clip)
        state.optimiser.step()
        state.optimiser.zero_grad()
        state.step += 1
        for i, value in enumerate((float(terms.rec.detach().sum()), float(terms.kl.detach().sum()), len(batch))):
            state.sums[i] += value  # on a GPU these wait for the step to end
        seconds = time.perf_counter() - began
        if state.step in log_at:
            state.rows.append(_row(state, valid, plan, per_epoch, total, seed, device))
        yield int(batch.predicted.sum()), seconds


def _row(
    state: State, valid: Sequences, plan: Training, per_epoch: int, total: int, seed: int, device: torch.device
) -> dict[str, Any]:
    """One row of history: training terms since the last row, validation terms now; KL summed over groups."""
    rec, kl, n = state.sums
    state.sums = [0.0, 0.0, 0.0]
    valid_rec, valid_kl = validation_terms(state.method, valid, plan.batch_size, seed, device)
    last = max(0, state.step - 1)
    period = plan.annealing_period * per_epoch
    latent = state.method.groups > 0
    return {
        "step": state.step,
        "epoch": round(state.step / per_epoch, 4),
        "beta": round(objectives.beta(state.method.options.annealing, last, period, total), 6) if latent else "",
        "lr": objectives.learning_rate(last, total, plan.learning_rate, plan.warmup_steps, plan.decay),
        "train_rec": rec / n if n else "",
        "train_kl": kl / n if n else "",
        "valid_rec": valid_rec,
        "valid_kl": valid_kl,
        "valid_nelbo": valid_rec + valid_kl,
    }


@torch.no_grad()
def validation_terms(
    method: Method, sequences: Sequences, batch_size: int, seed: int, device: torch.device
) -> tuple[float, float]:
    """Mean rec and KL (summed over groups) an example, nats, at one posterior sample; the same noise at every call."""
    method.eval()
    _seed(seed, -1)
    rec = kl = 0.0
    for _, batch in sorted_batches(sequences, batch_size):
        terms = method.terms(batch.to(device))
        rec, kl = rec + float(terms.rec.sum()), kl + float(terms.kl.sum())
    return rec / len(sequences), kl / len(sequences)


def _seed(seed: int, step: int) -> None:
    """Dropout and posterior noise of a step, from (seed, step) alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step + 1]).generate_state(1)[0]))


def _start(method: Method, plan: Training, resume: Path, key: str) -> State:
    """A fresh state, or the checkpoint where there is a whole one of the same code, data and settings."""
    optimiser = torch.optim.AdamW(
        method.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    state = State(method, optimiser, 0, [], [0.0, 0.0, 0.0])
    try:
        saved = json.loads((resume / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return state
    if saved["key"] != key:
        return state
    from safetensors.torch import load_file

    tensors = load_file(resume / "state.safetensors")
    method.load_state_dict({k[2:]: v for k, v in tensors.items() if k.startswith("w.")})
    parameters = dict(method.named_parameters())
    for name, parameter in parameters.items():
        moments = {m: tensors.get(f"o.{m}.{name}") for m in ("step", "exp_avg", "exp_avg_sq")}
        if moments["step"] is not None:
            optimiser.state[parameter] = {m: t.to(parameter.device) for m, t in moments.items() if t is not None}
    state.step, state.rows, state.sums = saved["step"], saved["rows"], saved["sums"]
    return state


def _checkpoint(state: State, resume: Path, key: str) -> None:
    """Replace the checkpoint directory at once."""
    tensors = {f"w.{name}": tensor for name, tensor in state.method.state_dict().items()}
    for name, parameter in state.method.named_parameters():
        for moment, tensor in state.optimiser.state.get(parameter, {}).items():
            tensors[f"o.{moment}.{name}"] = tensor
    with atomic_directory(resume) as folder:
        models.save_tensors(tensors, folder / "state.safetensors")
        content = {"key": key, "step": state.step, "rows": state.rows, "sums": state.sums}
        with atomic(folder / "state.json") as stream:
            stream.write(json.dumps(content))
