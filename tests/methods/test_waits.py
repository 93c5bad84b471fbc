"""A training step waits for nothing: on a GPU every number fetched from the device ends what runs ahead of it."""

from __future__ import annotations

import traceback
from typing import Any, Literal

import numpy as np
import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from bench.checkpoint import Progress
from bench.methods.base import Method
from bench.methods.optimus import Optimus
from bench.methods.trace import Trace
from bench.schema import Training
from bench.stepper import Stepper
from bench.training import Run
from tests.fetches import fetch

from .conftest import Task


class Fetches(TorchDispatchMode):
    """Which lines fetched something."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if name := fetch(func, args):
            frames = [frame for frame in traceback.extract_stack() if "/bench/" in frame.filename]
            self.lines.add(f"{name}: {[f'{frame.filename}:{frame.lineno}' for frame in frames[-3:]]}")
        return func(*args, **(kwargs or {}))


def test_a_training_step_fetches_nothing(variant: Method, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches_nothing(variant, task, "adamw", monkeypatch)


def test_nor_does_a_step_of_sgd(first: Method, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches_nothing(first, task, "sgd", monkeypatch)


def fetches_nothing(
    method: Method, task: Task, optimiser: Literal["adamw", "sgd"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRACE asks how many segments the texts have; transformers' BERT, whether its mask leaves anything out.

    Steps of the encoder ahead of the decoder's (He et al. 2019) go on until a loss says enough, and are left out.
    """
    if isinstance(method, (Trace, Optimus)):
        pytest.skip("it asks for sizes")
    monkeypatch.setattr(Stepper, "sparse", False)  # as on a GPU
    plan = Training(epochs=1, batch_size=2, optimiser=optimiser)
    for stage in method.stages():
        run = Run(method, stage, task.sequences, task.sequences, plan, 1, Progress(aggressive=False))
        run._begin(None)
        rows = np.arange(len(task.sequences))
        work = run.stepper.work(rows)  # on the host
        with Fetches() as fetches:
            run._step(work, [rows])
        assert not fetches.lines, stage.name
