"""Token likelihoods in the memory of the logits, against PyTorch's cross entropy."""

from __future__ import annotations

import gc
import weakref

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bench.nll import token_nll


@given(st.integers(1, 9), st.integers(2, 40), st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 30.0]))
def test_values_and_gradients_are_those_of_cross_entropy(n: int, vocabulary: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    weight = scale * torch.randn(vocabulary, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocabulary, (n,), generator=generator)
    upstream = torch.randn(n, generator=generator, dtype=torch.float64)
    results = []
    for of in (token_nll, lambda logits, targets: F.cross_entropy(logits, targets, reduction="none")):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        nll = of(F.linear(h, w), targets)
        nll.backward(upstream)
        results.append((nll.detach(), h.grad, w.grad))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_logits_far_apart_are_neither_infinite_nor_nan() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-3e38, 3e38, 0.0]])
    targets = torch.tensor([1, 1])
    expected = F.cross_entropy(logits.clone(), targets, reduction="none")
    torch.testing.assert_close(token_nll(logits, targets), expected)


def test_no_copy_is_made() -> None:
    hidden, weight = torch.randn(4, 3, requires_grad=True), torch.randn(6, 3, requires_grad=True)
    logits = F.linear(hidden, weight)
    before = logits.data_ptr()
    token_nll(logits, torch.zeros(4, dtype=torch.long))
    assert logits.data_ptr() == before and torch.allclose(logits.amax(-1), torch.ones(4)), "e^(logits - largest)"


def test_logits_are_freed_with_the_step() -> None:
    """Not at the next collection of cycles: steps of a training would hold a hundred of these matrices."""
    gc.disable()
    try:
        weight = torch.randn(6, 3, requires_grad=True)
        nll = token_nll(F.linear(torch.randn(4, 3), weight), torch.zeros(4, dtype=torch.long))
        alive = weakref.ref(nll.grad_fn)
        nll.sum().backward()
        del nll
        assert alive() is None
    finally:
        gc.enable()
