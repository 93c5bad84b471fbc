"""The closed-form oracle: a linear-Gaussian "text" model whose log p(x), KL and MI are known.

    z ~ N(0, I_D),  x | z ~ N(W z + b, s^2 I_T)  =>  x ~ N(b, W W' + s^2 I),  z | x ~ N(C^-1 W'(x - b) / s^2, C^-1)

with C = I + W'W / s^2. A segment is T token ids that stand for the real numbers (id - 500) / 50, and a text is one to
``segments`` of them, each with a z of its own: independent groups, ragged where texts differ in length. So the model
goes through the same batches, statistics file and metrics as every other method.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal
from torch import Tensor

from bench import likelihood
from bench.backbones.base import NOTHING, Injection
from bench.batch import Batch, Sequences, collate
from bench.likelihood import importance_weights, statistics
from bench.methods.base import Condition, Method, MethodOptions
from bench.methods.gaussian import Gaussian, IndependentPosterior
from bench.metrics import au, elbo, iw, mi, paper_davam, paper_della, paper_trace
from bench.metrics.bootstrap import mean_ci
from bench.metrics.likelihood_file import LikelihoodFile, importance_weighted_nll
from bench.schema import Likelihood

T, D, NOISE = 3, 2, 0.5
W = np.array([[1.0, 0.4], [-0.6, 0.9], [0.3, -0.2]])
B = np.array([0.2, -0.1, 0.4])


pytestmark = pytest.mark.usefixtures("one_thread")


class LinearGaussian(Method):
    """Exact posterior, moved off by ``shift`` (means) and ``widen`` (standard deviations). G = ``segments``."""

    def __init__(self, shift: float = 0.0, widen: float = 1.0, segments: int = 1) -> None:
        super().__init__(None, MethodOptions(latent=D))  # type: ignore[arg-type]
        self.w, self.b = torch.tensor(W), torch.tensor(B)
        covariance = torch.linalg.inv(torch.eye(D) + self.w.T @ self.w / NOISE**2)
        # diagonal in the eigenbasis only: W is chosen so that we rotate z, whose prior does not mind
        values, rotation = torch.linalg.eigh(covariance)
        self.w = self.w @ rotation
        self.variance, self.shift, self.widen, self.segments = values, shift, widen, segments
        self.register_buffer("anchor", torch.zeros(1))

    @property
    def groups(self) -> int:
        return self.segments

    def values(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The reals of each segment [B, G, T], and which segments there are [B, G, 1]."""
        ids = F.pad(batch.ids[:, 1:], (0, self.segments * T))[:, : self.segments * T]
        there = torch.arange(self.segments) * T < batch.lengths[:, None] - 2
        return ((ids.double() - 500) / 50).unflatten(1, (self.segments, T)), there[..., None]

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        """Of a segment that is not there: the prior."""
        values, there = self.values(batch)
        mean = (values - self.b) @ self.w / NOISE**2 * self.variance + self.shift
        logvar = (self.variance * self.widen**2).log().expand_as(mean)
        return IndependentPosterior(Gaussian(mean * there, logvar * there))

    def inject(self, z: Tensor) -> Injection:
        return NOTHING

    def log_likelihood(self, batch: Batch, z: Tensor, condition: Condition | None = None) -> Tensor:
        mean = z.double() @ self.w.T + self.b
        variance = torch.full_like(mean, NOISE**2)
        values, there = self.values(batch)
        return (Gaussian(mean, variance.log()).log_prob(values) * there[..., 0]).sum(-1)


class Pairwise(LinearGaussian):
    """The same, its posterior not known to be independent: evaluated at every pair, as a hierarchical one."""

    class Posterior:
        def __init__(self, inner: IndependentPosterior) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> Posterior:  # type: ignore[override]
        return self.Posterior(super().posterior(batch, condition))


