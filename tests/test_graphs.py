"""Recorded steps are the steps: of whatever batches, weights, rates and random numbers there are when they run again.

What CUDA records of a step is what it launches, and not the Python that says so. Here the operations of a step are
recorded instead, and run again without the Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from bench import aggressive, graphs, registry, training
from bench import model as models
from bench.batch import Sequences
from bench.checkpoint import Progress
from bench.cost import Meter
from bench.errors import BenchError
from bench.methods.base import Method
from bench.ranks import Ranks
from bench.schema import Backbone, MethodSpec, Training
from bench.stepper import Stepper
from bench.training import Run
from tests.fetches import fetch
from tests.interrupted import Nowhere
from tests.methods.conftest import known_options

# three shapes of batch: four and three texts of two words, and two of three
DATA = Sequences([[0, *(4 + (i * i + j) % 40 for j in range(2 + (i > 6))), 1] for i in range(9)])
PLAN = Training.model_validate({
    "epochs": 5, "batch_size": 4, "batches": "lengths", "graphs": True, "optimiser": "sgd", "learning_rate": 0.5,
    "annealing_period": 2, "log_points": 4, "keep": "best",
})  # fmt: skip


class Tape(TorchDispatchMode):
    """The operations of a step. Run again they write to where they wrote before, whatever has been put there since."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert not fetch(func, args), f"{func} cannot be recorded"
        given = tree_map_only(Tensor, Tensor.detach, (args, kwargs or {}))  # of the shapes they have now
        found = func(*args, **(kwargs or {}))
        held = {address(part) for part in tree_leaves(given) if isinstance(part, Tensor)}
        results = [part.detach() for part in tree_leaves(found) if isinstance(part, Tensor)]
        writes = func._schema.is_mutable and torch.Tag.inplace_view not in func.tags
        if writes or not any(address(part) in held for part in results):  # or else it is a view
            self.taken.append((func, *given, [] if writes else results))
        return found

    @torch.no_grad()  # gradients are among what was taken
    def again(self) -> None:
        for func, args, kwargs, results in self.taken:
            found = func(*args, **kwargs)
            for into, part in zip(results, tree_leaves(found) if results else [], strict=True):
                into.copy_(part)


def address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Recorder:
    """As that of CUDA, but what it records it runs at once, and so not the first time it is told to."""

    def __init__(self) -> None:
        self.recorded = self.again = 0

    def beside(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        with Tape() as tape:
            run()
        self.recorded += 1
        ran = True

        def again() -> None:
            nonlocal ran
            if not ran:
                self.again += 1
                tape.again()
            ran = False

        return again


def train(name: str) -> tuple[Method, list[dict[str, Any]]]:
    """The method and the history of its training."""
    options = known_options(name, {"latent": 4, "codes": 6, "prior_layers": 2, "prior_width": 8})
    size = Backbone(kind="lstm", layers=1, width=8, vocabulary=260, max_tokens=24, dropout=0.3)
    method = models.build(MethodSpec(use=name, options=options), size, 0)
    return method, training.fit(method, DATA, DATA, PLAN, 1, Nowhere(), Meter())


NAMES = [name for name in registry.methods() if registry.describe(name).backbones == ("lstm",)]


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_training_is_the_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: with dropout and posterior noise, betas and rates that change, a codebook, and two stages.

    AdamW has its rate and steps in single precision where it is recorded.
    """
    torch.set_num_threads(1)
    monkeypatch.setattr(Stepper, "sparse", False)  # as on a GPU
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)  # what its LSTM hands to its gradients gets lost
    monkeypatch.setattr(aggressive, "STEPS", 3)
    monkeypatch.setattr(aggressive, "mutual_information", lambda *rest: -1.0)  # for one epoch the encoder is ahead
    method, wanted = train(name)
    made: list[Recorder] = []
    monkeypatch.setattr(graphs, "recorder", lambda device: made.append(Recorder()) or made[-1])
    recorded, found = train(name)
    adaptive = any(stage.adaptive for stage in method.stages())
    rtol, atol = (1e-4, 1e-6) if adaptive else (0.0, 0.0)
    torch.testing.assert_close(recorded.state_dict(), method.state_dict(), rtol=rtol, atol=atol)
    for row, other in zip(found, wanted, strict=True):
        assert [value for value in row.values() if value != ""] == [
            pytest.approx(value, rel=rtol, abs=0) if isinstance(value, float) else value
            for value in other.values()
            if value != ""
        ]
    assert made and all(recorder.recorded == 3 and recorder.again >= 6 for recorder in made)


def test_several_processes_record_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "recorder", lambda device: Recorder())
    method = models.build(MethodSpec(use="lstm-lm"), Backbone(kind="lstm", layers=1, width=8, vocabulary=260), 0)
    with pytest.raises(
        BenchError, match=r"^training\.graphs: steps are recorded where one process trains, not several$"
    ):
        Run(method, method.stages()[0], DATA, DATA, PLAN, 1, Progress(), Ranks(0, 2))
