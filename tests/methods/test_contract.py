"""The contract of ``bench/methods/base.py``, on every registered method (and on ``--method SPEC``) and every task."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import model as models
from bench import registry
from bench.batch import Batch
from bench.errors import BenchError
from bench.likelihood import importance_weights, statistics
from bench.methods.base import Method
from bench.metrics.likelihood_file import importance_weighted_nll
from bench.schema import Backbone, Decoding, Likelihood, MethodSpec
from bench.vocabulary import BOS, EOS, PAD, UNK

from .conftest import SEQUENCES, TASKS, TINY, Task, build, debug_options

DECODINGS = [
    Decoding(strategy="greedy"),
    Decoding(strategy="sample"),
    Decoding(strategy="top_k", k=5),
    Decoding(strategy="top_p", p=0.8),
    Decoding(strategy="beam", k=3, repetition_penalty=1.2),
]
ROWS = range(len(SEQUENCES))


def draw(method: Method, batch: Batch, k: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return method.posterior(batch, method.condition(batch)).sample(k)


def log_likelihood(method: Method, batch: Batch, z: Tensor) -> Tensor:
    return method.log_likelihood(batch, z, method.condition(batch))


def hidden_states(method: Method, batch: Batch, z: Tensor) -> Tensor:
    condition, (text, injection) = method.condition(batch), method.read(batch, z)
    return method.backbone.decode(text.inputs, injection, None if condition is None else condition.context)


def most_groups(method: Method, batch: Batch) -> int:
    return int(method.used(batch).max())


def absent(method: Method, batch: Batch) -> Tensor:
    """[B, G], the groups that each text does not have."""
    return torch.arange(most_groups(method, batch)) >= method.used(batch)[:, None]


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("gpt2", {"bow": 0.2}, "bow"),
        ("gpt2", {"free_bits": 1.0}, "free_bits"),
        ("gpt2", {"latent": 64}, "latent"),
        ("lstm-lm", {"annealing": "linear"}, "annealing"),
        ("bart", {"kl_reduction": "last"}, "kl_reduction"),
        ("della-ltp", {"rank": 9}, "rank"),
        ("della-ltp", {"product": "liu"}, "product"),
        ("della-ltp", {"initialisation": "paper"}, "initialisation"),
        ("ind", {"gamma": 7.0}, "what is for recurrent dependence"),
        ("cgd", {"normalised": "both"}, "what is for recurrent dependence"),
        ("trace-r-ln", {"gamma": 7.0}, "normalised or gamma"),
        ("trace-r-ln", {"normalised": "both"}, "normalised or gamma"),
    ],
)
def test_options_without_effect_are_refused(name: str, options: dict[str, object], told: str) -> None:
    """A row that names an option has it."""
    kind = {"lstm-lm": "lstm", "bart": "bart"}.get(name, "gpt2")
    size = Backbone(kind=kind, layers=1 if kind == "lstm" else 2, width=32, heads=2, vocabulary=300, max_tokens=32)
    with pytest.raises(BenchError, match=f"options ask for {told}"):
        models.build(MethodSpec(use=name, options=options), size, 0, conditional=name == "bart")


def needs_latents(method: Method) -> None:
    if method.groups == 0:
        pytest.skip("a plain language model has no latent")


def test_only_what_says_so_is_left_out() -> None:
    """The other tests skip what is refused here, with its reason."""
    refused = set()
    for name in registry.methods():
        for task_name, task in TASKS.items():
            try:
                models.build(MethodSpec(use=name, options=debug_options(name)), task.size, 0, task.conditional)
            except BenchError as error:
                assert f"method '{name}'" in str(error)
                refused.add((name, task_name))
    recurrent = [name for name in registry.methods() if name.startswith(("lstm", "vae-attn", "gavam", "davam"))]
    segmentwise = [name for name in registry.methods() if "segment_length" in debug_options(name)]
    others = set(registry.methods()) - set(recurrent)
    plain = {"gpt2": {"gpt2", "gpt2-prompt"}, "llama": {"llama", "llama-prompt"}, "bart": {"bart"}, "optimus": {"gpt2"}}
    assert refused == {
        *((name, task) for name, on in plain.items() for task in TASKS if task not in on),
        *((name, "bart") for name in segmentwise), *((name, "lstm") for name in others),
        *((name, task) for name in recurrent for task in TASKS if task != "lstm"),
    }  # fmt: skip


def test_shapes(variant: Method, batch: Batch) -> None:
    b, g, d = len(batch), most_groups(variant, batch), variant.options.latent
    condition = variant.condition(batch)
    posterior = variant.posterior(batch, condition)
    z = posterior.sample(5)
    assert z.shape == posterior.conditional(z).mean.shape == variant.prior(z, condition).mean.shape == (5, b, g, d)
    assert posterior.mean.shape == posterior.logvar.shape == (b, g, d)
    assert posterior.log_prob(z).shape == variant.log_prior(z, condition).shape == (5, b, g)
    assert variant.log_likelihood(batch, z, condition).shape == (5, b)
    for n, given in ((b, condition), *([] if batch.condition is not None else [(7, None)])):
        drawn = variant.sample_prior(n, given)
        if variant.length_nll(batch) is not None:
            sequences_are_marked(drawn)
        first = variant.groups if variant.separator is None else 1  # the rest is drawn while a text is written
        steps = first if variant.length_nll(batch) is None else drawn.shape[1]
        assert drawn.shape == (n, steps, d)


def sequences_are_marked(z: Tensor) -> None:
    """Latent sequences [n, longest T, D] with at least one step each, and NaN in the steps after each one's last."""
    absent = z.isnan().all(-1)
    assert torch.equal(absent, z.isnan().any(-1)) and not absent[:, 0].any() and not absent[:, -1].all()
    assert torch.equal(absent, absent.cummax(1).values), "absent steps come last"


