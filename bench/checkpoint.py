"""What a killed training goes on from: one directory, replaced at once, keyed by code, data and settings."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.files import atomic, atomic_directory
from bench.methods.base import Method
from bench.tensors import save_tensors

FIRST, SECONDS = 1.0, 20.0  # from the beginning to the first checkpoint, and between two later on: what a kill can lose
SHARE = 0.02  # of the time that writing them may take, or there are fewer: a disk may need seconds for one to be safe


@dataclass
class Progress:
    """How far a training is, besides its weights and the optimiser's moments.

    Attributes
    ----------
    stage: the stage it is in, from 0.
    step, before: its steps in this stage, and those of all earlier ones.
    rows: of its history.
    sums: rec, KL and number of examples trained on since the last row.
    rate, best, worse, halvings: of the plateau schedule: the learning rate (0: not begun), the best validation bound of
        the stage, the epochs since then, and how often the rate was halved.
    aggressive, mutual_information: whether the encoder is still trained ahead, and what says so.
    """

    stage: int = 0
    step: int = 0
    before: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    rate: float = 0.0
    best: float = inf
    worse: int = 0
    halvings: int = 0
    aggressive: bool = True
    mutual_information: float = 0.0

    def next_stage(self) -> Progress:
        """At the beginning of the next stage."""
        return Progress(self.stage + 1, 0, self.before + self.step, self.rows)


@dataclass
class Saved:
    """A checkpoint as it was read: progress, tensors by the optimiser's parameter names, the best weights so far.

    ``spent`` is what it cost.
    """

    progress: Progress
    spent: dict[str, float]
    moments: dict[str, dict[str, Tensor]]
    best: dict[str, Tensor]


class Checkpoint:
    """The checkpoint of one training. A half-written one, or one of other code, data or settings, is never read."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._saved, self._interval = time.monotonic(), FIRST

    @property
    def due(self) -> bool:
        """Whether the last one is so old that another one is worth its time."""
        return time.monotonic() - self._saved >= self._interval

    def load(self, method: Method) -> Saved | None:
        """Put the weights back where there are any, and return the rest."""
        try:
            saved = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if saved.pop("key") != self.key:
            return None
        from safetensors.torch import load_file

        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}, "best": {}}
        device = next(method.parameters()).device
        for name, tensor in load_file(self.folder / "state.safetensors").items():
            part, _, name = name.partition(":")
            parts[part][name] = tensor.to(device)
        method.load_state_dict(parts["weights"])
        spent = saved.pop("spent")
        moments: dict[str, dict[str, Tensor]] = {}
        for name, tensor in parts["moments"].items():
            parameter, _, moment = name.rpartition(":")
            moments.setdefault(parameter, {})[moment] = tensor
        return Saved(Progress(**saved), spent, moments, parts["best"])

    def save(
        self, method: Method, optimiser: torch.optim.Optimizer, best: dict[str, Tensor], progress: Progress,
        spent: dict[str, float],
    ) -> None:  # fmt: skip
        """Replace the checkpoint."""
        began = time.monotonic()
        tensors = {f"weights:{name}": tensor for name, tensor in method.state_dict().items()}
        tensors |= {f"best:{name}": tensor for name, tensor in best.items()}
        for name, parameter in method.named_parameters():
            for moment, tensor in optimiser.state.get(parameter, {}).items():
                tensors[f"moments:{name}:{moment}"] = tensor
        with atomic_directory(self.folder) as folder:
            save_tensors(tensors, folder / "state.safetensors")
            with atomic(folder / "state.json") as stream:
                stream.write(json.dumps({"key": self.key, "spent": spent, **asdict(progress)}))
        self._saved = time.monotonic()
        self._interval = max(min(SECONDS, 2 * self._interval), (self._saved - began) / SHARE)
