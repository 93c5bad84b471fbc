"""What the processes of test_ranks.py do. They start anew, and so import it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bench import aggressive, training
from bench import model as models
from bench.batch import Sequences
from bench.checkpoint import Checkpoint
from bench.cli import main
from bench.cost import Meter
from bench.errors import BenchError
from bench.files import atomic, write_json
from bench.paths import CellPaths
from bench.ranks import joined
from bench.schema import Backbone, MethodSpec, Training
from tests.interrupted import Nowhere, every

# of each length but two an odd number of texts
DATA = Sequences([[0, *(4 + (i * i + j) % 40 for j in range(2 + i % 5)), 1] for i in range(23)])
PLAN = Training(
    epochs=2, batch_size=4, batches="lengths", tokens_at_once=12, learning_rate=0.01, log_points=2, valid_examples=8
)
NAMES = {"gpt2": "gpt2", "della": "gpt2", "trace-p": "gpt2", "lstm-vae+aggressive": "lstm"}
OPTIONS = {name: {} if name == "gpt2" else {"latent": 4} for name in NAMES}


def the_same_noise(size: Any, **more: Any) -> Tensor:
    """Of every text and in every process."""
    more.pop("generator", None)
    return torch.full(tuple(size), 0.7, **more)


def train_all(folder: Path) -> None:
    """A few methods to their ends, in double precision; the first process writes weights and history."""
    torch.set_num_threads(1)
    with joined("cpu") as own, patch.object(torch, "randn", the_same_noise), patch.object(aggressive, "STEPS", 4):
        for name, kind in NAMES.items():
            size = Backbone(kind=kind, layers=1 if kind == "lstm" else 2, width=8, heads=2, vocabulary=260)  # type: ignore[arg-type]
            method = models.build(MethodSpec(use=name, options=OPTIONS[name]), size, 0).double()
            rows = training.fit(method, DATA, DATA, PLAN, 1, Nowhere(), Meter(), own)
            if own.first:
                folder.mkdir(exist_ok=True)
                found = {"weights": method.state_dict(), "rows": [list(filter(None, row.values())) for row in rows]}
                torch.save(found, folder / name)


YAML = """\
name: tiny
datasets: {bbe: {train: 64, valid: 8, test: 8}}
methods: [gpt2]
seeds: [1]
metrics: [elbo]
backbone: {layers: 2, width: 16, heads: 2, vocabulary: 300, max_tokens: 48}
training: {epochs: 2, batch_size: 8, learning_rate: 0.01, log_points: 4, valid_examples: 8}
"""
PATHS = CellPaths("tiny", "bbe", "gpt2", 1)
TRAIN = ("train", "--suite", "tiny.yaml", "--dataset", "bbe", "--method", "gpt2", "--seed", "1")


def prepare_in(folder: Path) -> None:
    """A suite of one cell, and its data."""
    folder.mkdir()
    (folder / "tiny.yaml").write_text(YAML)
    with contextlib.chdir(folder):
        assert main(["prepare", "--suite", "tiny.yaml", "--dataset", "bbe"]) == 0


def train_cell(folder: Path, killed_before: int | None) -> None:
    """By the command line, with a checkpoint every five steps; a second process may be killed before one of its steps.

    What each would draw after its seventh step is noted.
    """
    step, rank = training.Run._step, int(os.environ.get("RANK", 0))

    def watched(run: training.Run, *rest: Any) -> None:
        if rank == 1 and run.progress.step == killed_before:
            while not Path("seed-0.json").exists():  # the first process would be ended before it noted its own
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        step(run, *rest)
        if run.progress.step == 7:
            write_json(Path(f"seed-{rank}.json"), torch.initial_seed())

    checkpoints, steps = patch.object(Checkpoint, "due", every(5)), patch.object(training.Run, "_step", watched)
    with contextlib.chdir(folder), checkpoints, steps:
        assert main(TRAIN) == 0


def mistaken() -> None:
    raise BenchError("as every process says")


def without_room() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")


def dividing() -> None:
    1 / 0  # noqa: B018


def sleeping(folder: Path) -> None:
    with atomic(folder / os.environ["RANK"]) as stream:
        stream.write(str(os.getpid()))
    time.sleep(300)