def test_terms(variant: Method, batch: Batch) -> None:
    terms = variant.terms(batch)
    assert terms.rec.shape == (len(batch),) and torch.isfinite(terms.rec).all() and (terms.rec > 0).all()
    dims = 1 if variant.certain else variant.options.latent  # a choice of a point is one choice
    assert terms.kl_dims.shape == (len(batch), most_groups(variant, batch), dims)
    assert torch.isfinite(terms.kl).all() and (terms.kl_dims >= -1e-6).all()
    assert not terms.kl[absent(variant, batch)].any()
    assert (terms.auxiliary is None) == (variant.bow is None)
    if terms.auxiliary is not None:
        assert (terms.auxiliary[:3] > 0).all() and terms.auxiliary[3] == 0, "the last text has no word"


def test_every_parameter_gets_a_finite_gradient(variant: Method, batch: Batch) -> None:
    variant.train()
    terms = variant.terms(batch)
    loss = terms.rec.sum() + terms.kl.sum()
    (loss if terms.auxiliary is None else loss + terms.auxiliary.sum()).backward()
    for name, parameter in variant.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{name} has a gradient that is not finite"
        assert parameter.grad.abs().max() > 0, f"{name} has gradient 0 everywhere"


def padded(batch: Batch, fill: int) -> Batch:
    """The same sequences, more padding after them, the tokens in it being ``fill``."""
    wide = Batch(torch.nn.functional.pad(batch.ids, (0, 9), value=PAD), batch.lengths)
    condition = None if batch.condition is None else padded(batch.condition, fill)
    return Batch(torch.where(wide.mask, wide.ids, fill), batch.lengths, condition)


def test_padding_and_company_change_nothing(method: Method, batch: Batch, task: Task) -> None:
    """All is the same alone, in a batch, and with any amount or content of padding, of texts and of conditions."""
    z = draw(method, batch, 2)

    def of(batch: Batch, z: Tensor) -> tuple[Tensor, ...]:
        condition = method.condition(batch)
        posterior, prior = method.posterior(batch, condition).conditional(z), method.prior(z, condition)
        px = method.log_likelihood(batch, z, condition)
        return posterior.mean, posterior.logvar, prior.mean, prior.logvar, px

    expected = of(batch, z)
    for other in (padded(batch, PAD), padded(batch, 77)):
        torch.testing.assert_close(of(other, z), expected, atol=1e-5, rtol=1e-4)
    for i in ROWS:
        own = int(method.used(batch)[i])
        alone = of(task.batch(i), z[:, i : i + 1, :own])
        *parameters, px = (t[:, i : i + 1] for t in expected)
        together = (*(t[:, :, :own] for t in parameters), px)
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


def test_log_likelihood_is_a_distribution_over_next_tokens(method: Method, task: Task) -> None:
    """Summed over every second token, p(5 b | z, c) is p(5 | z, c); the end of a segment is one of them."""
    vocabulary = method.backbone.vocabulary
    z = draw(method, task.batch(1), 1)[0]
    pairs = task.continued([[BOS, 5, b] for b in range(vocabulary)], row=1)
    joint = log_likelihood(method, pairs, z.expand(vocabulary, -1, -1)).logsumexp(0)
    first = log_likelihood(method, task.continued([[BOS, 5]], row=1), z)[0]
    torch.testing.assert_close(joint, first)


