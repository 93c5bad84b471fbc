"""Blocks in bfloat16 and compiled: in training alone, once for all sizes, and nothing else is touched."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from bench.backbones.lstm import LSTMEncoder
from bench.batch import Sequences
from bench.checkpoint import Progress
from bench.cost import Meter
from bench.device import has_bfloat16
from bench.errors import BenchError
from bench.methods import base
from bench.methods.base import Method
from bench.methods.gaussian import Gaussian
from bench.passes import Passes
from bench.schema import Training
from bench.training import Run, fit
from tests.interrupted import Nowhere
from tests.methods.conftest import TASKS, Task, build

PLAN = Training(epochs=1, batch_size=4)
LOW = PLAN.model_copy(update={"precision": "bfloat16"})
COMPILED = PLAN.model_copy(update={"compile": True})
CASES = [("gpt2", "softmax"), ("gpt2", "della"), ("gpt2-prompt", "trace-r"), ("bart", "embed")]
on_its_hardware = pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="no LSTM in bfloat16 on this CPU")
LSTMS = [pytest.param("lstm", name, marks=on_its_hardware) for name in ("lstm-lm", "lstm-vae", "vae-attn")]

pytestmark = pytest.mark.usefixtures("one_thread")


def run_of(method: Method, data: Sequences, plan: Training) -> Run:
    run = Run(method, method.stages()[0], data, data, plan, 1, Progress())
    run._begin(None)
    return run


def gradients(run: Run, rows: Any) -> tuple[Tensor, Tensor]:
    """Loss and terms, and all gradients as one vector."""
    run.method.zero_grad()
    torch.manual_seed(0)
    found = run.stepper.backward(run.stepper.work(np.asarray(rows)))
    return found, torch.cat([p.grad.flatten() for p in run.method.parameters() if p.grad is not None])


@pytest.mark.parametrize(("task", "name"), CASES + LSTMS)
def test_bfloat16_is_near_float32_and_of_blocks_alone(task: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, data, seen = build(name, TASKS[task]), TASKS[task].sequences, []
    kl_dims = Gaussian.kl_dims

    def watched(q: Gaussian, p: Gaussian) -> Tensor:
        seen.extend([q.mean, q.logvar, p.mean, p.logvar])
        return kl_dims(q, p)

    monkeypatch.setattr(Gaussian, "kl_dims", watched)
    read, of_tokens = [], base.linear_nll

    def noted(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        read.append(hidden.dtype)
        return of_tokens(hidden, weight, targets)

    monkeypatch.setattr(base, "linear_nll", noted)
    full, low = (gradients(run_of(method, data, plan), range(4)) for plan in (PLAN, LOW))
    assert read[-1] == torch.bfloat16 and set(read[:-1]) == {torch.float32}, "validation too is read by it"
    assert {tensor.dtype for tensor in (*seen, *full, *low)} == {torch.float32, torch.float64}
    assert not full[0].equal(low[0])
    torch.testing.assert_close(low[0], full[0], rtol=0.01, atol=0.0)
    assert (low[1] - full[1]).norm() < 0.03 * full[1].norm()
    inputs = data.batch(range(4))
    context = method.backbone.context(inputs.condition) if inputs.condition is not None else None
    if task != "lstm":  # which reads z beside every word
        with torch.no_grad():  # validation is as it was
            assert method.backbone.decode(inputs.inputs, context=context).dtype == torch.float32
    assert "decode" not in vars(method.backbone)


@on_its_hardware
@pytest.mark.parametrize("name", ["lstm-vae", "davam-k128"])
def test_an_encoder_beside_the_backbone_is_in_bfloat16_too(name: str) -> None:
    method, batch = build(name, TASKS["lstm"]), TASKS["lstm"].batch()
    assert isinstance(method.encoder, LSTMEncoder)
    with torch.no_grad():
        full = method.encoder(batch)
        with Passes(method, LOW):
            low = method.encoder(batch)
        assert method.encoder(batch).equal(full)
    assert low.dtype == torch.float32 and not low.equal(full)
    assert low.bfloat16().float().equal(low), "as it was read in bfloat16"
    torch.testing.assert_close(low, full, rtol=0.0, atol=0.02)


@on_its_hardware
def test_an_encoder_that_is_not_trained_gives_the_codes_that_validation_has() -> None:
    """DAVAM's prior learns the codes of states in float32, which those in bfloat16 are near, and may be across."""
    method, task = build("davam-k128", TASKS["lstm"]), TASKS["lstm"]
    batch, data = task.batch(), task.sequences
    codes, prior = method.stages()
    lowered = []
    for stage in (codes, prior):
        run = Run(method, stage, data, data, LOW, 1, Progress())
        run._begin(None)
        with torch.no_grad(), run.stepper.passes:
            lowered.append(method.encoder(batch))
    with torch.no_grad():
        full = method.encoder(batch)
    assert not lowered[0].equal(full) and lowered[1].equal(full)


@pytest.mark.parametrize(("task", "name"), [("gpt2", "della"), ("lstm", "lstm-vae"), ("lstm", "davam-k128")])
def test_a_cpu_without_bfloat16_trains_in_float32(task: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.device.has_bfloat16", lambda device: False)
    data, trained, on = TASKS[task].sequences, [], []
    for plan in (PLAN, LOW):
        method, meter = build(name, TASKS[task]), Meter()
        rows = fit(method, data, data, plan, 1, Nowhere(), meter)
        trained.append((rows, torch.cat([p.detach().flatten() for p in method.parameters()])))
        on.append(meter.device)
    (rows, weights), (asked_rows, asked_weights) = trained
    assert asked_rows == rows and asked_weights.equal(weights)
    assert on == ["cpu", "cpu in float32"]


@pytest.mark.parametrize(("task", "name"), CASES[1::2])
def test_compiled_once_for_all_lengths_and_numbers_of_texts(
    task: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And computing the same. The counting compiler leaves the passes as they are traced."""
    counter = CompileCounter()
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    rng = np.random.default_rng(0)
    texts, sources = ([[0, *rng.integers(4, 200, n).tolist(), 1] for n in rng.integers(1, 12, 40)] for _ in range(2))
    data = Sequences(texts, sources if TASKS[task].conditional else None)
    batches = [rng.integers(0, 40, n) for n in (3, 5, 2, 6)]
    plain, quick = (run_of(build(name, TASKS[task]), data, plan) for plan in (PLAN, COMPILED))
    for rows in batches:
        torch.testing.assert_close(gradients(quick, rows), gradients(plain, rows), rtol=1e-5, atol=1e-6)
    assert counter.frame_count == 2, "encode and decode"


def test_no_compiler_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise RuntimeError("No working C++ compiler found\nin any of these places")

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=missing))
    with pytest.raises(BenchError, match=r"^training\.compile: PyTorch cannot: RuntimeError: No working C") as raised:
        gradients(run_of(build("gpt2"), Task().sequences, COMPILED), range(4))
    assert "\n" not in str(raised.value)
