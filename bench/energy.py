"""Energy while a stage runs, in joules, where the machine says: NaN where it does not, never an estimate.

Processors: Intel's and AMD's RAPL counters under ``/sys/class/powercap``, of whole packages, so that whatever else runs
on the machine is in it; many systems let only root read them. GPUs: NVML's counter, where the package ``pynvml`` is.
"""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
EVERY = 60.0  # seconds: a package's counter starts again after 262 kJ, which the largest ones use in ten minutes


class Packages:
    """The joules of all processor packages since it was made."""

    def __init__(self) -> None:
        self._joules, self._lock, self.ended = 0.0, threading.Lock(), threading.Event()
        try:
            folders = sorted(POWERCAP.glob("intel-rapl:*"))
            self._folders = [at for at in folders if (at / "name").read_text().startswith("package")]
            self._ranges = [_number(at / "max_energy_range_uj") for at in self._folders]
            self._last = self._read()
        except (OSError, ValueError):
            self._folders = []
        if self._folders:
            threading.Thread(target=self._watch, daemon=True).start()

    def joules(self) -> float:
        """So far; NaN where there is no counter that may be read."""
        if not self._folders:
            return math.nan
        with self._lock:
            now = self._read()
            steps = zip(now, self._last, self._ranges, strict=True)
            self._joules += sum((new - old) % most for new, old, most in steps) / 1e6
            self._last = now
            return self._joules

    def _read(self) -> list[int]:
        return [_number(at / "energy_uj") for at in self._folders]

    def _watch(self) -> None:
        while not self.ended.wait(EVERY):
            self.joules()


def _number(path: Path) -> int:
    return int(path.read_text())


def of_gpus() -> float:
    """The joules of the GPUs that this job computes on since their driver was loaded; NaN where there are none."""
    try:
        import pynvml
        import torch

        if not torch.cuda.is_initialized():
            return math.nan
        used = min(int(os.environ.get("WORLD_SIZE", 1)), torch.cuda.device_count())  # one a process
        pynvml.nvmlInit()
        found = [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{_uuid(i)}".encode()) for i in range(used)]
        return sum(map(pynvml.nvmlDeviceGetTotalEnergyConsumption, found)) / 1e3
    except Exception:  # no package, no driver, no such counter: each has an error of its own
        return math.nan


def _uuid(device: int) -> str:
    import torch

    return str(torch.cuda.get_device_properties(device).uuid)
