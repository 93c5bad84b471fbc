"""The contract of ``bench/methods/base.py``, on every registered method (and on ``--method SPEC``)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import model as models
from bench.backbones.gpt2 import Cache
from bench.batch import Batch, collate
from bench.likelihood import statistics
from bench.methods.base import Method
from bench.suite import Decoding, Likelihood, MethodSpec
from bench.vocabulary import BOS, EOS, PAD, UNK

from .conftest import SEQUENCES, TINY, build

DECODINGS = [
    Decoding(strategy="greedy"),
    Decoding(strategy="sample"),
    Decoding(strategy="top_k", k=5),
    Decoding(strategy="top_p", p=0.8),
    Decoding(strategy="beam", k=3, repetition_penalty=1.2),
]


def draw(method: Method, batch: Batch, k: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return method.posterior(batch).sample(k)


def test_shapes(method: Method, batch: Batch) -> None:
    b, g, d = len(batch), method.groups, method.options.latent
    posterior = method.posterior(batch)
    z = posterior.sample(5)
    assert z.shape == (5, b, g, d)
    assert posterior.mean.shape == posterior.logvar.shape == (b, g, d)
    assert posterior.log_prob(z).shape == method.log_prior(z, batch).shape == (5, b, g)
    assert method.log_likelihood(batch, z).shape == (5, b)
    terms = method.terms(batch)
    assert terms.rec.shape == (b,) and terms.kl.shape == (b, g)
    assert method.sample_prior(7).shape == (7, g, d)


def test_values_are_finite_and_kl_is_not_negative(method: Method, batch: Batch) -> None:
    terms = method.terms(batch)
    assert torch.isfinite(terms.rec).all() and (terms.rec > 0).all()
    assert torch.isfinite(terms.kl).all() and (terms.kl >= -1e-5).all()
    assert torch.isfinite(method.log_prior(method.sample_prior(3))).all()


def test_every_parameter_gets_a_finite_gradient(method: Method, batch: Batch) -> None:
    method.train()
    terms = method.terms(batch)
    (terms.rec.sum() + terms.kl.sum()).backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{name} has a gradient that is not finite"
        assert parameter.grad.abs().max() > 0, f"{name} has gradient 0 everywhere"


def test_padding_and_company_change_nothing(method: Method, batch: Batch) -> None:
    """A posterior and a likelihood are the same alone, in a batch, and with any amount or content of padding."""
    z = draw(method, batch, 2)
    posterior = method.posterior(batch)
    padded = Batch(torch.nn.functional.pad(batch.ids, (0, 9), value=PAD), batch.lengths)
    junk = Batch(torch.where(padded.mask, padded.ids, 77), batch.lengths)
    for other in (padded, junk):
        torch.testing.assert_close(method.posterior(other).mean, posterior.mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method.posterior(other).logvar, posterior.logvar, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method.log_likelihood(other, z), method.log_likelihood(batch, z))
    for i, sequence in enumerate(SEQUENCES):
        alone = collate([sequence])
        torch.testing.assert_close(method.posterior(alone).mean[0], posterior.mean[i], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            method.log_likelihood(alone, z[:, i : i + 1])[:, 0], method.log_likelihood(batch, z)[:, i]
        )


def test_log_likelihood_is_a_distribution_over_next_tokens(method: Method) -> None:
    """Summed over every second token, p(5 b | z) is p(5 | z)."""
    vocabulary = TINY.vocabulary
    one = collate([[BOS, 5, b] for b in range(vocabulary)])
    z = method.sample_prior(1).expand(vocabulary, -1, -1)
    joint = method.log_likelihood(one, z).logsumexp(0)
    first = method.log_likelihood(collate([[BOS, 5]]), z[:1])[0]
    torch.testing.assert_close(joint, first)


def test_decoder_is_causal_given_z(method: Method, batch: Batch) -> None:
    z = draw(method, batch, 1)[0]
    injection = method.inject(z)
    hidden = method.backbone.decode(batch.inputs, injection)
    changed = batch.inputs.clone()
    changed[:, 3:] = 99
    torch.testing.assert_close(method.backbone.decode(changed, injection)[:, :3], hidden[:, :3])


def test_cached_decoding_equals_the_full_pass(method: Method, batch: Batch) -> None:
    injection = method.inject(draw(method, batch, 1)[0])
    full = method.backbone.decode(batch.inputs, injection)
    cache = Cache()
    steps = [method.backbone.decode(batch.inputs[:, t : t + 1], injection, cache) for t in range(full.shape[1])]
    torch.testing.assert_close(torch.cat(steps, 1), full, atol=1e-5, rtol=1e-4)


def test_latents_reach_the_text(method: Method, batch: Batch) -> None:
    if method.groups == 0:
        pytest.skip("a plain language model has no latent")
    z = draw(method, batch, 1)[0]
    for group in range(method.groups):
        moved = z.clone()
        moved[:, group] += 3.0
        change = (method.log_likelihood(batch, moved) - method.log_likelihood(batch, z)).abs()
        assert (change[:3] > 1e-6).all(), f"group {group} does not change p(x|z)"


def test_kl_agrees_with_the_densities(method: Method, batch: Batch) -> None:
    """The closed-form KL, averaged over draws, is the Monte-Carlo mean of log q - log p, group by group."""
    if method.groups == 0:
        pytest.skip("a plain language model has no latent")
    with torch.no_grad():
        posterior, z = method.posterior(batch), draw(method, batch, 4000)
        closed = posterior.conditional(z).kl(method.prior(z, batch))
        sampled = posterior.log_prob(z) - method.log_prior(z, batch)
        error = (sampled - closed).std(0) / len(z) ** 0.5
        assert ((sampled - closed).mean(0).abs() < 5 * error + 1e-4).all()


def test_same_seed_same_numbers(method_name: str, batch: Batch) -> None:
    first, second = build(method_name), build(method_name)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    results = []
    for method in (first, second):
        torch.manual_seed(3)
        results.append((method.terms(batch), method.decode(method.sample_prior(3), DECODINGS[1], 12)))
    assert torch.equal(results[0][0].rec, results[1][0].rec) and torch.equal(results[0][0].kl, results[1][0].kl)
    assert results[0][1] == results[1][1]


def test_save_and_load_are_bit_identical(method_name: str, batch: Batch, tmp_path) -> None:
    method = build(method_name)
    config = {"use": method_name, "options": {}, "backbone": TINY.model_dump()}
    models.save(method, config, tmp_path)
    loaded = models.load(tmp_path)
    z = draw(method, batch, 2)
    assert torch.equal(draw(loaded, batch, 2), z)
    assert torch.equal(loaded.log_likelihood(batch, z), method.log_likelihood(batch, z))


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda d: d.strategy)
def test_decoding_prior_posterior_and_interpolation(method: Method, batch: Batch, decoding: Decoding) -> None:
    z = draw(method, batch, 2)
    mixed = 0.3 * z[0] + 0.7 * z[1]
    for latent in (method.sample_prior(3), z[0], mixed):
        texts = method.decode(latent, decoding, max_tokens=10)
        assert len(texts) == len(latent)
        for tokens in texts:
            assert 1 <= len(tokens) <= 9  # BOS is not among them
            assert not {BOS, PAD, UNK} & set(tokens)
            assert EOS not in tokens[:-1] and (tokens[-1] == EOS or len(tokens) == 9)


def test_greedy_decoding_is_the_argmax_of_the_likelihood(method: Method) -> None:
    """Each greedy token is the most likely next one by ``log_likelihood``, an independent path through the model."""
    z = method.sample_prior(1)
    (tokens,) = method.decode(z, DECODINGS[0], max_tokens=6)
    allowed = [t for t in range(TINY.vocabulary) if t not in (BOS, PAD, UNK)]
    for t in range(len(tokens)):
        candidates = collate([[BOS, *tokens[:t], a] for a in allowed])
        scores = method.log_likelihood(candidates, z.expand(len(allowed), -1, -1))
        assert scores[allowed.index(tokens[t])] >= scores.max() - 1e-4


def test_importance_weighted_bound(method: Method) -> None:
    """NLL_K <= -ELBO within Monte-Carlo error, decreasing in K; exact and without weights where G = 0."""
    plan = Likelihood(importance_samples=100, posterior_samples=4, mi_batch=2)
    stats = statistics(method, SEQUENCES, plan, seed=0)
    from bench.metrics.likelihood_file import importance_weighted_nll

    if method.groups == 0:
        np.testing.assert_allclose(stats.nll, stats.rec, rtol=1e-5)
        return
    curve = [importance_weighted_nll(stats.log_w, k).sum() for k in (1, 10, 100)]
    assert curve[0] >= curve[1] >= curve[2]
    spread = stats.log_w.std(axis=1) / 10
    assert (stats.nll <= stats.nelbo + 5 * (spread + stats.log_w.std(axis=1))).all()
    assert stats.mean.shape == (len(SEQUENCES), method.groups, method.options.latent)
    assert np.isfinite(stats.log_q_full).all()
    assert (stats.log_q_full >= stats.log_q - np.log(len(SEQUENCES)) - 1e-6).all()  # x_i is one term of its mixture


def test_options_are_typed(method_name: str) -> None:
    from bench.errors import BenchError

    with pytest.raises(BenchError, match="unknown key 'latnt'; did you mean 'latent'"):
        models.build(MethodSpec(use=method_name, options={"latnt": 3}), TINY, 0)
    with pytest.raises(BenchError, match="'latent' is 'many'"):
        models.build(MethodSpec(use=method_name, options={"latent": "many"}), TINY, 0)


def test_options_are_a_frozen_dataclass(method: Method) -> None:
    assert dataclasses.is_dataclass(method.options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.options.latent = 3  # type: ignore[misc]
