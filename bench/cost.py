"""What a stage cost: wall time, peak memory, speed. Kept apart from results, since no two runs cost the same."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.files import write_json


@dataclass
class Meter:
    """Filled in by the stage: how many tokens it processed, on which device; of training also its steps.

    ``steps`` and their seconds are of this process: a resumed training has the rest of its steps.
    """

    tokens: int = 0
    steps: int = 0
    steps_s: float = 0.0
    device: str = "cpu"


@contextmanager
def measured(path: Path) -> Iterator[Meter]:
    """Time the block and write ``{wall_s, peak_mb, tokens_per_s, step_s, device}`` when it succeeds."""
    meter, began = Meter(), time.monotonic()
    yield meter
    wall = time.monotonic() - began
    write_json(
        path,
        {
            "wall_s": round(wall, 3),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "tokens_per_s": round(meter.tokens / wall, 1) if meter.tokens else None,
            "step_s": round(meter.steps_s / meter.steps, 6) if meter.steps else None,
            "device": meter.device,
        },
    )