def texts(
    n: int, seed: int = 0, segments: int = 1, ragged: bool = False
) -> tuple[list[list[int]], np.ndarray, np.ndarray]:
    """n sequences drawn from the model, -log p(x) of each, and its number of segments, both [n]."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, segments, D)) @ W.T + B + NOISE * rng.standard_normal((n, segments, T))
    ids = np.rint(x * 50).astype(int) + 500
    used = rng.integers(1, segments + 1, n) if ragged else np.full(n, segments)
    nll = -multivariate_normal(B, W @ W.T + NOISE**2 * np.eye(T)).logpdf((ids - 500) / 50).reshape(n, segments)
    sequences = [[0, *row.flatten()[: count * T].tolist(), 1] for row, count in zip(ids, used, strict=True)]
    return sequences, (nll * (np.arange(segments) < used[:, None])).sum(axis=1), used


def measure(
    method: LinearGaussian, n: int, k: int, ragged: bool = False, **plan: int
) -> tuple[LikelihoodFile, np.ndarray]:
    """The statistics of n texts, and their true -log p(x)."""
    torch.set_default_dtype(torch.float64)
    try:
        sequences, nll, used = texts(n, segments=method.segments, ragged=ragged)
        stats = statistics(method, Sequences(sequences), Likelihood(importance_samples=k, **plan), seed=1)
    finally:
        torch.set_default_dtype(torch.float32)
    return replace(stats, used=used, words=stats.predicted - 1), nll


@pytest.mark.parametrize(("segments", "ragged"), [(1, False), (3, False), (3, True)])
def test_exact_posterior_makes_every_weight_the_likelihood(segments: int, ragged: bool) -> None:
    stats, nll = measure(LinearGaussian(segments=segments), n=50, k=4, ragged=ragged)
    np.testing.assert_allclose(-stats.log_w, np.repeat(nll[:, None], 4, axis=1), rtol=1e-9)
    np.testing.assert_allclose(stats.nll, nll, rtol=1e-9)


def test_texts_taken_together_keep_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at once, as on a GPU, and K samples in several passes; none of the texts and samples gets lost."""
    monkeypatch.setitem(likelihood.TEXTS_AT_ONCE, "cpu", 7)
    monkeypatch.setitem(likelihood.POSITIONS_AT_ONCE, "cpu", 200)
    stats, nll = measure(LinearGaussian(segments=3), n=50, k=4, ragged=True)
    np.testing.assert_allclose(-stats.log_w, np.broadcast_to(nll[:, None], (50, 4)), rtol=1e-6)


def test_elbo_gap_is_the_divergence_from_the_true_posterior() -> None:
    """-ELBO - (-log p) = KL(q || p(z|x)), here per dim log-widths and shifts known in closed form."""
    shift, widen = 0.3, 1.4
    method = LinearGaussian(shift, widen)
    stats, nll = measure(method, n=4000, k=1)
    gap = 0.5 * (widen**2 - 1 - 2 * np.log(widen) + shift**2 / method.variance.numpy()).sum()
    error = (stats.nelbo - nll).std() / np.sqrt(len(nll))
    assert abs((stats.nelbo - nll).mean() - gap) < 4 * error


@pytest.mark.parametrize("segments", [1, 3])
def test_kl_is_closed_form(segments: int) -> None:
    method = LinearGaussian(0.3, 1.4, segments)
    stats, _ = measure(method, n=20, k=1, ragged=True)
    variance = method.variance.numpy() * 1.4**2
    expected = 0.5 * (variance + stats.mean**2 - 1 - np.log(variance)).sum(-1)
    used = np.arange(segments) < stats.used[:, None]
    np.testing.assert_allclose(stats.kl, np.where(used, expected, 0), rtol=1e-6)
    values = {**elbo.METRIC.compute(stats, {}), **paper_trace.METRIC.compute(stats, {})}
    averaged = np.mean([row[:count].mean() for row, count in zip(expected, stats.used, strict=True)])
    assert values["kl"].value == pytest.approx(stats.kl.sum(axis=1).mean())
    assert values["kl_per_group"].value == values["paper:trace/kl"].value == pytest.approx(averaged)


