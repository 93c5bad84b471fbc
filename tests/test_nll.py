"""Token likelihoods in the memory of one matrix of logits, against PyTorch's cross entropy."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench import nll as tokens_nll
from bench.nll import linear_nll


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight), targets, reduction="none")


@given(st.integers(1, 9), st.integers(2, 40), st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 30.0]))
def test_values_and_gradients_are_those_of_cross_entropy(n: int, vocabulary: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    weight = scale * torch.randn(vocabulary, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocabulary, (n,), generator=generator)
    upstream = torch.randn(n, generator=generator, dtype=torch.float64)
    results = []
    for of in (linear_nll, cross_entropy):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        nll = of(h, w, targets)
        nll.backward(upstream)
        results.append((nll.detach(), h.grad, w.grad))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_logits_far_apart_are_neither_infinite_nor_nan() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-3e38, 3e38, 0.0]])
    targets = torch.tensor([1, 1])
    nll = linear_nll(torch.eye(2), logits.T.contiguous(), targets)
    torch.testing.assert_close(nll, F.cross_entropy(logits, targets, reduction="none"))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.bfloat16, 2**-8)])
def test_some_tokens_at_a_time_are_the_same(dtype: torch.dtype, close: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, whatever each token weighs; the last part is smaller."""
    torch.manual_seed(0)
    high = torch.promote_types(dtype, torch.float32)
    hidden, weight = torch.randn(23, 5).to(dtype), torch.randn(60, 5, dtype=high)
    targets, upstream = torch.randint(60, (23,)), torch.randn(23, dtype=high)
    found = []
    for at_once in (1 << 28, 60 * 4):
        monkeypatch.setattr(tokens_nll, "AT_ONCE", {"cpu": at_once})
        with Largest(60 * 6) as largest:
            found.append(with_gradients(hidden, weight, targets, upstream))
        assert bool(largest.made) == (at_once == 1 << 28)
    for some, at_once in zip(*found, strict=True):
        assert (some - at_once).norm() < close * at_once.norm()


def test_some_words_at_a_time_are_the_same_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the rounding of the softmax, which is of other numbers, and of gradients."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(96, 64).bfloat16(), torch.randn(600, 64)
    targets, upstream = torch.randint(600, (96,)), torch.randn(96)
    found = []
    for at_once in (600, 160):
        monkeypatch.setattr(tokens_nll, "WORDS_AT_ONCE", at_once)
        with Largest(96 * 600) as largest:
            found.append(with_gradients(hidden, weight, targets, upstream))
        assert bool(largest.made) == (at_once == 600)
    (values, *gradients), (expected, *gradients_at_once) = found
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-5)
    for gradient, at_once in zip(gradients, gradients_at_once, strict=True):
        assert (gradient - at_once).norm() < 2**-8 * at_once.norm()


