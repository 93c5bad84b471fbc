"""DELLA's equations, written out a second time with loops, against the implementation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import model as models
from bench import objectives
from bench.backbones.base import NOTHING
from bench.batch import Batch, collate
from bench.errors import BenchError
from bench.methods.della import Della, DellaOptions, TensorProduct
from bench.schema import MethodSpec

from .conftest import SEQUENCES, TINY, TRANSFORMERS, UNCONDITIONAL, Task, perturb

P, D = 32, TINY.width


def tanh(x: np.ndarray) -> np.ndarray:
    return (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)


def weight(module: torch.nn.Linear) -> np.ndarray:
    return module.weight.detach().double().numpy()


def bias(module: torch.nn.Linear) -> np.ndarray:
    return module.bias.detach().double().numpy()


def made(task: Task = UNCONDITIONAL, use: str = "della", **options: object) -> Della:
    """Perturbed, so that nothing is 0 or the identity."""
    method = models.build(MethodSpec(use=use, options=options), task.size, 0, task.conditional)
    perturb(method)
    assert isinstance(method, Della)
    return method.eval()


Moments = tuple[np.ndarray, np.ndarray]  # mean and log-variance


def by_hand(method: Della, batch: Batch, row: int, z: np.ndarray) -> Iterator[tuple[Moments, Moments]]:
    """p(z_l | z_<l, c) and q(z_l | z_<l, x, c) of one example at z [G, P], group by group, with z_<l by Eq. 7."""
    options, layers = method.options, list(method.layers)
    layers = layers[-1:] if options.latents == "single" else layers
    lower = np.zeros(P)
    for group, layer in enumerate(layers):
        if group > 0:
            inner = weight(method.w_ih[group - 1]) @ z[group - 1] if options.latents == "layerwise" else None
            if group > 1 and inner is not None:
                inner += weight(method.w_hh[group - 2]) @ lower
            lower = lower if inner is None else tanh(inner)
        known = [lower] if options.latents == "layerwise" else []
        c = [] if batch.condition is None else [pooled(method, group, layer, batch.condition, row)]
        x = pooled(method, group, layer, batch, row)
        has_prior = batch.condition is not None or (group > 0 and options.latents == "layerwise")
        prior = affine(method.w_p[str(group)], [*known, *c]) if has_prior else (np.zeros(P), np.zeros(P))
        yield prior, affine(method.w_q[group], [*known, x, *c])


def pooled(method: Della, group: int, layer: int, batch: Batch, row: int) -> np.ndarray:
    """x^(l) or c^(l): the states of that layer, weighted by the pooling of that group."""
    states = method.backbone.encode(batch.ids, batch.mask)[layer][row, : batch.lengths[row]]
    states, score = states.detach().double().numpy(), method.pooling[group].score
    weights = np.exp(tanh(states @ weight(score)[0] + bias(score)))
    return weights @ states / weights.sum()


def affine(module: torch.nn.Linear, inputs: list[np.ndarray]) -> Moments:
    mean, logvar = np.split(weight(module) @ np.concatenate(inputs) + bias(module), 2)
    return mean, np.clip(logvar, -5, 5)


@pytest.mark.parametrize("task", TRANSFORMERS.values(), ids=TRANSFORMERS)
@pytest.mark.parametrize(
    ("options", "groups"),
    [({}, 3), ({"latents": "separate"}, 3), ({"latents": "single"}, 1), ({"fusion": "memory"}, 3), ({"start": 2}, 2),
     ({"end": 2}, 2), ({"start": 2, "end": 2}, 1), ({"end": 2, "latents": "single"}, 1)],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)  # fmt: skip
def test_equations_7_8_and_12(options: dict[str, object], groups: int, task: Task) -> None:
    """Prior and posterior of the whole model, of its ablations (Table 4) and of some of its layers (Fig. 2)."""
    method, batch = made(task, **options), task.batch()
    assert method.groups == groups
    z = torch.randn(len(batch), groups, P, generator=torch.Generator().manual_seed(3))
    condition = method.condition(batch)
    prior, posterior = method.prior(z, condition), method.posterior(batch, condition).conditional(z)
    for row in range(len(batch)):
        for group, expected in enumerate(by_hand(method, batch, row, z[row].double().numpy())):
            for ours, (mean, logvar) in zip((prior, posterior), expected, strict=True):
                np.testing.assert_allclose(ours.mean[row, group].detach(), mean, atol=1e-5)
                np.testing.assert_allclose(ours.logvar[row, group].detach(), logvar, atol=1e-5)


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


def test_aggregated_posterior_pairs_equal_one_by_one() -> None:
    """log q(z_i|x_j) by broadcasting equals evaluating x_j alone, for every pair."""
    della, batch = made(), collate(SEQUENCES)
    torch.manual_seed(1)
    z = della.posterior(batch).sample(1)[0]
    pairs = della.posterior(batch).log_prob(z[:, None])  # [I, J, G]
    for j, sequence in enumerate(SEQUENCES):
        alone = della.posterior(collate([sequence])).log_prob(z[:, None])[:, 0]
        torch.testing.assert_close(pairs[:, j], alone, atol=1e-3, rtol=1e-4)


def test_separate_latents_do_not_depend_on_each_other() -> None:
    method, batch = made(use="della-separate"), collate(SEQUENCES)
    z = torch.randn(len(batch), 3, P)
    moved = torch.cat([z[:, :1] + 2, z[:, 1:]], 1)
    posterior = method.posterior(batch)
    assert torch.equal(posterior.conditional(moved).mean, posterior.conditional(z).mean)
    assert torch.equal(method.prior(moved).mean, torch.zeros_like(z))
    assert not len(method.w_ih) and not len(method.w_hh) and not len(method.w_p)
    layerwise = made()
    assert not torch.equal(layerwise.prior(moved).mean[:, 1], layerwise.prior(z).mean[:, 1])


def test_one_latent_is_fused_in_every_layer() -> None:
    method = made(use="della-lw")
    z, v = torch.randn(2, 1, P), torch.randn(2, 5, D)
    injection = method.inject(z)
    assert injection.memory is None and injection.value is not None and len(method.fusion) == 3
    for layer, fuse in enumerate(method.fusion):
        torch.testing.assert_close(injection.value[layer](v), fuse.at(z[:, 0])(v))  # type: ignore[misc]


def test_without_the_tensor_product_latents_are_memory() -> None:
    method, z = made(use="della-ltp"), torch.randn(2, 3, P)
    injection = method.inject(z)
    assert injection.value is None and injection.memory is not None
    for layer in range(3):
        slot = injection.memory[layer]
        assert slot is not None and slot.shape == (2, 1, D)
        expected = z[1, layer].double().numpy() @ weight(method.fusion[layer]).T + bias(method.fusion[layer])
        np.testing.assert_allclose(slot[1, 0].detach(), expected, atol=1e-5)


@pytest.mark.parametrize("fusion", ["tensor_product", "memory"])
@pytest.mark.parametrize(("start", "end", "touched"), [(1, 0, [0, 1, 2]), (2, 0, [1, 2]), (1, 2, [0, 1]), (2, 2, [1])])
def test_only_layers_from_start_to_end_are_touched(fusion: str, start: int, end: int, touched: list[int]) -> None:
    """Seen from the attention: below the first layer that is touched, queries are those of the plain model."""
    method, batch = made(fusion=fusion, start=start, end=end), collate(SEQUENCES)
    injection = method.inject(torch.randn(len(batch), method.groups, P))
    places = injection.memory if fusion == "memory" else injection.value
    assert places is not None and [layer for layer, place in enumerate(places) if place is not None] == touched
    seen: list[list[Tensor]] = [[], []]
    for record, injected in zip(seen, (injection, NOTHING), strict=True):
        method.backbone.decode(batch.inputs, injected, watch=lambda layer, q, k, allowed, r=record: r.append(q))
    same = [torch.equal(fused, plain) for fused, plain in zip(*seen, strict=True)]
    assert same == [layer <= touched[0] for layer in range(3)]


def test_each_layer_is_fused_with_its_own_latent_variable() -> None:
    """With layers 2 and 3: moving z of one group changes the values of that group's layer and of no other."""
    method, v = made(start=2), torch.randn(2, 4, D)
    z = torch.randn(2, 2, P)
    before = method.inject(z).value
    for group, layer in enumerate((1, 2)):
        moved = z.clone()
        moved[:, group] += 1
        after = method.inject(moved).value
        assert before is not None and after is not None
        same = {at: torch.equal(before[at](v), after[at](v)) for at in (1, 2)}
        assert same == {at: at != layer for at in (1, 2)}


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 2), (1, 4), (4, 0)])
def test_layers_that_are_not_there_are_refused(start: int, end: int) -> None:
    with pytest.raises(BenchError, match=f"layers {start} to {end or 3} of a backbone of 3"):
        made(start=start, end=end)