@pytest.mark.parametrize(("shift", "widen"), [(0.2, 1.3), (0.0, 0.8)])
@pytest.mark.parametrize("segments", [1, 2])
def test_importance_weighted_bound_converges_from_above(shift: float, widen: float, segments: int) -> None:
    stats, nll = measure(LinearGaussian(shift, widen, segments), n=200, k=1000, ragged=True)
    means = [importance_weighted_nll(stats.log_w, k).mean() - nll.mean() for k in (1, 10, 100, 1000)]
    assert means[0] > means[1] > means[2] > means[3] > -0.01
    assert means[3] < 0.02 < means[0]
    values = iw.METRIC.compute(stats, {})
    assert 1 < values["ess@10"].value < values["ess@100"].value < values["ess@1000"].value == values["ess"].value


def test_effective_sample_size_of_known_weights() -> None:
    """ESS / K -> E[w]^2 / E[w^2], a Renyi divergence of order 2 between Gaussians of known widths."""
    widen = 1.3
    stats, _ = measure(LinearGaussian(0.0, widen), n=20, k=20_000)
    share = iw.effective_sample_size(stats.log_w) / 20_000
    per_dim = np.sqrt(2 * widen**2 - 1) / widen**2  # E_q[w]^2 / E_q[w^2] for N(0, 1) against N(0, widen^2)
    np.testing.assert_allclose(share.mean(), per_dim**D, rtol=0.005)


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


def test_mutual_information_of_independent_groups_adds_up() -> None:
    """I(x; z) = -1/2 sum log var a segment, exactly; the mixture of N estimates it from below the cap."""
    method = LinearGaussian(segments=2)
    stats, _ = measure(method, n=4000, k=1, posterior_samples=1)
    known = -0.5 * np.log(method.variance.numpy()).sum() * 2
    assert mi.METRIC.compute(stats, {})["mi"].value == pytest.approx(known, abs=0.15)


@pytest.mark.parametrize("at_once", [likelihood.PAIRS_AT_ONCE, 5_000], ids=["one block", "blocks"])
@pytest.mark.parametrize(("segments", "ragged"), [(1, False), (3, True)])
def test_matrix_product_and_pairs_agree(
    segments: int, ragged: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, _ = measure(LinearGaussian(0.3, 0.8, segments), n=150, k=2, ragged=ragged)
    monkeypatch.setattr(likelihood, "PAIRS_AT_ONCE", at_once)
    slow, _ = measure(Pairwise(0.3, 0.8, segments), n=150, k=2, ragged=ragged)
    for name in ("log_q", "log_q_full", "log_q_batch"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), rtol=0, atol=1e-9)
    for name in ("rec", "kl", "log_px", "log_pz_qz", "mean", "logvar"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))


def test_importance_weights_have_a_stream_of_their_own() -> None:
    """That of seed + 1, one example at a time: no draw is shared with the posterior samples behind rec and kl."""
    method = LinearGaussian(0.3, 0.8)
    stats, _ = measure(method, n=3, k=5)
    sequences, _, _ = texts(3)
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(1 + 1)
        for row, sequence in enumerate(sequences):
            log_px, log_pz_qz = importance_weights(method, collate([sequence]), 5)
            np.testing.assert_array_equal(stats.log_px[row], log_px[0])
            np.testing.assert_array_equal(stats.log_pz_qz[row], log_pz_qz[0])
    finally:
        torch.set_default_dtype(torch.float32)


class Drifting(Pairwise):
    """Pairwise, its conditional of a draw moved by the index of the draw: mean and log-variance by 0, 1, 2, ..."""

    class Posterior(Pairwise.Posterior):
        def conditional(self, z: Tensor) -> Gaussian:
            given = self.inner.conditional(z)
            by = torch.arange(float(len(z)))[:, None, None, None]
            return Gaussian(given.mean + by, given.logvar + by)


def test_posterior_means_are_averaged_over_draws() -> None:
    """Moved by 0, 1, 2, 3: by 1.5 on average."""
    plain, _ = measure(Pairwise(segments=2), n=10, k=1, posterior_samples=4)
    drifting, _ = measure(Drifting(segments=2), n=10, k=1, posterior_samples=4)
    np.testing.assert_allclose(drifting.mean, plain.mean + 1.5, rtol=1e-9)
    np.testing.assert_allclose(drifting.logvar, plain.logvar + 1.5, rtol=1e-9)
    np.testing.assert_array_equal(drifting.kl, plain.kl, err_msg="the KL is the first draw's")
    assert drifting.draws == 4


