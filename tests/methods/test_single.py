"""What methods with one latent variable share, by hand, and the batch norm of posterior means by what it promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.errors import BenchError
from bench.likelihood import statistics
from bench.methods.single import MeanNorm
from bench.metrics.au import active_units
from bench.schema import Likelihood

from .conftest import TRANSFORMERS, UNCONDITIONAL, Task, build

D = 32
EXAMPLE = f"{Path(__file__).parents[2] / 'docs' / 'examples' / 'memory_softmax.py'}:MemorySoftmax"


@pytest.mark.parametrize("task", TRANSFORMERS.values(), ids=TRANSFORMERS)
@pytest.mark.parametrize("name", ["embed", "memory", "softmax", "softmax-logits"])
def test_posterior_and_prior_of_the_last_layer(name: str, task: Task) -> None:
    """Unconditional: W_q x and N(0, I). Conditional: W_q [x; c] and W_p c (DELLA Eq. 12, one layer)."""
    method, batch = build(name, task), task.batch()
    encoder, condition, z = method.encoder, method.condition(batch), torch.randn(len(batch), 1, D)
    pooled = [
        encoder.pooling(method.backbone.encode(of.ids, of.mask)[-1], of.mask)
        for of in (batch, batch.condition)
        if of is not None
    ]
    expected = encoder.w_q(torch.cat(pooled, -1)).split(D, -1)
    posterior, prior = method.posterior(batch, condition), method.prior(z, condition)
    torch.testing.assert_close((posterior.mean[:, 0], posterior.logvar[:, 0]), expected)
    expected = encoder.w_p(pooled[1]).split(D, -1) if task.conditional else (torch.zeros(len(batch), D),) * 2
    torch.testing.assert_close((prior.mean[:, 0], prior.logvar[:, 0]), expected)


@pytest.mark.parametrize("task", TRANSFORMERS.values(), ids=TRANSFORMERS)
def test_the_example_of_the_docs_is_a_method_on_every_backbone(task: Task) -> None:
    method, batch = build(EXAMPLE, task), task.batch()
    condition = method.condition(batch)
    z = method.posterior(batch, condition).sample(2)
    assert method.log_likelihood(batch, z, condition).isfinite().all()


def test_normalised_means_have_a_second_moment_of_one() -> None:
    torch.manual_seed(0)
    norm, means = MeanNorm(5).train(), 3 + 2 * torch.randn(64, 5)
    out = norm(means)
    torch.testing.assert_close(out.square().mean(0), torch.ones(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm(100 * means + 7), out, atol=1e-4, rtol=0)
    with torch.no_grad():
        norm.bias.copy_(torch.arange(5.0))
    torch.testing.assert_close(norm(means), out + torch.arange(5.0))
    torch.testing.assert_close(norm(means).square().mean(0), 1 + torch.arange(5.0) ** 2, atol=1e-3, rtol=0)
    assert dict(norm.named_parameters()).keys() == {"bias"}, "the scale is not learned"


@pytest.mark.parametrize("name", ["embed+annealing+bn", "memory+annealing+bn", "softmax+annealing+bn"])
def test_the_kl_of_a_training_batch_is_at_least_half_the_dimensions(name: str) -> None:
    """Even where the encoder says nothing: means of a thousandth, log-variances of 0."""
    method, batch = build(name).train(), UNCONDITIONAL.batch()
    assert method.terms(batch).kl.mean() >= D / 2
    with torch.no_grad():
        method.encoder.normalise.bias.zero_()
        method.encoder.w_q.weight[:D] *= 1e-3
        method.encoder.w_q.weight[D:], method.encoder.w_q.bias[D:] = 0.0, 0.0
    torch.testing.assert_close(method.terms(batch).kl.mean(), torch.tensor(D / 2), atol=2e-2, rtol=0)


def test_a_posterior_that_follows_its_prior_is_not_active_however_much_both_vary_with_the_condition() -> None:
    """q(z|x, c) = p(z|c) by its weights: [x; c] -> W_p c."""
    task = TRANSFORMERS["gpt2-prompt"]
    method = build("embed", task)
    with torch.no_grad():
        encoder, d = method.encoder, method.backbone.width
        encoder.w_q.weight[:, :d] = 0
        encoder.w_q.weight[:, d:] = encoder.w_p.weight.mul_(50)
        encoder.w_q.bias.copy_(encoder.w_p.bias)
        assert method.posterior(task.batch(), method.condition(task.batch())).mean.var(0).max() > 0.2
    stats = statistics(method, task.sequences, Likelihood(importance_samples=2), seed=0)
    assert stats.conditional and abs(stats.kl).max() < 1e-5
    assert active_units(stats, 0.01).sum() == 0


def test_a_batch_of_one_text_is_one_clear_line() -> None:
    with pytest.raises(BenchError, match="a batch of one text has no variance; set a larger batch_size"):
        MeanNorm(5).train()(torch.randn(1, 5))


def test_evaluation_takes_the_statistics_of_training() -> None:
    torch.manual_seed(0)
    norm = MeanNorm(5).train()
    for _ in range(300):
        norm(2 + 3 * torch.randn(64, 5))
    norm.eval()
    means = torch.randn(8, 5)
    torch.testing.assert_close(norm(means)[3:4], norm(means[3:4]))
    torch.testing.assert_close(norm(means), (means - 2) / 3, atol=0.2, rtol=0)
