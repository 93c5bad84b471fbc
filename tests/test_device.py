"""Which GPU a process computes on, as far as that can be told without one."""

from __future__ import annotations

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
