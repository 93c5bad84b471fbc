"""KL annealing, the loss and the learning rate, as functions of a step."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import objectives
from bench.methods.base import MethodOptions, Terms

KINDS = get_args(get_type_hints(MethodOptions)["annealing"])


def test_cyclical_annealing_is_appendix_a1() -> None:
    """Half of a period at 1e-5, a quarter of linear ramp to 1, a quarter at 1; then again."""
    betas = [objectives.beta("cyclical", step, period=40, total=80) for step in range(80)]
    assert betas[:20] == [1e-5] * 20
    ramp = betas[20:30]
    assert ramp == pytest.approx([0.1 * i for i in range(1, 11)])
    assert betas[30:40] == [1.0] * 10
    assert betas[40:] == betas[:40]


def test_a_cycle_longer_than_training_is_cut_to_it() -> None:
    assert objectives.beta("cyclical", 9, period=1000, total=10) == 1.0
    assert objectives.beta("cyclical", 4, period=1000, total=10) == 1e-5


def test_one_cycle_is_optimus_schedule() -> None:
    """0 for half of the training, a quarter of linear ramp to 1, a quarter at 1, whatever the period."""
    betas = [objectives.beta("one_cycle", step, period=7, total=40) for step in range(40)]
    assert betas[:20] == [0.0] * 20 and betas[30:] == [1.0] * 10
    assert betas[20:30] == pytest.approx([0.1 * i for i in range(1, 11)])


def test_linear_and_constant_annealing() -> None:
    assert [objectives.beta("linear", s, 4, 100) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert objectives.beta("constant", 0, 4, 100) == 1.0
    with pytest.raises(ValueError, match="sawtooth"):
        objectives.beta("sawtooth", 0, 1, 1)


def test_half_cycles_are_fu_2019() -> None:
    """M cycles of a ramp from 0 to 1 in the first half and 1 in the second (R = 0.5), the last one perhaps cut."""
    betas = [objectives.beta("half_cycles", step, period=10, total=25) for step in range(25)]
    assert betas[:10] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1])
    assert betas[10:20] == betas[:10] and betas[20:] == betas[:5]
    assert [objectives.beta("half_cycles", step, period=100, total=4) for step in range(4)] == [0, 0.5, 1, 1]


@given(st.sampled_from(["cyclical", "half_cycles"]), st.integers(1, 60), st.integers(1, 200))
def test_every_whole_cycle_comes_to_one(kind: str, period: int, total: int) -> None:
    """Or nothing would ever be trained on the bound, and where only such steps are judged, nothing kept."""
    period = min(period, total)
    for start in range(0, total - period + 1, period):
        assert max(objectives.beta(kind, step, period, total) for step in range(start, start + period)) == 1


@given(st.sampled_from(KINDS), st.integers(1, 60), st.integers(1, 200), st.data())
def test_beta_is_a_weight_and_is_one_at_the_end(kind: str, period: int, total: int, data: st.DataObject) -> None:
    """Whatever the lengths; but for cycles, which may be cut where they are."""
    step = data.draw(st.integers(0, total - 1))
    assert 0 <= objectives.beta(kind, step, period, total) <= 1
    if kind not in ("cyclical", "half_cycles"):
        assert objectives.beta(kind, total - 1, period, total) == 1


REC = torch.tensor([3.0, 5.0])
KL = torch.tensor([[[0.25, 0.75], [1.5, 0.5]], [[2.5, 0.5], [0.0, 4.0]]])  # [B, G, D]; summed over D: 1 2, 3 4


@pytest.mark.parametrize(
    ("kl_reduction", "expected"), [("sum", (3 + 7) / 2), ("mean_groups", (1.5 + 3.5) / 2), ("first", (1 + 3) / 2),
                                   ("last", (2 + 4) / 2)],
)  # fmt: skip
def test_which_groups_are_trained_on(kl_reduction: str, expected: float) -> None:
    assert objectives.loss(Terms(REC, KL), 0.5, kl_reduction) == pytest.approx(4 + 0.5 * expected)
    assert objectives.loss(Terms(REC, KL[:, :0]), 0.5, kl_reduction) == pytest.approx(4), "a plain language model"
    with_auxiliary = Terms(REC, KL, torch.tensor([1.0, 3.0]))
    assert objectives.loss(with_auxiliary, 0.5, kl_reduction) == pytest.approx(6 + 0.5 * expected), "not weighted"
    with_length = Terms(REC, KL, length=torch.tensor([2.0, 4.0]))
    assert objectives.loss(with_length, 0.5, kl_reduction) == pytest.approx(7 + 0.5 * expected), "nor is this"


@pytest.mark.parametrize(
    ("kl_reduction", "expected"),
    [("sum", (1 + 7) / 2), ("mean_groups", (1 + 3.5) / 2), ("first", (1 + 3) / 2), ("last", (1 + 4) / 2)],
)
def test_only_the_groups_an_example_has(kl_reduction: str, expected: float) -> None:
    """Of two texts, the first with one segment and the second with two."""
    dims = KL.clone()
    dims[0, 1] = 0.0
    terms = Terms(REC, dims, used=torch.tensor([1, 2]))
    assert objectives.loss(terms, 0.5, kl_reduction) == pytest.approx(4 + 0.5 * expected)


@pytest.mark.parametrize(
    ("kl_reduction", "expected"), [("sum", (0.75 + 1.5 + 2.5 + 4) / 2), ("mean_groups", (0.75 + 1.5 + 2.5 + 4) / 4),
                                   ("first", (0.75 + 2.5) / 2), ("last", (1.5 + 4) / 2)],
)  # fmt: skip
def test_free_bits_leave_out_dimensions_at_or_below_them(kl_reduction: str, expected: float) -> None:
    """As Optimus' code has it: a mask of each dimension and example, not a floor under their mean."""
    kl = KL.clone().requires_grad_()
    loss = objectives.loss(Terms(REC, kl), 0.5, kl_reduction, free_bits=0.5)
    assert loss.item() == pytest.approx(4 + 0.5 * expected)
    loss.backward()
    assert (kl.grad[KL <= 0.5] == 0).all(), "nothing pulls them further down"
    assert objectives.loss(Terms(REC, KL), 0.5, kl_reduction, free_bits=5.0) == pytest.approx(4)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="middle"):
        objectives.loss(Terms(REC, KL), 0.5, "middle")


def test_learning_rate_warms_up_and_reaches_zero() -> None:
    rates = [objectives.learning_rate(s, 10, 1.0, 2, "linear") for s in range(10)]
    assert rates[:2] == [0.5, 1.0] and rates[2] == 1.0 and rates[9] == pytest.approx(1 / 8)
    assert all(a >= b for a, b in pairwise(rates[1:]))
    assert objectives.learning_rate(9, 10, 1.0, 2, "constant") == 1.0
