"""Latent sequences with a length: every bound by brute force on toys so small that all their z can be listed.

A toy has three words, texts of at most two of them, and so latent sequences of at most three steps: p(x) is a sum over
all code sequences, or an integral over one-dimensional Gaussian ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from bench import likelihood
from bench import model as models
from bench.batch import Sequences
from bench.likelihood import statistics
from bench.methods.base import Method
from bench.metrics import elbo, iw, paper_davam
from bench.metrics.likelihood_file import LikelihoodFile
from bench.schema import Backbone, Likelihood, MethodSpec
from tests.methods.conftest import known_options

WORDS, LONGEST = (4, 5, 6), 3
TEXTS = [[0, *words, 1] for n in range(LONGEST) for words in itertools.product(WORDS, repeat=n)]
DATA = Sequences(TEXTS)
T = np.array([len(text) - 1 for text in TEXTS])
TOYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "end": ("davam-k128", {"codes": 4}),
    "empirical": ("davam-k128", {"codes": 4, "length": "empirical"}),
    "one code": ("davam-q", {"codes": 5}),
    "gavam": ("gavam", {"latent": 1}),
    "vae-attn": ("vae-attn", {"latent": 1}),
}
CODES, GAUSSIAN = ("end", "empirical", "one code"), ("gavam", "vae-attn")


pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def toy(name: str) -> Method:
    """Trained until z says much of x: a bound is near log p(x) only then, and what is amiss shows.

    Codes are those of an encoder that tells words apart and stays as it is, so that they are informative at once.
    """
    use, options = TOYS[name]
    size = Backbone(
        kind="lstm", layers=1, width=12, embedding=6, tokenizer="words", vocabulary=7, max_tokens=LONGEST + 1
    )
    small = {**known_options(use, {"prior_layers": 2, "prior_width": 8, "latent": 4}), **options}
    method, batch = models.build(MethodSpec(use=use, options=small), size, 0), DATA.batch(range(len(TEXTS)))
    with torch.no_grad():
        method.encoder.words.weight *= 20
    if method.certain:
        for part in (method.encoder, method.to_code):
            part.requires_grad_(False)
        states, codes = method.coded(batch)
        method.codebook.begin(states[codes.present])
    if method.lengths is not None:
        method.lengths.fit(DATA)
    optimiser = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=0.03)
    weight = 1.0 if method.certain else 0.2  # or Gaussians collapse
    for _ in range(120):
        terms, length = method.terms(batch), method.length_nll(batch)
        loss = (terms.rec + weight * terms.kl.sum(1)).mean() + (0.0 if length is None else length.mean())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return method.requires_grad_(False).eval()


@cache
def measured(name: str, k: int = 1) -> LikelihoodFile:
    return statistics(toy(name), DATA, Likelihood(importance_samples=k, mi_batch=4), seed=0)


# Codes ------------------------------------------------------------------------------------------------------------


def gamma(method: Method, codes: tuple[int, ...]) -> Tensor:
    """p(. | codes): what the prior says after them alone; before the first it does not end."""
    with torch.no_grad():
        scores = method.gamma(torch.tensor(codes, dtype=torch.long)[None])[0, -1].double()
        p = scores.softmax(-1)
    if method.end and not codes:
        p[-1] = 0
    return p / p.sum()


def log_p_codes(method: Method, codes: tuple[int, ...]) -> float:
    """sum_t log gamma_{t, z_t}."""
    return sum(math.log(gamma(method, codes[:t])[code]) for t, code in enumerate(codes))


def log_p_length(method: Method, name: str, codes: tuple[int, ...]) -> float:
    if name == "end":
        return math.log(gamma(method, codes)[-1])
    return float(method.lengths.log_p[len(codes) - 1]) if name == "empirical" else 0.0


def all_codes(name: str, method: Method, longest: int = LONGEST) -> list[tuple[int, ...]]:
    lengths = [1] if name == "one code" else range(1, longest + 1)
    return [codes for n in lengths for codes in itertools.product(range(method.options.codes), repeat=n)]


@cache
def joint(name: str) -> tuple[np.ndarray, np.ndarray]:
    """log p(z), [S], of all code sequences, and log p(x|z), [S, N]."""
    method = toy(name)
    sequences, batch = all_codes(name, method), DATA.batch(range(len(TEXTS)))
    log_pz = np.array([log_p_codes(method, codes) + log_p_length(method, name, codes) for codes in sequences])
    with torch.no_grad():
        vectors = [method.codebook.vectors[list(codes)].expand(len(TEXTS), -1, -1) for codes in sequences]
        log_px = np.stack([method.log_likelihood(batch, z).double().numpy() for z in vectors])
    return log_pz, log_px


def open_mass(name: str) -> float:
    """Of "end", the probability of more than LONGEST steps; the others have no more."""
    method = toy(name)
    if name != "end":
        return 0.0
    longest = [codes for codes in all_codes(name, method) if len(codes) == LONGEST]
    return sum(math.exp(log_p_codes(method, codes)) * (1 - float(gamma(method, codes)[-1])) for codes in longest)


@pytest.mark.parametrize("name", CODES)
def test_the_prior_is_a_distribution_over_sequences_of_all_lengths(name: str) -> None:
    """With an end code none of it is lost: what has ended, or goes on."""
    assert np.exp(joint(name)[0]).sum() + open_mass(name) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", CODES)
def test_the_parts_of_the_bound_are_those_of_the_codes_of_a_text(name: str) -> None:
    """rec, KL of each step and length, against the joint of x and of the codes nearest to its states."""
    method, stats = toy(name), measured(name)
    log_pz, log_px = joint(name)
    sequences = all_codes(name, method)
    for row, text in enumerate(TEXTS):
        codes = tuple(method.posterior(Sequences([text]).batch([0])).index[0].tolist())
        assert len(codes) == stats.used[row] == (1 if name == "one code" else len(text) - 1)
        each = [-math.log(gamma(method, codes[:t])[code]) for t, code in enumerate(codes)]
        np.testing.assert_allclose(stats.kl[row, : len(codes)], each, rtol=1e-4, atol=1e-5)
        assert stats.length[row] == pytest.approx(-log_p_length(method, name, codes), rel=1e-4, abs=1e-5)
        at = sequences.index(codes)
        assert stats.nelbo[row] == pytest.approx(-log_pz[at] - log_px[at, row], rel=1e-4)
        assert stats.rec[row] == pytest.approx(-log_px[at, row], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", CODES)
def test_the_bound_holds_for_every_text(name: str) -> None:
    """-log p(x) = -log sum_z p(z) p(x|z) <= rec + sum_t KL_t + length, and so do its importance weights.

    A single code is one of a few, so their sum is taken: the likelihood itself.
    """
    log_pz, log_px = joint(name)
    nll = -logsumexp(log_pz[:, None] + log_px, axis=0)
    stats = measured(name)
    assert (stats.nelbo >= nll - 1e-5).all()
    np.testing.assert_allclose(stats.nll, nll if name == "one code" else stats.nelbo, rtol=1e-5)
    assert stats.exact == (name == "one code") and (stats.nelbo - nll).max() > 0.01, "the two are not the same"
    told = {"one code": "exact: every z is counted"}.get(name, "a bound: by the one z that q(z|x) has")
    assert iw.METRIC.compute(measured(name, 7), {})["ppl_word"].note == told


@torch.no_grad()
def test_every_code_is_counted_however_many_passes_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured("one code")
    for positions in (1, 12, 4000):
        monkeypatch.setitem(likelihood.POSITIONS_AT_ONCE, "cpu", positions)
        found = statistics(toy("one code"), DATA, Likelihood(importance_samples=1, mi_batch=4), seed=0)
        np.testing.assert_allclose(found.nll, whole.nll, rtol=1e-6)


@pytest.mark.parametrize("name", ["end", "empirical"])
def test_without_its_length_or_with_a_mean_of_its_steps_it_is_no_bound(name: str) -> None:
    """The test above can fail: paper:davam's arithmetic is below -log p(x) of some texts, and so is ours without T."""
    log_pz, log_px = joint(name)
    nll = -np.log(np.exp(log_pz[:, None] + log_px).sum(axis=0) + open_mass(name))
    stats = measured(name)
    if name == "empirical":  # an end code costs next to nothing where so few texts are known by heart
        assert (stats.rec + stats.kl.sum(axis=1) < nll - 0.05).any(), "no length"
    assert (stats.rec + stats.kl_averaged + stats.length < nll - 0.05).any(), "mean over steps"
    assert (stats.rec + stats.kl_averaged < nll - 0.3).any(), "paper:davam"