@pytest.mark.parametrize(
    ("use", "kept", "without_prior", "as_rec"),
    [("della-kl-first", 0, [1, 2], [1, 2]), ("della-kl-last", 2, [1], [])],
)
def test_the_kl_of_one_group_is_trained_on(use: str, kept: int, without_prior: list[int], as_rec: list[int]) -> None:
    """Gradients of the loss: none into the priors of other groups, and none but rec's into what comes after the group.

    The last group's KL is taken at draws of all lower ones, so those posteriors are trained by it.
    """
    method, batch = made(use=use), collate(SEQUENCES)

    def gradients(reduction: str | None) -> tuple[Tensor, dict[str, Tensor]]:
        method.zero_grad()
        terms = method.terms(batch, torch.Generator().manual_seed(0))
        loss = terms.rec.mean() if reduction is None else objectives.loss(terms, 1.0, reduction)
        loss.backward()
        by_loss = (terms.rec + terms.kl[:, kept]).mean()
        return loss - by_loss, {n: p.grad for n, p in method.named_parameters() if p.grad is not None}

    difference, trained = gradients(method.options.kl_reduction)
    _, by_rec = gradients(None)
    assert difference.abs() < 1e-4
    for group in range(3):
        name = f"w_q.{group}.weight"
        assert torch.allclose(trained[name], by_rec[name], atol=1e-6) == (group in as_rec), name
        if group:
            assert trained[f"w_p.{group}.weight"].any() == (group not in without_prior)
