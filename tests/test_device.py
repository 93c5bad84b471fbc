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
