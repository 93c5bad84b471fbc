"""What a stage cost: wall time, peak memory, speed. Kept apart from results, since no two runs cost the same."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.files import write_json


@dataclass
class Meter:
    """Filled in by the stage: how many tokens it processed, on which device; of training also its steps.

    What a training that is resumed cost before counts too, up to the checkpoint that it goes on from.
    """

    tokens: int = 0
    steps: int = 0
    steps_s: float = 0.0
    device: str = "cpu"
    before_s: float = 0.0
    began: float = field(default_factory=lambda: time.monotonic())

    @property
    def wall_s(self) -> float:
        """Seconds so far."""
        return self.before_s + time.monotonic() - self.began

    @property
    def spent(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"tokens": self.tokens, "steps": self.steps, "steps_s": self.steps_s, "before_s": self.wall_s}

    def resume(self, spent: Mapping[str, float]) -> None:
        """Go on from what a checkpoint has."""
        self.tokens, self.steps = int(spent["tokens"]), int(spent["steps"])
        self.steps_s, self.before_s = spent["steps_s"], spent["before_s"]


@contextmanager
def measured(path: Path) -> Iterator[Meter]:
    """Time the block and write a :class:`bench.record_schema.Cost` and its device when it succeeds."""
    meter = Meter()
    yield meter
    wall = meter.wall_s
    write_json(
        path,
        {
            "wall_s": round(wall, 3),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            **_of_gpu(meter.device),
            "tokens_per_s": round(meter.tokens / wall, 1) if meter.tokens else None,
            "step_s": round(meter.steps_s / meter.steps, 6) if meter.steps else None,
            "device": meter.device,
        },
    )


def _of_gpu(device: str) -> dict[str, float]:
    """The most that this process's tensors took of a GPU's memory."""
    if device.endswith("cpu"):  # as "2 × cpu" does
        return {}
    import torch

    return {"gpu_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20, 1)}