def test_decoder_is_causal_given_z(method: Method, batch: Batch) -> None:
    z = draw(method, batch, 1)[0]
    ids = batch.ids.clone()
    ids[:, 3:] = 99
    changed = Batch(ids, batch.lengths, batch.condition)
    torch.testing.assert_close(hidden_states(method, changed, z)[:, :3], hidden_states(method, batch, z)[:, :3])


def test_cached_decoding_equals_the_full_pass(method: Method, batch: Batch) -> None:
    z = draw(method, batch, 1)[0]
    (text, injection), condition, cache = method.read(batch, z), method.condition(batch), method.backbone.cache()
    context = None if condition is None else condition.context
    full = hidden_states(method, batch, z)

    def step(t: int) -> Tensor:
        at = slice(t, t + 1)
        positions = None if injection.positions is None else injection.positions[:, at]
        here = dataclasses.replace(injection, positions=positions)
        return method.backbone.decode(text.inputs[:, at], here, context, cache)

    cached = [step(t) for t in range(full.shape[1])]
    torch.testing.assert_close(torch.cat(cached, 1), full, atol=1e-5, rtol=1e-4)


def test_latents_reach_the_text(method: Method, batch: Batch) -> None:
    needs_latents(method)
    z = draw(method, batch, 1)[0]
    for group in range(most_groups(method, batch)):
        moved = z.clone()
        moved[:, group] += 3.0
        change = (log_likelihood(method, batch, moved) - log_likelihood(method, batch, z)).abs()
        has = ~absent(method, batch)[:, group]
        assert (change[:3][has[:3]] > 1e-6).all(), f"group {group} does not change p(x|z)"
        assert not change[~has].any(), f"texts without group {group} change with it"


def test_conditions_reach_everything(variant: Method, batch: Batch, task: Task) -> None:
    """Every example given the condition of another one: prior, posterior, KL and likelihood change, of each example."""
    if batch.condition is None:
        pytest.skip("unconditional")
    z = draw(variant, batch, 1)[0]
    other = Batch(batch.ids, batch.lengths, task.batch(1, 2, 3, 0).condition)
    before, after = variant.condition(batch), variant.condition(other)
    px = variant.log_likelihood(batch, z, before) - variant.log_likelihood(batch, z, after)
    assert (px.abs() > 1e-5).all(), "p(x|z, c)"
    q = [variant.posterior(b, c).conditional(z) for b, c in ((batch, before), (other, after))]
    p = [variant.prior(z, condition) for condition in (before, after)]
    independent = getattr(variant.options, "dependence", "") == "independent"  # IND: priors are N(0, I), whatever c is
    residual = getattr(variant.options, "residual", False)  # a KL is then of x_t and sigma_t
    for group in range(most_groups(variant, batch)):
        has = ~absent(variant, batch)[:, group]
        for name, (first, second) in (("q(z|x, c)", q), ("p(z|c)", p)):
            for attribute in ("mean", "logvar"):
                change = (getattr(first, attribute) - getattr(second, attribute))[:, group].abs().amax(-1)
                expected = change > 1e-5 if name == "q(z|x, c)" or not independent else change == 0
                assert expected[has].all(), f"{attribute} of {name}, group {group}"
        kl = (q[0].kl(p[0]) - q[1].kl(p[1]))[:, group]
        assert (kl.abs() > (1e-5 if residual or independent else 1e-4))[has].all(), f"KL of group {group}"


