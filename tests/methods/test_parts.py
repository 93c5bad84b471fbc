"""A batch that is worked through in parts makes the step of the whole batch."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrize import ParametrizationList

from bench.checkpoint import Progress
from bench.cost import Meter
from bench.errors import BenchError
from bench.methods.base import Method
from bench.methods.davam import Davam
from bench.methods.single import MeanNorm
from bench.methods.trace import Trace
from bench.schema import Training
from bench.training import Run, fit
from tests.interrupted import Nowhere
from tests.ranks_work import the_same_noise

from .conftest import Task, build

PLAN = Training(epochs=1, batch_size=4)
IN_PARTS = PLAN.model_copy(update={"tokens_at_once": 12})  # of texts of 7, 4, 6 and 2 tokens


def gradients(run: Run) -> tuple[Tensor, dict[str, Tensor | None]]:
    run._begin(None)
    run.method.zero_grad()
    found = run.stepper.backward(run.stepper.work(np.arange(4)))
    return found, {name: None if p.grad is None else p.grad.clone() for name, p in run.method.named_parameters()}


def test_gradients_are_those_of_the_whole_batch(method: Method, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    if method.of_whole_batches:
        pytest.skip(f"{method.of_whole_batches} is of whole batches")
    monkeypatch.setattr(torch, "randn", the_same_noise)
    begun = {name: tensor.clone() for name, tensor in method.double().state_dict().items()}
    for stage in method.stages():
        found = []
        for plan in (PLAN, IN_PARTS):
            method.load_state_dict(begun)
            run = Run(method, stage, task.sequences, task.sequences, plan, 1, Progress(aggressive=False))
            assert (len(run.stepper.work(np.arange(4)).parts) > 1) == (plan is IN_PARTS)
            found.append((*gradients(run), {name: t.clone() for name, t in method.named_buffers()}))
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_what_is_of_whole_batches_is_one_clear_line(method: Method, task: Task) -> None:
    normalised = any(isinstance(part, (MeanNorm, torch.nn.BatchNorm1d)) for part in method.modules())
    assert bool(method.of_whole_batches) == (normalised or isinstance(method, Davam))
    if method.of_whole_batches:
        with pytest.raises(BenchError, match="is of whole batches: train it in one process"):
            fit(method, task.sequences, task.sequences, IN_PARTS, 1, Nowhere(), Meter())


def test_a_batch_of_one_text_is_refused_before_the_first_step(method: Method, task: Task) -> None:
    """Where steps need several: there is a length that one text alone has."""
    alone = PLAN.model_copy(update={"batches": "lengths"})
    assert 1 in Counter(task.sequences.lengths).values()
    over_segments = isinstance(method, Trace) and method.options.normalisation == "batch"
    assert method.fewest_texts == 1 + (over_segments or any(isinstance(part, MeanNorm) for part in method.modules()))
    if method.fewest_texts > 1:
        said = "a step needs 2 texts, for batch normalisation, and there is a batch of 1 (batches: lengths"
        with pytest.raises(BenchError, match=re.escape(said)):
            Run(method, method.stages()[0], task.sequences, task.sequences, alone, 1, Progress())
    else:
        assert Run(method, method.stages()[0], task.sequences, task.sequences, alone, 1, Progress()).total


def test_a_spectral_norm_takes_one_power_iteration_a_step() -> None:
    """From wherever the step before left it, in however many parts."""
    method, task = build("trace-p"), Task()
    run = Run(method, method.stages()[0], task.sequences, task.sequences, IN_PARTS, 1, Progress())
    run._begin(None)
    norms = [part for part in method.modules() if isinstance(part, ParametrizationList)]
    for norm in norms:
        norm[0]._v.copy_(unit(torch.randn_like(norm[0]._v)))
    for _ in range(2):
        expected = [power_iteration(norm.original, norm[0]._v) for norm in norms]
        run._step(run.stepper.work(np.arange(4)), [])
        torch.testing.assert_close([(norm[0]._u, norm[0]._v) for norm in norms], expected)
    assert norms


def power_iteration(weight: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """u and v after one, by hand: u = W v / |W v|, then v = W^T u / |W^T u|."""
    u = unit(weight.detach() @ v)
    return u, unit(weight.detach().T @ u)


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()