# Gaussians --------------------------------------------------------------------------------------------------------

EDGE, POINTS = 7.0, 71
GRID = np.linspace(-EDGE, EDGE, POINTS)
FEW = [row for row in range(len(TEXTS)) if T[row] <= 2]  # three dimensions would be many points


@cache
def log_joint_of_steps(name: str, steps: int) -> np.ndarray:
    """log p(T) + log of the integral over z_1 ... z_T of p(z|T) p(x|z), of each of the FEW."""
    method, batch = toy(name), DATA.batch(FEW)
    points = torch.tensor(list(itertools.product(GRID, repeat=steps)), dtype=torch.float32)[..., None]
    with torch.no_grad():
        z = points[:, None].expand(-1, len(FEW), -1, -1)  # [S, N, T, 1]
        parts = z.split(500)
        log_px = torch.cat([method.log_likelihood(batch, part) for part in parts]).double().numpy()
        log_pz = method.log_prior(points).double().sum(-1).numpy()
    width = steps * math.log(GRID[1] - GRID[0])
    assert logsumexp(log_pz) + width == pytest.approx(0, abs=1e-3), "the grid holds the prior"
    return float(method.lengths.log_p[steps - 1]) + logsumexp(log_pz[:, None] + log_px, axis=0) + width


@pytest.mark.parametrize("name", GAUSSIAN)
def test_importance_weights_converge_to_the_integral_of_the_texts_own_length(name: str) -> None:
    """All of q is on sequences as long as x: NLL_K -> -log p(x, T), which is above -log p(x), as -ELBO is."""
    stats = measured(name, k=4000)
    by_length = np.stack([log_joint_of_steps(name, steps) for steps in (1, 2)])
    own = by_length[T[FEW] - 1, np.arange(len(FEW))]
    weights = np.exp(stats.log_w[FEW] - stats.log_w[FEW].max(axis=1, keepdims=True))
    error = 5 * weights.std(axis=1) / weights.mean(axis=1) / 4000**0.5 + 0.01
    assert (np.abs(stats.nll[FEW] + own) < error).all() and error.max() < 0.3
    nll = -logsumexp(by_length, axis=0)  # of lengths 1 and 2: without 3 it is above -log p(x), and below all bounds
    assert (stats.nll[FEW] >= nll - error).all()
    one_draw = -stats.log_w[FEW].mean(axis=1)  # -ELBO, the mean over K draws
    assert (one_draw >= -own - error).all()


