"""DELLA's equations, written out a second time with loops, against the implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import model as models
from bench.batch import collate
from bench.methods.base import Gaussian
from bench.methods.della import Della, DellaOptions, TensorProduct
from bench.suite import MethodSpec

from .conftest import SEQUENCES, TINY, build

P, D = 32, TINY.width


def tanh(x: np.ndarray) -> np.ndarray:
    return (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)


def weight(module: torch.nn.Linear) -> np.ndarray:
    return module.weight.detach().double().numpy()


def bias(module: torch.nn.Linear) -> np.ndarray:
    return module.bias.detach().double().numpy()


@pytest.fixture
def della() -> Della:
    method = build("della")
    assert isinstance(method, Della)
    return method


def test_equations_7_and_8(della: Della) -> None:
    """z_<l, p(z_l|z_<l) and q(z_l|z_<l, x) by hand, for one example and one path of z."""
    batch = collate(SEQUENCES[:1])
    torch.manual_seed(0)
    z = torch.randn(1, 3, P)
    states = della.backbone.encode(batch.ids, batch.mask)
    prior, posterior = della.prior(z), della.posterior(batch).conditional(z)
    lower = np.zeros(P)
    for layer in range(3):
        if layer > 0:
            previous = z[0, layer - 1].double().numpy()
            inner = weight(della.w_ih[layer - 1]) @ previous
            if layer > 1:
                inner += weight(della.w_hh[layer - 2]) @ lower
            lower = tanh(inner)
            mu_p, logvar_p = np.split(weight(della.w_p[layer - 1]) @ lower + bias(della.w_p[layer - 1]), 2)
        else:
            mu_p, logvar_p = np.zeros(P), np.zeros(P)
        x = della.pooling[layer](states[layer], batch.mask)[0].detach().double().numpy()
        joint = np.concatenate([lower, x])
        mu_q, logvar_q = np.split(weight(della.w_q[layer]) @ joint + bias(della.w_q[layer]), 2)
        for ours, expected in (
            (prior.mean, mu_p),
            (prior.logvar, np.clip(logvar_p, -5, 5)),
            (posterior.mean, mu_q),
            (posterior.logvar, np.clip(logvar_q, -5, 5)),
        ):
            np.testing.assert_allclose(ours[0, layer].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("product", ["paper", "liu"])
def test_equation_9(product: str) -> None:
    options = DellaOptions(product=product, initialisation="paper")  # type: ignore[arg-type]
    torch.manual_seed(0)
    fuse = TensorProduct(D, P, options)
    with torch.no_grad():
        for parameter in fuse.parameters():
            parameter.normal_()
    v, z = torch.randn(2, 5, D), torch.randn(2, P)
    got = fuse.at(z)(v)
    for n in range(2):
        for i in range(5):
            left = [fuse.weight_v[j] @ v[n, i] + fuse.bias_v[j] for j in range(4)]
            right = [fuse.weight_z[j] @ z[n] + fuse.bias_z[j] for j in range(4)]
            if product == "paper":
                expected = sum(left) * sum(right)
            else:
                expected = sum(a * b for a, b in zip(left, right, strict=True))
            torch.testing.assert_close(got[n, i], expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("product", ["paper", "liu"])
def test_identity_initialisation_starts_from_the_plain_language_model(product: str) -> None:
    method = models.build(MethodSpec(use="della", options={"product": product}), TINY, seed=0).eval()
    batch, z = collate(SEQUENCES), torch.randn(len(SEQUENCES), 3, P)
    plain = method.backbone.decode(batch.inputs)
    torch.testing.assert_close(method.backbone.decode(batch.inputs, method.inject(z)), plain, atol=1e-5, rtol=1e-5)


def test_paper_initialisation_forgets_the_values() -> None:
    method = models.build(MethodSpec(use="della@paper"), TINY, seed=0).eval()
    assert method.options.kl_reduction == "mean_groups"
    batch, z = collate(SEQUENCES), torch.randn(len(SEQUENCES), 3, P)
    v = torch.randn(len(SEQUENCES), 5, D)
    fused = method.inject(z).value[0](v)  # type: ignore[index]
    assert fused.abs().max() < 0.1 * v.abs().max()
    assert batch.ids.shape[0] == len(fused)


def test_rank_changes_only_the_parameter_count() -> None:
    """A sum of r linear maps is one: with the same summed weights, ranks 1 and 4 are the same function."""
    four, one = (TensorProduct(D, P, DellaOptions(rank=r, initialisation="paper")) for r in (4, 1))
    with torch.no_grad():
        for name, parameter in one.named_parameters():
            parameter.copy_(dict(four.named_parameters())[name].sum(0, keepdim=True))
    v, z = torch.randn(2, 5, D), torch.randn(2, P)
    torch.testing.assert_close(four.at(z)(v), one.at(z)(v), atol=1e-6, rtol=1e-4)
    assert sum(p.numel() for p in four.parameters()) == 4 * sum(p.numel() for p in one.parameters())


def test_options_of_the_released_code() -> None:
    options = {"first_prior": "learned", "untied": True, "pooling": "first_token"}
    method = models.build(MethodSpec(use="della", options=options), TINY, seed=0)
    plain = models.build(MethodSpec(use="della", options={"pooling": "first_token"}), TINY, seed=0)
    counts = [sum(p.numel() for p in m.parameters()) for m in (method, plain)]
    assert counts[0] - counts[1] == TINY.vocabulary * TINY.width + 2 * P  # the head, and the constant prior of z_1
    with torch.no_grad():
        method.first[:P] = 2.0  # type: ignore[index]
    torch.testing.assert_close(method.prior(torch.zeros(1, 3, P)).mean[0, 0], torch.full((P,), 2.0))
    assert torch.isfinite(method.log_likelihood(collate(SEQUENCES), method.sample_prior(4))).all()


def test_clamp_bounds_log_variances() -> None:
    method = models.build(MethodSpec(use="della", options={"clamp": 0.5}), TINY, seed=0)
    with torch.no_grad():
        method.w_q[0].bias[P:] = 9.0
    assert method.posterior(collate(SEQUENCES)).logvar.max() <= 0.5


def test_aggregated_posterior_pairs_equal_one_by_one(della: Della) -> None:
    """log q(z_i|x_j) by broadcasting equals evaluating x_j alone, for every pair."""
    batch = collate(SEQUENCES)
    torch.manual_seed(1)
    z = della.posterior(batch).sample(1)[0]
    pairs = della.posterior(batch).log_prob(z[:, None])  # [I, J, G]
    for j, sequence in enumerate(SEQUENCES):
        alone = della.posterior(collate([sequence])).log_prob(z[:, None])[:, 0]
        torch.testing.assert_close(pairs[:, j], alone, atol=1e-3, rtol=1e-4)


def test_gaussian_against_torch_distributions() -> None:
    torch.manual_seed(0)
    a, b = (Gaussian(torch.randn(4, 5), torch.randn(4, 5)) for _ in range(2))
    normal = [torch.distributions.Normal(g.mean, (0.5 * g.logvar).exp()) for g in (a, b)]
    z = a.sample()
    torch.testing.assert_close(a.log_prob(z), normal[0].log_prob(z).sum(-1))
    torch.testing.assert_close(a.kl(b), torch.distributions.kl_divergence(*normal).sum(-1))