def test_one_latent_a_condition(method: Method, batch: Batch, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """The z that is drawn for a condition is drawn from its prior, whatever the others are: here without noise."""
    if batch.condition is None and (method.certain or method.length_nll(batch) is not None):
        pytest.skip("draws of codes, or of lengths, have no noise to leave out; tests/methods/test_davam.py")
    monkeypatch.setattr(torch, "randn", lambda shape, **_: torch.zeros(shape))
    z = method.sample_prior(len(batch), method.condition(batch))
    for i in ROWS:
        alone = method.sample_prior(1, method.condition(task.batch(i)))
        torch.testing.assert_close(z[i : i + 1], alone, atol=1e-5, rtol=1e-4)
    means = method.prior(z, method.condition(batch)).mean
    torch.testing.assert_close(z, means, atol=1e-5, rtol=1e-4)


def test_what_is_generated_has_not_seen_the_text(method: Method, batch: Batch, task: Task) -> None:
    """From the conditions of a batch come the same z and the same texts, whatever texts belong to them."""
    if batch.condition is None:
        pytest.skip("unconditional")
    others = Batch(batch.ids + 5 * (batch.ids > 3), batch.lengths, batch.condition)
    results = []
    for of in (batch, others):
        torch.manual_seed(3)
        condition = method.condition(of)
        z = method.sample_prior(len(of), condition)
        results.append((z, method.decode(z, DECODINGS[1], 12, condition)))
    assert torch.equal(results[0][0], results[1][0]) and results[0][1] == results[1][1]


def test_kl_agrees_with_the_densities(method: Method, batch: Batch) -> None:
    """The closed-form KL, averaged over draws, is the Monte-Carlo mean of log q - log p, group by group."""
    needs_latents(method)
    with torch.no_grad():
        condition = method.condition(batch)
        posterior, z = method.posterior(batch, condition), draw(method, batch, 4000)
        closed = posterior.conditional(z).kl(method.prior(z, condition))
        sampled = posterior.log_prob(z) - method.log_prior(z, condition)
        error = (sampled - closed).std(0) / len(z) ** 0.5
        assert ((sampled - closed).mean(0).abs() < 5 * error + 1e-4).all()


def test_same_seed_same_numbers(method: Method, distinct_name: str, batch: Batch, task: Task) -> None:
    second = build(distinct_name, task)
    for a, b in zip(method.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    results = []
    for same in (method, second):
        torch.manual_seed(3)
        condition = same.condition(batch)
        z = same.sample_prior(len(batch), condition)
        results.append((same.terms(batch), same.decode(z, DECODINGS[1], 12, condition)))
    assert torch.equal(results[0][0].rec, results[1][0].rec) and torch.equal(results[0][0].kl, results[1][0].kl)
    assert results[0][1] == results[1][1]


def test_save_and_load_are_bit_identical(variant: Method, method_name: str, batch: Batch, task: Task, tmp_path) -> None:
    size = task.size.model_dump()
    options = debug_options(method_name)
    config = {"use": method_name, "options": options, "backbone": size, "conditional": task.conditional}
    models.save(variant, config, tmp_path)
    loaded = models.load(tmp_path)
    z = draw(variant, batch, 2)
    torch.testing.assert_close(draw(loaded, batch, 2), z, atol=0, rtol=0, equal_nan=True)
    assert torch.equal(log_likelihood(loaded, batch, z), log_likelihood(variant, batch, z))


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda d: d.strategy)
def test_decoding_prior_posterior_and_interpolation(first: Method, batch: Batch, decoding: Decoding) -> None:
    z, condition = draw(first, batch, 2), first.condition(batch)
    mixed = 0.3 * z[0] + 0.7 * z[1]
    for latent in (first.sample_prior(len(batch), condition), z[0], mixed):
        texts = first.decode(latent, decoding, 10, condition)
        assert len(texts) == len(latent)
        for tokens in texts:
            assert 1 <= len(tokens) <= 9  # BOS is not among them
            assert not {BOS, PAD, UNK} & set(tokens)
            assert EOS not in tokens[:-1] and (tokens[-1] == EOS or len(tokens) == 9)


def test_greedy_decoding_is_the_argmax_of_the_likelihood(method: Method, task: Task) -> None:
    """Each greedy token is the most likely next one by ``log_likelihood``, an independent path through the model."""
    if method.separator is not None:
        pytest.skip("which also writes separators: tests/methods/test_trace_decoding.py")
    one = task.batch(1)
    z = draw(method, one, 1)[0]
    (tokens,) = method.decode(z, DECODINGS[0], 6, method.condition(one))
    allowed = [t for t in range(TINY.vocabulary) if t not in (BOS, PAD, UNK)]
    for t in range(len(tokens)):
        candidates = task.continued([[BOS, *tokens[:t], a] for a in allowed], row=1)
        scores = log_likelihood(method, candidates, z.expand(len(allowed), -1, -1))
        assert scores[allowed.index(tokens[t])] >= scores.max() - 1e-4


def test_importance_weighted_bound(method: Method, task: Task) -> None:
    """-log w is -ELBO on average, NLL_K below it, decreasing in K; exact and without weights where G = 0."""
    plan = Likelihood(importance_samples=100, posterior_samples=4, mi_batch=2)
    stats = statistics(method, task.sequences, plan, seed=0)
    if method.groups == 0:
        np.testing.assert_allclose(stats.nll, stats.rec, rtol=1e-5)
        return
    if method.certain:  # a point has one weight, and the bound is -ELBO, or where all z are listed the likelihood
        listed = method.every_z() is not None
        assert stats.exact == listed and (stats.nll <= stats.nelbo + 1e-5).all()
        assert listed or np.allclose(stats.nll, stats.nelbo, rtol=1e-5)
        assert stats.log_w.shape[1] == 1
        values = registry.load_metric("iw").compute(stats, {})
        assert set(values) == {"ppl", "ppl_word", "nll"}, "of how many samples count there is nothing to say"
        return
    curve = [importance_weighted_nll(stats.log_w, k).sum() for k in (1, 10, 100)]
    assert curve[0] >= curve[1] >= curve[2]
    nelbo, error = _mean_nelbo(method, task.batch(), 400)
    error += stats.log_w.std(axis=1) / 10
    assert (abs(stats.log_w.mean(axis=1) + nelbo) <= 5 * error).all()
    assert (stats.nll <= nelbo + 5 * error).all()
    assert stats.mean.shape == (len(SEQUENCES), most_groups(method, task.batch()), method.options.latent)
    assert stats.used.tolist() == method.used(task.batch()).tolist()
    assert stats.separators.tolist() == method.separators(task.batch()).tolist()
    if task.conditional:  # of which there is no mutual information
        assert not stats.log_q.any() and not stats.log_q_full.any() and not stats.log_q_batch.any()
        return
    assert np.isfinite(stats.log_q_full).all() and stats.log_q_full.any()
    assert (stats.log_q_full >= stats.log_q - np.log(len(SEQUENCES)) - 1e-6).all()  # x_i is one term of its mixture


@torch.no_grad()
def _mean_nelbo(method: Method, batch: Batch, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """[B], rec + KL over posterior samples, each group's KL exact given those before it; and their standard errors."""
    torch.manual_seed(7)
    condition = method.condition(batch)
    posterior = method.posterior(batch, condition)
    z = posterior.sample(draws)
    found = posterior.conditional(z).kl(method.prior(z, condition)).sum(-1)
    found = found - method.log_likelihood(batch, z, condition)
    if (length := method.length_nll(batch)) is not None:
        found = found + length
    return found.double().mean(0).numpy(), (found.double().std(0) / draws**0.5).numpy()


@torch.no_grad()
def test_importance_weights_are_the_same_in_company(
    method: Method, batch: Batch, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several texts at once, as on a GPU: with the same noise each has the weights it has alone, padded or not."""
    monkeypatch.setattr(torch, "randn", lambda shape, **kind: torch.full(shape, 0.7))
    together = importance_weights(method, padded(batch, PAD), 3)
    for row in ROWS:
        alone = importance_weights(method, task.batch(row), 3)
        for part, own in zip(together, alone, strict=True):
            np.testing.assert_allclose(part[row], own[0], atol=1e-4, rtol=1e-5)


def test_statistics_are_in_the_order_of_the_data(method: Method, task: Task) -> None:
    """Batches are sorted by length, of text and condition together; what is measured goes back to its own row."""
    stats = statistics(method, task.sequences, Likelihood(importance_samples=2), seed=0)
    assert stats.predicted.tolist() == [len(sequence) - 1 for sequence in SEQUENCES]
    for row in ROWS:
        alone = task.batch(row)
        if method.groups:  # the first group's mean does not depend on a draw
            condition = method.condition(alone)
            mean = method.posterior(alone, condition).mean
            if task.conditional:  # means then count from the prior's
                mean = mean - method.prior(mean, condition).mean
            np.testing.assert_allclose(stats.mean[row, 0], mean[0, 0].detach(), atol=1e-5, rtol=1e-4)
        else:
            np.testing.assert_allclose(stats.rec[row], method.terms(alone).rec.item(), rtol=1e-5)


def test_options_are_typed(method_name: str) -> None:
    for option, value, complaint in (
        ("latnt", 3, "unknown key 'latnt'; did you mean 'latent'"),
        ("latent", "many", "'latent' is 'many'"),
        ("annealing", "cyclic", "'annealing' is 'cyclic'"),
    ):
        with pytest.raises(BenchError, match=complaint):
            models.build(MethodSpec(use=method_name, options={option: value}), TINY, 0)


def test_options_are_a_frozen_dataclass(first: Method) -> None:
    assert dataclasses.is_dataclass(first.options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.options.latent = 3  # type: ignore[misc]