@pytest.mark.parametrize("name", GAUSSIAN)
def test_closed_form_and_weights_are_the_same_elbo(name: str) -> None:
    """E[rec + KL + length] over fresh draws is E[-log w], text by text."""
    method, stats, draws = toy(name), measured(name, k=4000), 500
    torch.manual_seed(5)
    with torch.no_grad():
        batch = DATA.batch(range(len(TEXTS)))
        condition = method.condition(batch)
        posterior = method.posterior(batch, condition)
        z = posterior.sample(draws)
        kl = posterior.conditional(z).kl(method.prior(z, condition)).sum(-1)
        closed = (kl - method.log_likelihood(batch, z, condition) + method.length_nll(batch)).double()
    error = closed.std(0).numpy() / draws**0.5 + stats.log_w.std(axis=1) / 4000**0.5
    assert (np.abs(closed.mean(0).numpy() + stats.log_w.mean(axis=1)) < 4.5 * error + 1e-3).all()


def test_texts_of_other_lengths_have_density_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """log (1/N) sum_j q(z_i|x_j), the sum over texts as long as x_i alone: a loop over scipy's densities."""
    drawn: list[Tensor] = []
    aggregate = likelihood._aggregate_gaussians

    def watched(z: Tensor, *rest: Any, **named: Any) -> None:
        drawn.append(z)
        aggregate(z, *rest, **named)

    monkeypatch.setattr(likelihood, "_aggregate_gaussians", watched)
    method, n = toy("gavam"), len(TEXTS)
    stats = statistics(method, DATA, Likelihood(importance_samples=1, mi_batch=5), seed=3)
    (z,) = drawn
    log_q = np.full((n, n), -np.inf)
    with torch.no_grad():
        for j in range(n):
            q = method.posterior(DATA.batch([j]))
            mean, variance = q.mean[0, :, 0].double().numpy(), q.logvar[0, :, 0].double().exp().numpy()
            for i in range(n):
                if T[i] == T[j]:
                    at = z[i, : T[i], 0].double().numpy()
                    log_q[i, j] = multivariate_normal(mean, np.diag(variance)).logpdf(at)
    np.testing.assert_allclose(stats.log_q, np.diag(log_q), atol=1e-4)
    np.testing.assert_allclose(stats.log_q_full, logsumexp(log_q, axis=1) - np.log(n), atol=1e-4)
    for start in range(0, n, 5):
        rows = slice(start, start + 5)
        own = log_q[rows, rows]
        np.testing.assert_allclose(stats.log_q_batch[rows], logsumexp(own, axis=1) - np.log(len(own)), atol=1e-4)
    assert (stats.log_q - stats.log_q_full >= -np.log([sum(t == T) / n for t in T]) - np.log(9) - 1e-6).all()


