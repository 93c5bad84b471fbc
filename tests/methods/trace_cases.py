"""What the tests of TRACE share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench import model as models
from bench.batch import Batch
from bench.methods.gaussian import Gaussian
from bench.methods.trace import Trace
from bench.schema import Decoding, MethodSpec

from .conftest import TINY, Task, build

RECURRENT = ("trace-r", "trace-p", "trace-r-ln", "trace-r-rp", "trace-r+bn", "trace-p-sn")
ALL = (*RECURRENT, "ind", "cgd")
TASKS = {"gpt2": Task(), "gpt2-prompt": Task(conditional=True)}
GREEDY, BEAM = Decoding(strategy="greedy"), Decoding(strategy="beam", k=3)


def make(name: str, task: Task = TASKS["gpt2"]) -> Trace:
    method = build(name, task)
    assert isinstance(method, Trace)
    return method


def fresh(seed: int = 0, latent: int = 4, **options: object) -> Trace:
    method = models.build(MethodSpec(use="trace-r", options={"latent": latent, **options}), TINY, seed)
    assert isinstance(method, Trace)
    return method.eval()


def draw(method: Trace, batch: Batch, k: int = 1) -> Tensor:
    torch.manual_seed(0)
    return method.posterior(batch, method.condition(batch)).sample(k)


def noiseless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gaussian, "sample", lambda self, generator=None: self.mean)
