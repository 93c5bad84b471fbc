"""One optimiser step of the training loop, written out again: what it minimises, how it clips, and by which rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import training
from bench.checkpoint import Progress
from bench.methods.base import Method, Stage
from bench.schema import Training
from bench.stepper import Stepper
from bench.training import Run
from tests.methods.conftest import TASKS, build

pytestmark = pytest.mark.usefixtures("one_thread")

SEED, TEXTS = 1, np.arange(4)
PLAN = Training(epochs=8, batch_size=4, annealing_period=4, decay="constant")
REDUCED = {
    "sum": lambda kl: kl.sum(-1),
    "mean_groups": lambda kl: kl.mean(-1),
    "first": lambda kl: kl[:, 0],
    "last": lambda kl: kl[:, -1],
}


def gradients(method: Method) -> dict[str, Tensor]:
    """Zeros where there are none."""
    named = method.named_parameters()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.to_dense().clone() for name, p in named}


def by_hand(method: Method, stage: Stage, step: int, beta: float) -> Tensor:
    """The mean over texts of rec + beta * KL + what else there is, of the noise of that step."""
    training._seed(SEED, step)
    terms, options = stage.terms(TASKS[kind_of(method)].batch(), beta), method.options
    used = method.groups if terms.used is None else terms.used
    assert method.groups < 2 or (torch.as_tensor(used) == method.groups).all(), "or their mean is of those there are"
    dims = terms.kl_dims * (terms.kl_dims > options.free_bits) if options.free_bits else terms.kl_dims
    loss = terms.rec + beta * (REDUCED[options.kl_reduction](dims.sum(-1)) if dims.shape[1] else 0)
    for more in (terms.auxiliary, terms.length):
        loss = loss if more is None else loss + more
    return loss.mean()


def kind_of(method: Method) -> str:
    return "lstm" if "LSTM" in type(method.backbone).__name__ else "gpt2"


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("lstm-lm", 3), ("lstm-vae", 3), ("lstm-vae+anneal", 1), ("lstm-vae+cyclic", 1), ("lstm-vae+fbp", 3),
        ("lstm-vae+pretraining+fbp", 1), ("vae-attn", 3), ("gavam", 3), ("davam-q", 1), ("davam-k128", 1),
        ("embed+bow", 3), ("optimus", 7), ("della-kl-last", 3), ("della@paper", 3),
    ],
)  # fmt: skip
def test_a_step_minimises_what_its_stage_says(name: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the beta of that step, which is a fraction where there is annealing."""
    task = TASKS["lstm" if name.startswith(("lstm", "vae-attn", "gavam", "davam")) else "gpt2"]
    method = build(name, task)
    monkeypatch.setattr(Stepper, "apply", lambda stepper, kept=(): None)  # so that gradients stay
    for stage in method.stages():
        run = Run(method, stage, task.sequences, task.sequences, PLAN, SEED, Progress(step=step, aggressive=False))
        run._begin(None)
        begun = {key: tensor.clone() for key, tensor in method.state_dict().items()}
        method.zero_grad()
        run._step(run.stepper.work(TEXTS), [])
        found = gradients(method)
        method.load_state_dict(begun)
        method.zero_grad()
        beta = stage.beta(step, PLAN.annealing_period, PLAN.epochs)  # an epoch is a step here
        by_hand(method, stage, step, beta).backward()
        expected = gradients(method)
        assert any(gradient.any() for gradient in expected.values())
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        ("gpt2", {"weight_decay": 0.3}),
        ("lstm", {"weight_decay": 0.3, "warmup_steps": 0}),
        ("lstm", {"optimiser": "sgd", "learning_rate": 0.5}),
    ],
    ids=["adamw", "adamw of an LSTM", "sgd"],
)
@pytest.mark.parametrize("clip", [1e-3, 1e9])
def test_steps_are_those_of_the_optimiser(kind: str, plan: dict[str, Any], clip: float) -> None:
    """Of torch's own, after its own clipping, at a rate that warms up and then falls to 0."""
    task = TASKS[kind]
    made = PLAN.model_copy(
        update={"warmup_steps": 2, "decay": "linear", "learning_rate": 0.01, "clip": clip, "epochs": 4, **plan}
    )
    peak, warm = made.learning_rate, made.warmup_steps
    rates = [peak / 2, peak, peak, peak / 2] if warm else [peak, peak * 3 / 4, peak / 2, peak / 4]
    weights = []
    for ours in (True, False):
        method = build({"gpt2": "embed", "lstm": "lstm-vae"}[kind], task).double()  # biases of keys have gradient 0
        (stage,) = method.stages()
        run = Run(method, stage, task.sequences, task.sequences, made, SEED, Progress())
        run._begin(None)
        if ours:
            for rate in rates:
                run._step(run.stepper.work(TEXTS), [])
                assert run.stepper.optimiser.param_groups[0]["lr"] == pytest.approx(rate)
        else:
            parts = list(method.parameters())
            sgd = made.optimiser == "sgd"
            assert not sgd or run.stepper.sparse
            theirs: torch.optim.Optimizer = (
                torch.optim.SGD(parts) if sgd else torch.optim.AdamW(parts, weight_decay=made.weight_decay)
            )
            for part in method.modules():
                part.sparse = False  # type: ignore[assignment]
            for step, rate in enumerate(rates):
                method.train()
                theirs.zero_grad()
                by_hand(method, stage, step, stage.beta(step, made.annealing_period, made.epochs)).backward()
                torch.nn.utils.clip_grad_norm_(parts, clip)
                theirs.param_groups[0]["lr"] = rate
                theirs.step()
        weights.append({name: tensor.clone() for name, tensor in method.state_dict().items()})
    torch.testing.assert_close(*weights, rtol=1e-9, atol=1e-12)
