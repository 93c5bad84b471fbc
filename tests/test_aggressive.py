"""Aggressive training of the encoder (He et al. 2019): what moves, when it stops, and what switches it off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from bench import aggressive, training
from bench import model as models
from bench.batch import Batch, Sequences
from bench.cost import Meter
from bench.methods.base import Method
from bench.methods.gaussian import IndependentPosterior
from bench.schema import Backbone, MethodSpec, Training
from bench.stepper import Stepper, Work
from tests.interrupted import Nowhere

SIZE = Backbone(kind="lstm", layers=1, width=6, embedding=5, vocabulary=260, max_tokens=12)
DATA = Sequences([[0, *(4 + (i * i + j) % 40 for j in range(2 + i % 3)), 1] for i in range(24)])
PLAN = Training(
    epochs=3, batch_size=8, optimiser="sgd", learning_rate=1.0, decay="constant", clip=5.0, valid_examples=24
)
PARTS = ("encoder", "to_latent")


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny() -> Method:
    spec = MethodSpec(use="lstm-vae+aggressive", options={"latent": 3, "annealing": "constant"})
    method = models.build(spec, SIZE, 0)
    with torch.no_grad():
        for parameter in method.parameters():  # from where gradients are large enough to move every weight
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return method


def fit(method: Method, tmp_path: Path, meter: Meter | None = None) -> list[dict[str, Any]]:
    return training.fit(method, DATA, DATA, PLAN, 1, Nowhere(), meter or Meter())


def weights(method: Method) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


def moved(method: Method, before: dict[str, Tensor]) -> set[str]:
    """The parts of which any weight is another than before."""
    return {name.partition(".")[0] for name, tensor in method.state_dict().items() if not tensor.equal(before[name])}


def test_the_encoder_alone_is_trained_ahead_and_the_rest_alone_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it lasts; then all of it together."""
    method, train_ahead, apply = tiny(), aggressive.train_ahead, Stepper.apply
    within: list[set[str]] = []
    after: list[set[str]] = []
    inside = [False]

    def watched_ahead(of: Method, *rest: Any) -> None:
        before, inside[0] = weights(of), True
        train_ahead(of, *rest)
        inside[0] = False
        within.append(moved(of, before))

    def watched_apply(stepper: Stepper, kept: Sequence[str] = ()) -> None:
        before = weights(stepper.method)
        apply(stepper, kept)
        if not inside[0]:
            after.append(moved(stepper.method, before))
        assert all(p.grad is None for p in stepper.method.parameters())

    mutual_information = iter([0.5, 0.7, 0.6])
    monkeypatch.setattr(aggressive, "STEPS", 3)
    monkeypatch.setattr(aggressive, "train_ahead", watched_ahead)
    monkeypatch.setattr(Stepper, "apply", watched_apply)
    monkeypatch.setattr(aggressive, "mutual_information", lambda *_: next(mutual_information))
    fit(method, tmp_path)
    assert within == [set(PARTS)] * 9, "three epochs of three steps"
    assert after == [{"backbone", "to_cell"}] * 9


