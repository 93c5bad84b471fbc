"""What counters of a machine say, and that nothing is said where there is none. The counters are files made here."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import energy
from bench.cost import Meter, measured
from bench.files import read_json


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, whose parts are not counted twice, and the whole board's counter."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    for name, of in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:1", "package-1"),
                     ("intel-rapl:2", "psys")):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{of}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
        (tmp_path / name / "energy_uj").write_text("9000000\n")
    return tmp_path


def count(powercap: Path, *numbers: int) -> None:
    for i, number in enumerate(numbers):
        (powercap / f"intel-rapl:{i}" / "energy_uj").write_text(f"{number}\n")


def test_joules_of_packages_add_up_over_a_counter_that_starts_again(powercap: Path) -> None:
    packages = energy.Packages()
    count(powercap, 9_500_000, 9_000_000, 9_999_999)
    assert packages.joules() == pytest.approx(0.5)
    count(powercap, 1_500_000, 9_250_000)
    assert packages.joules() == pytest.approx(0.5 + 2.0 + 0.25)
    packages.ended.set()


def test_a_counter_that_may_not_be_read_is_none(powercap: Path) -> None:
    (powercap / "intel-rapl:1" / "energy_uj").unlink()  # root's alone: an OSError too
    assert math.isnan(energy.Packages().joules())


def test_a_stage_writes_what_it_used_and_what_it_used_before(powercap: Path, tmp_path: Path) -> None:
    first = Meter()
    count(powercap, 9_000_000, 9_300_000)
    spent = first.spent
    assert spent["before_j"] == pytest.approx(0.3) and math.isnan(spent["gpus_before_j"])
    for known, total in ((spent, 0.8), ({k: v for k, v in spent.items() if k != "before_j"}, None)):
        with measured(tmp_path / "cost.json") as meter:
            meter.resume(known)
            now = int((powercap / "intel-rapl:0" / "energy_uj").read_text())
            count(powercap, now + 500_000)
        assert read_json(tmp_path / "cost.json")["energy_j"] == total


def test_without_counters_null_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    with measured(tmp_path / "cost.json"):
        pass
    cost = read_json(tmp_path / "cost.json")
    assert cost["energy_j"] is None and "gpu_energy_j" not in cost


def test_joules_of_the_gpus_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joules = {b"GPU-a": 5_000_000, b"GPU-b": 7_000_000, b"GPU-c": 1}
    nvml = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=joules.__getitem__,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert math.isnan(energy.of_gpus())  # none is in use
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid="abc"[i]))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert energy.of_gpus() == 12_000.0
    with measured(tmp_path / "cost.json") as meter:
        meter.device = "2 × GPU"
        joules[b"GPU-b"] += 1_500
    assert read_json(tmp_path / "cost.json")["gpu_energy_j"] == 1.5
