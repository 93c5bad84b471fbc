"""KL annealing, the loss and the learning rate, as functions of a step."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from bench import objectives


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


def test_linear_and_constant_annealing() -> None:
    assert [objectives.beta("linear", s, 4, 100) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert objectives.beta("constant", 0, 4, 100) == 1.0
    with pytest.raises(ValueError, match="sawtooth"):
        objectives.beta("sawtooth", 0, 1, 1)


def test_loss_sums_groups_or_averages_them() -> None:
    rec, kl = torch.tensor([3.0, 5.0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert objectives.loss(rec, kl, 0.5, "sum") == pytest.approx(4 + 0.5 * 5)
    assert objectives.loss(rec, kl, 0.5, "mean_groups") == pytest.approx(4 + 0.5 * 2.5)
    assert objectives.loss(rec, kl[:, :0], 0.5, "mean_groups") == pytest.approx(4)


def test_learning_rate_warms_up_and_reaches_zero() -> None:
    rates = [objectives.learning_rate(s, 10, 1.0, 2, "linear") for s in range(10)]
    assert rates[:2] == [0.5, 1.0] and rates[2] == 1.0 and rates[9] == pytest.approx(1 / 8)
    assert all(a >= b for a, b in pairwise(rates[1:]))
    assert objectives.learning_rate(9, 10, 1.0, 2, "constant") == 1.0