class Noisy(Pairwise):
    """Pairwise, its conditional mean of a draw moved by noise: what lower groups do to those above them."""

    class Posterior(Pairwise.Posterior):
        def conditional(self, z: Tensor) -> Gaussian:
            given = self.inner.conditional(z)
            return Gaussian(given.mean + 1.5 * torch.randn_like(given.mean), given.logvar)


@pytest.mark.parametrize("ragged", [False, True])
def test_noise_of_draws_is_no_activity(ragged: bool) -> None:
    """The variance of means over texts is that without the noise, of which the average of three draws has a third."""
    plain, _ = measure(Pairwise(segments=2), n=400, k=1, posterior_samples=3, ragged=ragged)
    noisy, _ = measure(Noisy(segments=2), n=400, k=1, posterior_samples=3, ragged=ragged)
    assert plain.noise.max() < 1e-12
    np.testing.assert_allclose(noisy.noise, 1.5**2 / 3, rtol=0.2)
    for group in range(2):
        of, wanted = (made.mean[made.used > group, group].var(axis=0, ddof=1) for made in (noisy, plain))
        np.testing.assert_allclose(of - noisy.noise[group], wanted, atol=0.3)
    found, still = replace(noisy, mean=noisy.mean - plain.mean), replace(noisy, mean=0 * plain.mean)
    assert au.active_units(found, 0.2).sum() == au.active_units(still, 0.2).sum() == 0
    assert au.active_units(replace(found, noise=0 * noisy.noise), 0.2).tolist() == [2, 2]


def test_paper_arithmetic_is_the_exact_one_where_there_is_one_group() -> None:
    """30 samples and no separators: only BOS (DELLA) and the missing importance weights (DAVAM) tell them apart."""
    stats, _ = measure(LinearGaussian(0.2, 1.3), n=40, k=30)
    exact = {**iw.METRIC.compute(stats, {}), **elbo.METRIC.compute(stats, {}), **au.METRIC.compute(stats, {})}
    papers = {
        **paper_della.METRIC.compute(stats, {}),
        **paper_trace.METRIC.compute(stats, {}),
        **paper_davam.METRIC.compute(stats, {}),
    }
    for key in ("trace/ppl", "trace/nelbo", "trace/kl", "trace/au_0.1", "della/nelbo", "della/kl", "della/au_0.2",
                "davam/rec", "davam/kl"):  # fmt: skip
        assert papers[f"paper:{key}"].value == exact[key.partition("/")[2]].value
    assert np.log(papers["paper:della/ppl"].value) * (T + 2) == pytest.approx(np.log(exact["ppl"].value) * (T + 1))
    assert papers["paper:davam/ppl"].value == pytest.approx(np.exp(exact["nelbo"].value / (T + 1)))


def test_with_several_groups_no_paper_bounds_anything() -> None:
    """The true PPL is known: the exact one is above it, the papers' are below."""
    stats, nll = measure(LinearGaussian(segments=3), n=200, k=100)
    true = np.exp(nll.sum() / stats.predicted.sum())
    assert iw.METRIC.compute(stats, {})["ppl"].value >= true * (1 - 1e-9)
    assert paper_trace.METRIC.compute(stats, {})["paper:trace/ppl"].value < true
    assert paper_davam.METRIC.compute(stats, {})["paper:davam/ppl"].value < true


def test_intervals_cover_what_they_are_about() -> None:
    """Over many test sets, about 95 % of the NLL intervals hold the entropy of x."""
    entropy = multivariate_normal(B, W @ W.T + NOISE**2 * np.eye(T)).entropy()
    hits = 0
    for seed in range(60):
        _, nll, _ = texts(80, seed)
        low, high = mean_ci(nll, resamples=300)
        hits += low <= entropy <= high
    assert 50 <= hits <= 60
