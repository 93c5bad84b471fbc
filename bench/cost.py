"""What a stage cost: time, memory, energy, speed. Kept apart from results, since no two runs cost the same."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.energy import Packages, of_gpus
from bench.files import write_json


@dataclass
class Meter:
    """Filled in by the stage: how many tokens it processed, on which device; of training also its steps.

    What a training that is resumed cost before counts too, up to the checkpoint that it goes on from. Energy is in
    joules, NaN where it cannot be read.
    """

    tokens: int = 0
    steps: int = 0
    steps_s: float = 0.0
    device: str = "cpu"
    before_s: float = 0.0
    before_j: float = 0.0
    gpus_before_j: float = 0.0
    began: float = field(default_factory=lambda: time.monotonic())
    packages: Packages = field(default_factory=Packages)
    gpus_began_j: float = field(default_factory=of_gpus)

    @property
    def wall_s(self) -> float:
        """Seconds so far."""
        return self.before_s + time.monotonic() - self.began

    @property
    def energy_j(self) -> float:
        """Of the processors, so far."""
        return self.before_j + self.packages.joules()

    @property
    def gpu_energy_j(self) -> float:
        """Of the GPUs, so far."""
        return self.gpus_before_j + of_gpus() - self.gpus_began_j

    @property
    def spent(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        counted = {"tokens": self.tokens, "steps": self.steps, "steps_s": self.steps_s, "before_s": self.wall_s}
        return counted | {"before_j": self.energy_j, "gpus_before_j": self.gpu_energy_j}

    def resume(self, spent: Mapping[str, float]) -> None:
        """Go on from what a checkpoint has."""
        self.tokens, self.steps = int(spent["tokens"]), int(spent["steps"])
        self.steps_s, self.before_s = spent["steps_s"], spent["before_s"]
        self.before_j, self.gpus_before_j = (spent.get(key, math.nan) for key in ("before_j", "gpus_before_j"))


@contextmanager
def measured(path: Path) -> Iterator[Meter]:
    """Time the block and write a :class:`bench.record_schema.Cost` and its device when it succeeds.

    ``bench.integrity`` adds the commit, code, settings and versions that the stage began with.
    """
    meter = Meter()
    yield meter
    wall, energy = meter.wall_s, meter.energy_j
    meter.packages.ended.set()
    write_json(
        path,
        {
            "wall_s": round(wall, 3),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "energy_j": _known(energy),
            **_of_gpu(meter),
            "tokens_per_s": round(meter.tokens / wall, 1) if meter.tokens else None,
            "step_s": round(meter.steps_s / meter.steps, 6) if meter.steps else None,
            "device": meter.device,
        },
    )


def _of_gpu(meter: Meter) -> dict[str, float | None]:
    """The most that this process's tensors took of a GPU's memory, and the energy of the GPUs."""
    if "cpu" in meter.device.split():  # as in "2 × cpu"
        return {}
    import torch

    peak = torch.cuda.max_memory_allocated() / 2**20
    return {"gpu_peak_mb": round(peak, 1), "gpu_energy_j": _known(meter.gpu_energy_j)}


def _known(joules: float) -> float | None:
    return None if math.isnan(joules) else round(joules, 1)