@pytest.mark.parametrize(
    ("measured", "steps"),
    [([0.5, 0.4, 0.9], 6), ([0.5, 0.5, 0.4], 9), ([-0.1, 0.9, 0.9], 3), ([0.0, 0.1, 0.2], 9), ([0.3, float("nan")], 6)],
)
def test_it_is_off_for_good_once_mutual_information_falls(
    measured: list[float], steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for after every epoch until then, and compared with that of the epoch before, 0 at first."""
    method, values, calls = tiny(), iter(measured), []
    monkeypatch.setattr(aggressive, "train_ahead", lambda *_: calls.append(1))
    monkeypatch.setattr(aggressive, "mutual_information", lambda *_: next(values))
    fit(method, tmp_path)
    assert len(calls) == steps
    assert len(list(values)) == len(measured) - steps // 3, "not asked again"


def test_methods_that_are_not_aggressive_never_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggressive, "train_ahead", None)
    monkeypatch.setattr(aggressive, "mutual_information", None)
    fit(models.build(MethodSpec(use="lstm-vae", options={"latent": 3}), SIZE, 0), tmp_path)


def test_it_begins_with_the_batch_of_the_step_and_goes_on_with_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same epoch, drawn with replacement; another sequence of them at every step, the same in every run."""
    seen: list[list[list[list[int]]]] = []

    def watched(method: Method, parts: Sequence[str], batches: Iterator[training.Work], *_: Any) -> None:
        assert tuple(parts) == PARTS
        seen.append([work.parts[0].ids.tolist() for work, _ in zip(batches, range(40), strict=False)])

    monkeypatch.setattr(aggressive, "train_ahead", watched)
    monkeypatch.setattr(aggressive, "mutual_information", lambda *_: 1.0)
    for _ in range(2):
        fit(tiny(), tmp_path)
    assert seen[:9] == seen[9:]
    for epoch in range(3):
        plan = [DATA.batch(rows).ids.tolist() for rows in training.training_batches(DATA.lengths, 8, 1, epoch)]
        of_epoch = seen[3 * epoch : 3 * epoch + 3]
        assert [of_step[0] for of_step in of_epoch] == plan
        for of_step in of_epoch:
            assert {repr(batch) for batch in of_step[1:]} == {repr(batch) for batch in plan}
        assert of_epoch[0][1:] != of_epoch[1][1:]


def work_of(batch: Batch) -> training.Work:
    """All of a batch at once."""
    return training.Work([batch], True, len(batch), int(batch.predicted.sum()))


def steps_taken(losses: Sequence[float], batch: Batch) -> int:
    """How many steps the inner loop takes when these are the losses of its steps."""
    method, taken, given = tiny(), [], iter(losses)

    def backward(_: training.Work) -> Tensor:
        return torch.tensor([next(given)])

    def apply(kept: Sequence[str]) -> None:
        assert set(kept) == {"backbone", "to_cell"}
        taken.append(1)

    def forever() -> Iterator[training.Work]:
        while True:
            yield work_of(batch)

    aggressive.train_ahead(method, PARTS, forever(), backward, apply)
    return len(taken)


def test_it_stops_at_a_window_that_is_no_better() -> None:
    """A fall goes on, standing still too, a rise is the end; never more than 99 steps."""
    batch = DATA.batch([0, 1])
    assert steps_taken([5.0] * 15 + [5.1] * 90, batch) == 30
    assert steps_taken([5.0] * 15 + [4.0] * 15 + [4.1] * 90, batch) == 45
    assert steps_taken([5.0] * 200, batch) == steps_taken([200.0 - i for i in range(200)], batch) == 99
    assert steps_taken([1.0] * 14 + [300.0] + [20.0] * 200, batch) == 99, "means of windows, not their last losses"


@given(st.lists(st.integers(1, 6).map(float), min_size=99, max_size=99))
def test_the_inner_loop_as_it_is_published(losses: list[float]) -> None:
    """Algorithm 1 in its authors' code: windows of 15 steps, sub_iter < 100, loss a word."""
    window, before, expected = 0.0, 1e4, 99
    for sub_iter in range(1, 100):
        window += losses[sub_iter - 1]
        if sub_iter % 15 == 0:
            if before - window / 15 < -1e-9:
                expected = sub_iter
                break
            before, window = window / 15, 0.0
    assert abs(steps_taken(losses, DATA.batch([0])) - expected) == 0


def test_a_window_is_judged_by_its_loss_a_word() -> None:
    """Longer texts cost more and are not worse: here 3 nats a word, then 2.9, then 3.1."""
    method, taken = tiny(), []
    short, long = work_of(DATA.batch([0])), work_of(DATA.batch([1, 2]))  # 3 words; 4 and 5
    batches = [short] * 15 + [long] * 15 + [short] * 200
    a_word = {0: 3.0, 1: 2.9}

    def backward(work: training.Work) -> Tensor:
        return torch.tensor([a_word.get(len(taken) // 15, 3.1) * work.tokens / work.texts])

    aggressive.train_ahead(method, PARTS, batches, backward, lambda kept: taken.append(1))
    assert len(taken) == 45


def test_mutual_information_against_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """mean_i log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j) at the draws that were made, of all N texts together."""
    method, drawn = tiny().train(), []
    sample = IndependentPosterior.sample

    def watched(posterior: IndependentPosterior, k: int) -> Tensor:
        z = sample(posterior, k)
        drawn.append([part[:, 0].numpy() for part in (z[0], posterior.mean, posterior.logvar)])
        return z

    monkeypatch.setattr(IndependentPosterior, "sample", watched)
    found = aggressive.mutual_information(method, DATA, 7, 3)
    assert not method.training and len(drawn) == 4
    z, mean, logvar = (np.concatenate(parts).astype(float) for parts in zip(*drawn, strict=True))
    log_q = np.array(
        [[multivariate_normal(m, np.diag(np.exp(v))).logpdf(at) for m, v in zip(mean, logvar, strict=True)] for at in z]
    )
    expected = (np.diag(log_q) - logsumexp(log_q, axis=1) + np.log(24)).mean()
    assert found == pytest.approx(expected, rel=1e-9) and found > 1e-3


def test_mutual_information_repeats_itself() -> None:
    method = tiny()
    first = aggressive.mutual_information(method, DATA, 8, 3)
    torch.manual_seed(99)
    assert (
        aggressive.mutual_information(method, DATA, 8, 3) == first != aggressive.mutual_information(method, DATA, 8, 4)
    )


def test_tokens_of_the_encoder_ahead_are_counted_with_its_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or ``tokens_per_s`` would be a hundredth of what is processed."""
    backward, worked, meter = Stepper.backward, [], Meter()

    def watched(stepper: Stepper, work: Work) -> Tensor:
        worked.append(work.tokens)
        return backward(stepper, work)

    monkeypatch.setattr(aggressive, "STEPS", 3)
    monkeypatch.setattr(Stepper, "backward", watched)
    monkeypatch.setattr(aggressive, "mutual_information", lambda *_: 1.0)
    fit(tiny(), tmp_path, meter)
    assert meter.tokens == sum(worked) and len(worked) == 9 * 4, "three steps ahead, and one of all"