def with_gradients(hidden: Tensor, weight: Tensor, targets: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    values = linear_nll(h, w, targets)
    values.backward(upstream)
    assert h.grad is not None and w.grad is not None
    return values.detach(), h.grad, w.grad


@pytest.mark.parametrize("scale", [1.0, 3e4])
def test_in_bfloat16_words_that_come_later_may_be_far_likelier(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is summed so far is of another largest score."""
    monkeypatch.setattr(tokens_nll, "WORDS_AT_ONCE", 7)
    weight = (scale * torch.linspace(-1, 1, 40)[:, None]).bfloat16().float()
    hidden, targets = torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([0, 0, 3])
    expected = cross_entropy(hidden.double(), weight.double(), targets).float()
    torch.testing.assert_close(linear_nll(hidden.bfloat16(), weight, targets), expected, rtol=1e-5, atol=1e-6)


def test_products_are_as_they_were_after_those_in_bfloat16() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    hidden = torch.randn(3, 2).bfloat16().requires_grad_()
    linear_nll(hidden, torch.randn(5, 2, requires_grad=True), torch.zeros(3, dtype=torch.long)).sum().backward()
    assert torch.backends.mkldnn.matmul.fp32_precision == before != "bf16"


def test_bfloat16_is_of_the_products_alone() -> None:
    """Of the rounded numbers values are exact in float32; gradients are within the rounding of a softmax."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 64), 0.3 * torch.randn(500, 64)
    targets, upstream = torch.randint(500, (40,)), torch.randn(40)
    low, full = hidden.bfloat16().requires_grad_(), weight.clone().requires_grad_()
    values = linear_nll(low, full, targets)
    values.backward(upstream)
    h, w = hidden.bfloat16().double().requires_grad_(), weight.bfloat16().double().requires_grad_()
    exact = cross_entropy(h, w, targets)
    exact.backward(upstream.double())
    torch.testing.assert_close(values.double(), exact, rtol=1e-6, atol=1e-5)
    assert full.grad is not None and w.grad is not None and low.grad is not None and h.grad is not None
    assert (values.dtype, full.grad.dtype, low.grad.dtype) == (torch.float32, torch.float32, torch.bfloat16)
    for gradient, expected in ((full.grad, w.grad), (low.grad, h.grad)):  # of a softmax that is rounded
        assert (gradient - expected).norm() < 2**-8 * expected.norm()
    rounded = F.cross_entropy(hidden.bfloat16() @ weight.bfloat16().T, targets, reduction="none")  # logits too
    assert (values - exact).abs().max() < 1e-3 * (rounded - exact).abs().max()


def test_gradients_in_bfloat16_of_words_that_are_almost_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """p - 1 is far below the rounding of p, and not lost in it; some targets are certain, some are not."""
    monkeypatch.setattr(tokens_nll, "WORDS_AT_ONCE", 7)
    torch.manual_seed(0)
    weight = torch.randn(20, 16).bfloat16().float()
    targets = torch.arange(20)
    hidden = (weight * torch.linspace(0.0, 1.0, 20)[:, None]).bfloat16()
    low, full = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    linear_nll(low, full, targets).sum().backward()
    h, w = hidden.double().requires_grad_(), weight.double().requires_grad_()
    cross_entropy(h, w, targets).sum().backward()
    assert low.grad is not None and h.grad is not None and full.grad is not None and w.grad is not None
    assert h.grad[-1].norm() < 2**-9 * h.grad[0].norm(), "the last is certain"
    assert ((low.grad - h.grad).norm(dim=1) < 2**-6 * h.grad.norm(dim=1)).all()
    assert (full.grad - w.grad).norm() < 2**-8 * w.grad.norm()


@pytest.mark.parametrize("graded", [True, False])
def test_nothing_is_kept_in_bfloat16_where_no_gradient_is_wanted(graded: bool) -> None:
    hidden, weight = torch.randn(40, 8).bfloat16(), torch.randn(60, 8, requires_grad=True)
    with torch.set_grad_enabled(graded), Largest(40 * 60) as largest:
        linear_nll(hidden, weight, torch.zeros(40, dtype=torch.long))
    assert len(largest.made) == 1 + graded, "scores, and what is kept of them"


class Largest(TorchDispatchMode):
    """How many tensors as large as the logits, or larger, are made."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.made: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.made |= {t.data_ptr() for t in tree_leaves(out) if isinstance(t, Tensor) and t.numel() >= self.size}
        return out


def test_one_matrix_is_all_there_is() -> None:
    made = {}
    for of in (linear_nll, cross_entropy):
        hidden, weight = torch.randn(40, 3, requires_grad=True), torch.randn(60, 3, requires_grad=True)
        with Largest(40 * 60) as largest:
            of(hidden, weight, torch.zeros(40, dtype=torch.long)).sum().backward()
        made[of] = len(largest.made)
    assert made[linear_nll] == 1 < made[cross_entropy]


def test_logits_are_freed_with_the_step() -> None:
    """Not at the next collection of cycles: steps of a training would hold a hundred of these matrices."""
    gc.disable()
    try:
        weight = torch.randn(6, 3, requires_grad=True)
        nll = linear_nll(torch.randn(4, 3), weight, torch.zeros(4, dtype=torch.long))
        alive = weakref.ref(nll.grad_fn)
        nll.sum().backward()
        del nll
        assert alive() is None
    finally:
        gc.enable()