def test_points_are_counted() -> None:
    """Codes are one point a text: q of the aggregate is the share of texts with the same codes, and as many."""
    method = toy("end")
    texts = [TEXTS[i] for i in (0, 1, 0, 7, 1, 1, 9, 0, 12)]
    stats = statistics(method, Sequences(texts), Likelihood(mi_batch=4), seed=0)
    codes = [tuple(method.posterior(Sequences([text]).batch([0])).index[0].tolist()) for text in texts]
    assert len(set(codes)) >= 3
    assert not stats.log_q.any()
    np.testing.assert_allclose(stats.log_q_full, [math.log(codes.count(own) / 9) for own in codes])
    groups = [codes[start : start + 4] for start in (0, 4, 8)]
    expected = [math.log(group.count(own) / len(group)) for group in groups for own in group]
    np.testing.assert_allclose(stats.log_q_batch, expected)


# The file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["end", "gavam"])
def test_a_length_is_in_every_bound_and_in_no_papers_number(name: str) -> None:
    stats = replace(measured(name, k=10), words=T - 1)
    longer = replace(stats, length=stats.length + np.arange(len(T)))
    more = np.arange(len(T))
    for column in ("nelbo", "kl_total", "nll"):
        np.testing.assert_allclose(getattr(longer, column) - getattr(stats, column), more, atol=1e-9)
    for column in ("kl_averaged", "log_w_averaged", "rec", "kl"):
        np.testing.assert_array_equal(getattr(longer, column), getattr(stats, column))
    paper = [paper_davam.METRIC.compute(of, {}) for of in (stats, longer)]
    assert paper[0] == paper[1]
    first, second = ({**elbo.METRIC.compute(of, {}), **iw.METRIC.compute(of, {})} for of in (stats, longer))
    for key in ("nelbo", "kl", "nll", "length"):
        assert second[key].value - first[key].value == pytest.approx(more.mean())
    for key in ("rec", "kl_per_group"):
        assert second[key].value == first[key].value
    expected = stats.rec.sum() + stats.kl_averaged.sum()
    assert math.log(paper[0]["paper:davam/ppl"].value) * T.sum() == pytest.approx(expected), "words + 1 = T here"


@pytest.mark.parametrize("name", TOYS)
def test_lengths_survive_the_file(name: str, tmp_path: Path) -> None:
    stats = measured(name)
    with (tmp_path / "likelihood.npz").open("wb") as stream:
        stats.write(stream)
    np.testing.assert_array_equal(LikelihoodFile.read(tmp_path / "likelihood.npz").length, stats.length)
    assert stats.length.any() == (name != "one code")
    assert stats.kl.shape == (len(TEXTS), 1 if name == "one code" else LONGEST)
