"""Sampling all segments at once (TRACE Eq. 12-14) beside the recurrence, and the limits in which they are equal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.batch import Batch, Sequences
from bench.methods.recurrent import Reading, parallel_samples
from bench.methods.trace import Trace
from bench.segments import Segments
from bench.vocabulary import BOS, EOS

from .conftest import perturb
from .trace_cases import TASKS, fresh


def reading(w_mean: Tensor, w_logvar: Tensor, mean: Tensor, logvar: Tensor) -> Reading:
    """Eq. 13's parts, and W of Eq. 14 with sigma = exp(half a log-variance); mean, logvar [B, T, D]."""
    own = torch.cat([mean, logvar], -1)
    nothing = Segments(Batch(torch.zeros(1, 1), torch.ones(1)), *(torch.zeros(1),) * 3)
    return Reading(
        None, segments=nothing, given_text=torch.zeros_like(own), given_z=torch.cat([w_mean, w_logvar]), own=own
    )


def projection(d: int, rank: int) -> Tensor:
    torch.manual_seed(1)
    q, _ = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))
    return q[:, :rank] @ q[:, :rank].T


def recurrence(of: Reading, epsilon: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
    """z_t = mu_t + sigma_t * epsilon_t, one after the other (Eq. 27)."""
    w_mean, w_logvar = of.given_z.chunk(2)
    z, drawn = torch.zeros_like(epsilon[..., 0, :]), []
    for t in range(epsilon.shape[-2]):
        mean, logvar = of.own[:, t].chunk(2, -1)
        z = z @ w_mean.T + mean + sigma(0.5 * (z @ w_logvar.T + logvar)) * epsilon[..., t, :]
        drawn.append(z)
    return torch.stack(drawn, -2)


def parts(scale: float, t: int = 9, d: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    mean, logvar, epsilon = (torch.randn(2, t, d, generator=generator, dtype=torch.float64) for _ in range(3))
    return mean, scale * logvar, epsilon[None]


def test_parallel_is_the_recurrence_where_w_is_idempotent_and_sigma_is_linear() -> None:
    """Eq. 34-36 are exact for W_mu1 a projection and W_sigma1 = 0: to 1e-12 with exp(a) = 1 + a, as Eq. 28 has it."""
    mean, logvar, epsilon = parts(1.0)
    of = reading(projection(6, 3), torch.zeros(6, 6, dtype=torch.float64), mean, logvar)
    expected = recurrence(of, epsilon, lambda a: 1 + a)
    torch.testing.assert_close(parallel_samples(of, epsilon, torch.randn_like(epsilon)), expected, atol=1e-12, rtol=0)


def test_parallel_is_the_recurrence_for_one_noise_shared_by_all_steps() -> None:
    """W_mu1 + diag(xi / 2) W_sigma1 a projection, every epsilon_j = xi: one factor is then all of Eq. 34, to 1e-12."""
    mean, logvar, epsilon = parts(1.0)
    xi = epsilon[:, :1, :1].expand_as(epsilon)
    whole = projection(6, 3)
    w_logvar = 2 * torch.diag(1 / xi[0, 0, 0]) @ whole / 2
    of = reading(whole / 2, w_logvar, mean, logvar)
    expected = recurrence(of, xi, lambda a: 1 + a)
    torch.testing.assert_close(parallel_samples(of, xi, xi), expected, atol=1e-10, rtol=0)


def test_parallel_as_the_paper_writes_it() -> None:
    """Eq. 12-14, one step after the other, any matrices, xi a noise of its own; sigma from half a log-variance."""
    mean, logvar, epsilon = parts(1.0)
    generator = torch.Generator().manual_seed(4)
    xi = torch.randn(epsilon.shape, generator=generator, dtype=torch.float64)
    w_mean, w_logvar = (torch.randn(6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    made = parallel_samples(reading(w_mean, w_logvar, mean, logvar), epsilon, xi)
    for row in range(len(mean)):
        total = torch.zeros(6, dtype=torch.float64)
        for t in range(mean.shape[1]):
            v = mean[row, t] + epsilon[0, row, t] + logvar[row, t] / 2 * epsilon[0, row, t]
            torch.testing.assert_close(made[0, row, t], v + total, atol=1e-10, rtol=0)
            total += w_mean @ v + (w_logvar / 2) @ v * xi[0, row, t]


def test_the_two_noises_of_parallel_sampling_are_independent() -> None:
    """E z_2 = E v_2 + W_mu1 E v_1; were xi epsilon, W_sigma1 = 2 I would add E (sigma_1 epsilon_1) epsilon_1 to it."""
    method = fresh(segment_length=2, parallel=True).train()
    assert isinstance(method.w_logvar, torch.nn.Linear)
    with torch.no_grad():
        method.w_logvar.weight.copy_(2 * torch.eye(4))
    batch = TASKS["gpt2"].batch(2)
    found = method.condition(batch)
    mean, logvar = (found.given_text + found.own).chunk(2, -1)
    expected = mean[0, 1] + method.w_mean(mean[0, 0])  # type: ignore[misc]
    assert (1 + logvar / 2).min() > 0.5, "what would be added"
    torch.manual_seed(0)
    made = method.posterior(batch).sample(20000)[:, 0, 1].mean(0)
    torch.testing.assert_close(made, expected, atol=0.2, rtol=0)


def test_parallel_approaches_trace_r_as_log_variances_vanish() -> None:
    """With the true exp the error is that of exp(a) ~ 1 + a: halve the log-variances and a quarter of it is left."""
    errors = []
    for scale in (0.2, 0.1, 0.05):
        mean, logvar, epsilon = parts(scale)
        of = reading(projection(6, 3), torch.zeros(6, 6, dtype=torch.float64), mean, logvar)
        made = parallel_samples(of, epsilon, torch.randn_like(epsilon))
        errors.append(float((made - recurrence(of, epsilon, torch.exp)).abs().max()))
    assert errors[2] < 2e-2
    assert 3.5 < errors[0] / errors[1] < 4.5 and 3.5 < errors[1] / errors[2] < 4.5


def test_trace_p_is_trace_r_in_that_limit() -> None:
    """The methods: same weights (idempotent W_mu1, no W_sigma1, log-variances near 0), same noise, to 1e-3."""
    method = fresh(segment_length=1, parallel=True)
    perturb(method)
    assert isinstance(method.w_mean, torch.nn.Linear) and isinstance(method.w_logvar, torch.nn.Linear)
    assert method.f is not None
    with torch.no_grad():
        method.w_mean.weight.copy_(projection(4, 2))
        method.w_logvar.weight.zero_()
        for layer in (method.f, method.g):
            layer.weight[4:] *= 1e-3
            layer.bias[4:] *= 1e-3
    batch = TASKS["gpt2"].batch()
    with torch.no_grad():
        at_once = _sampled(method.train(), batch)
        one_by_one = _sampled(method.eval(), batch)
    has = method.segmented(batch).present
    torch.testing.assert_close(at_once[0][has], one_by_one[0][has], atol=1e-3, rtol=1e-3)
    assert one_by_one[0][has].abs().max() > 3, "nothing of this is trivially 0"


def _sampled(method: Trace, batch: Batch) -> Tensor:
    torch.manual_seed(5)
    return method.posterior(batch).sample(1)


class Count(TorchDispatchMode):
    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls += 1
        return func(*args, **(kwargs or {}))


def test_sampling_at_once_has_no_loop_over_segments() -> None:
    """As many operations for 20 segments as for 2, forward and backward; one after the other takes more with each."""

    def operations(parallel: bool, segments: int) -> int:
        method = fresh(segment_length=1, parallel=parallel).train()
        batch = Sequences([[BOS, *range(10, 10 + segments), EOS]]).batch([0])
        posterior = method.posterior(batch)
        with Count() as count:
            posterior.sample(1).sum().backward()
        return count.calls

    assert operations(True, 20) == operations(True, 2)
    assert operations(False, 20) > operations(False, 2) + 18 * 5
