"""Which GPU a process computes on, as far as that can be told without one, and what a CPU is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from bench import device


@pytest.mark.parametrize(("rank", "expected"), [(None, 0), ("1", 1)])
def test_each_process_has_a_gpu_of_its_own(rank: str | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number that launchers give it, before anything is put there; and in float32 throughout."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert device.select("cuda", torch.get_num_threads()) == torch.device("cuda")
    assert chosen == [expected] and not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_of_a_cpu_is_what_onednn_says(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a GPU, or a build without oneDNN, is not asked."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert device.has_bfloat16(torch.device("cpu")) is there and device.has_bfloat16(torch.device("cuda"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not device.has_bfloat16(torch.device("cpu"))


def test_an_lstm_in_bfloat16_runs_where_a_cpu_is_said_to_have_it() -> None:
    lstm, read = torch.nn.LSTM(8, 8, batch_first=True), torch.randn(2, 3, 8)
    if not device.has_bfloat16(torch.device("cpu")):
        pytest.skip("not here")
    with torch.autocast("cpu", torch.bfloat16):
        assert lstm(read)[0].dtype == torch.bfloat16


CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
SHAPES = 1100  # more than the 1,024 kernels that oneDNN keeps by itself
PRODUCTS = f"""
import torch
from bench import device
device.select("cpu", 1)
for epoch in range(2):
    print("epoch", flush=True)
    for rows in range(1, {SHAPES + 1}):
        torch.ops.mkldnn._linear_pointwise(torch.ones(rows, 8), torch.ones(8, 8), None, "none", [], "")
"""


@pytest.mark.parametrize(("told", "again"), [(None, 0), ("1024", SHAPES)])
def test_kernels_of_an_epochs_shapes_are_compiled_once(told: str | None, again: int) -> None:
    """As oneDNN tells it; and who sets the capacity has it."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("a build without oneDNN")
    environment = {name: value for name, value in os.environ.items() if name != CAPACITY}
    environment |= {"ONEDNN_VERBOSE": "profile_create"} | ({CAPACITY: told} if told else {})
    ran = subprocess.run([sys.executable, "-c", PRODUCTS], env=environment, capture_output=True, text=True, check=True)
    first, second = (epoch.count("create:cache_miss") for epoch in ran.stdout.split("epoch")[1:])
    assert (first, second) == (SHAPES, again)
