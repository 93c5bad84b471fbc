"""Texts that differ in the number of their groups, against each text alone: nothing but its own groups counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import kstest
from torch import Tensor
from torch.distributions import Normal

from bench import likelihood, objectives
from bench import model as models
from bench.batch import Sequences
from bench.likelihood import statistics
from bench.methods.base import Method
from bench.schema import Backbone, Likelihood, MethodSpec

SIZE = Backbone(layers=2, width=16, heads=2, vocabulary=260, max_tokens=24)
TEXTS = Sequences([[0, 20, 21, 1], [0, 10, 11, 12, 13, 14, 1], [0, 1], [0, 200, 201, 202, 203, 1], [0, 30, 1]])
USED = [1, 3, 1, 2, 1]  # of segments of two tokens
NAMES = ["trace-r", "trace-r-rp", "ind", "cgd"]


def make(name: str) -> Method:
    torch.set_num_threads(1)
    method = models.build(MethodSpec(use=name, options={"segment_length": 2, "latent": 3}), SIZE, 0).eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return method


def log_q(method: Method, z: Tensor) -> np.ndarray:
    """log q(z_i | x_j) of all pairs, [N, N]: x_j alone has its posterior, and N(0, I) for groups it does not have."""
    columns = []
    for j, used in enumerate(USED):
        q = method.posterior(TEXTS.batch([j])).conditional(z[:, None, :used])
        own = Normal(q.mean, (0.5 * q.logvar).exp()).log_prob(z[:, None, :used]).sum((1, 2, 3))
        columns.append(own + Normal(0.0, 1.0).log_prob(z[:, used:]).sum((1, 2)))
    return torch.stack(columns, 1).double().numpy()


@pytest.mark.parametrize("name", NAMES)
def test_the_aggregated_posterior_of_ragged_texts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all texts and in pairs of them; batches without the longest text have fewer groups than its z."""
    method = make(name)
    drawn: list[Tensor] = []
    for way, at in (("_aggregate_pairs", 2), ("_aggregate_gaussians", 0)):
        monkeypatch.setattr(likelihood, way, _watched(getattr(likelihood, way), at, drawn))
    stats = statistics(method, TEXTS, Likelihood(importance_samples=1, mi_batch=2), 0)
    (z,) = drawn
    with torch.no_grad():
        pairs = log_q(method, z)
    np.testing.assert_allclose(stats.log_q, pairs.diagonal(), atol=1e-3)
    np.testing.assert_allclose(stats.log_q_full, logsumexp(pairs, axis=1) - np.log(5), atol=1e-3)
    of_two = [logsumexp(pairs[i, i // 2 * 2 : i // 2 * 2 + 2]) - np.log(2 if i < 4 else 1) for i in range(5)]
    np.testing.assert_allclose(stats.log_q_batch, of_two, atol=1e-3)


def test_groups_that_a_text_does_not_have_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """From N(0, I), also those that no text of a batch has; by the seed, and never those of another text."""
    texts = Sequences([TEXTS.texts[USED.index(min(USED))]] * 300 + [TEXTS.texts[USED.index(max(USED))]])
    drawn: list[Tensor] = []
    monkeypatch.setattr(likelihood, "_aggregate_pairs", lambda method, texts, z, *rest: drawn.append(z))
    for seed in (0, 0, 1):
        statistics(make("trace-r"), texts, Likelihood(importance_samples=1), seed)
    first, again, other = (z[:300, min(USED) :].flatten() for z in drawn)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert kstest(first.numpy(), "norm").pvalue > 0.001 and len(first.unique()) == len(first)


def _watched(aggregate, at: int, drawn: list[Tensor]):  # type: ignore[no-untyped-def]
    """``aggregate``, which keeps its argument number ``at``: the z_i."""

    def watched(*arguments, **options) -> None:  # type: ignore[no-untyped-def]
        drawn.append(arguments[at])
        aggregate(*arguments, **options)

    return watched


@pytest.mark.parametrize("name", NAMES)
def test_reductions_are_of_the_groups_each_text_has(name: str) -> None:
    """Their mean is over as many as there are, and the last is the text's own: those that follow have KL 0."""
    method = make(name)
    terms = method.terms(TEXTS.batch(range(5)))
    kl = [of_text[:used] for of_text, used in zip(terms.kl, USED, strict=True)]
    assert all(of_text.min() > 0 for of_text in kl)
    for reduction, expected in (
        ("sum", [of_text.sum() for of_text in kl]),
        ("mean_groups", [of_text.mean() for of_text in kl]),
        ("first", [of_text[0] for of_text in kl]),
        ("last", [of_text[-1] for of_text in kl]),
    ):
        found = objectives.loss(terms, 0.5, reduction)
        torch.testing.assert_close(found, (terms.rec + 0.5 * torch.stack(expected)).mean(), msg=reduction)
