"""The closed-form oracle: a linear-Gaussian "text" model whose log p(x), KL and MI are known.

    z ~ N(0, I_D),  x | z ~ N(W z + b, s^2 I_T)  =>  x ~ N(b, W W' + s^2 I),  z | x ~ N(C^-1 W'(x - b) / s^2, C^-1)

with C = I + W'W / s^2. A text is T token ids that stand for the real numbers (id - 500) / 50, so the model goes through
the same batches, statistics file and metrics as every other method.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from bench.backbones.gpt2 import NOTHING, Injection
from bench.batch import Batch
from bench.likelihood import statistics
from bench.methods.base import Gaussian, IndependentPosterior, Method, MethodOptions
from bench.metrics import au, elbo, iw, mi
from bench.metrics.likelihood_file import LikelihoodFile, importance_weighted_nll
from bench.suite import Likelihood

T, D, NOISE = 3, 2, 0.5
W = np.array([[1.0, 0.4], [-0.6, 0.9], [0.3, -0.2]])
B = np.array([0.2, -0.1, 0.4])


class LinearGaussian(Method):
    """Exact posterior, moved off by ``shift`` (means) and ``widen`` (standard deviations). G = 1."""

    def __init__(self, shift: float = 0.0, widen: float = 1.0) -> None:
        super().__init__(None, MethodOptions(latent=D))  # type: ignore[arg-type]
        self.w, self.b = torch.tensor(W), torch.tensor(B)
        covariance = torch.linalg.inv(torch.eye(D) + self.w.T @ self.w / NOISE**2)
        # diagonal in the eigenbasis only: W is chosen so that we rotate z, whose prior does not mind
        values, rotation = torch.linalg.eigh(covariance)
        self.w = self.w @ rotation
        self.variance, self.shift, self.widen = values, shift, widen
        self.register_buffer("anchor", torch.zeros(1))

    def values(self, batch: Batch) -> Tensor:
        return (batch.ids[:, 1:-1].double() - 500) / 50

    def posterior(self, batch: Batch) -> IndependentPosterior:
        mean = (self.values(batch) - self.b) @ self.w / NOISE**2 * self.variance + self.shift
        logvar = (self.variance * self.widen**2).log().expand_as(mean)
        return IndependentPosterior(Gaussian(mean[:, None], logvar[:, None]))

    def inject(self, z: Tensor) -> Injection:
        return NOTHING

    def log_likelihood(self, batch: Batch, z: Tensor) -> Tensor:
        mean = z[..., 0, :].double() @ self.w.T + self.b
        variance = torch.full_like(mean, NOISE**2)
        return Gaussian(mean, variance.log()).log_prob(self.values(batch))


def texts(n: int, seed: int = 0) -> tuple[list[list[int]], np.ndarray]:
    """n sequences drawn from the model, and the reals their ids stand for, [n, T]."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, D)) @ W.T + B + NOISE * rng.standard_normal((n, T))
    ids = np.rint(x * 50).astype(int) + 500
    return [[0, *row, 1] for row in ids.tolist()], (ids - 500) / 50


def measure(method: Method, n: int, k: int, **plan: int) -> tuple[LikelihoodFile, np.ndarray]:
    torch.set_default_dtype(torch.float64)
    try:
        sequences, x = texts(n)
        stats = statistics(method, sequences, Likelihood(importance_samples=k, **plan), seed=1)
    finally:
        torch.set_default_dtype(torch.float32)
    log_px = multivariate_normal(B, W @ W.T + NOISE**2 * np.eye(T)).logpdf(x)
    return stats, -log_px


def test_exact_posterior_makes_every_weight_the_likelihood() -> None:
    stats, nll = measure(LinearGaussian(), n=50, k=4)
    np.testing.assert_allclose(-stats.log_w, np.repeat(nll[:, None], 4, axis=1), rtol=1e-9)
    np.testing.assert_allclose(stats.nll, nll, rtol=1e-9)


def test_elbo_gap_is_the_divergence_from_the_true_posterior() -> None:
    """-ELBO - (-log p) = KL(q || p(z|x)), here per dim log-widths and shifts known in closed form."""
    shift, widen = 0.3, 1.4
    method = LinearGaussian(shift, widen)
    stats, nll = measure(method, n=4000, k=1)
    gap = 0.5 * (widen**2 - 1 - 2 * np.log(widen) + shift**2 / method.variance.numpy()).sum()
    error = (stats.nelbo - nll).std() / np.sqrt(len(nll))
    assert abs((stats.nelbo - nll).mean() - gap) < 4 * error


def test_kl_is_closed_form() -> None:
    method = LinearGaussian(0.3, 1.4)
    stats, _ = measure(method, n=20, k=1)
    variance = method.variance.numpy() * 1.4**2
    expected = 0.5 * (variance + stats.mean[:, 0] ** 2 - 1 - np.log(variance)).sum(1)
    np.testing.assert_allclose(stats.kl[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(("shift", "widen"), [(0.2, 1.3), (0.0, 0.8)])
def test_importance_weighted_bound_converges_from_above(shift: float, widen: float) -> None:
    stats, nll = measure(LinearGaussian(shift, widen), n=200, k=1000)
    means = [importance_weighted_nll(stats.log_w, k).mean() - nll.mean() for k in (1, 10, 100, 1000)]
    assert means[0] > means[1] > means[2] > means[3] > -0.01
    assert means[3] < 0.02 < means[0]


def test_metrics_recover_the_known_values() -> None:
    method = LinearGaussian()
    stats, nll = measure(method, n=2000, k=2, posterior_samples=1)
    values = {**iw.METRIC.compute(stats, {}), **elbo.METRIC.compute(stats, {}), **mi.METRIC.compute(stats, {}),
              **au.METRIC.compute(stats, {})}  # fmt: skip
    assert values["ppl"].value == pytest.approx(np.exp(nll.sum() / (len(nll) * (T + 1))), rel=1e-9)
    assert values["nll"].value == pytest.approx(nll.mean(), rel=1e-9)
    # with the exact posterior q(z) = p(z), so MI = E KL = -1/2 sum log var; the mixture of N adds O(1/N) bias
    known = -0.5 * np.log(method.variance.numpy()).sum()
    assert values["mi"].value == pytest.approx(known, abs=0.08)
    assert values["kl"].value == pytest.approx(known, abs=0.08)
    assert values["au_0.01"].value == D
    assert values["mi_batch"].value < values["mi"].value < np.log(2000)


def test_intervals_cover_what_they_are_about() -> None:
    """Over many test sets, about 95 % of the NLL intervals hold the entropy of x."""
    entropy = multivariate_normal(B, W @ W.T + NOISE**2 * np.eye(T)).entropy()
    hits = 0
    for seed in range(60):
        _, x = texts(80, seed)
        nll = -multivariate_normal(B, W @ W.T + NOISE**2 * np.eye(T)).logpdf(x)
        (ends,) = iw.Bootstrap(300, 0).means(nll[:, None])
        hits += ends is not None and ends[0] <= entropy <= ends[1]
    assert 50 <= hits <= 60
