"""The latent variables of TRACE's segments: posteriors one after the other (Eq. 10), all at once (Eq. 12-14), and what
keeps them from collapsing (Eq. 11, Theorem 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import BenchError
from bench.methods.base import Condition
from bench.methods.gaussian import Gaussian, only_present
from bench.segments import Segments

if TYPE_CHECKING:
    from bench.methods.trace import Trace, TraceOptions


@dataclass(frozen=True)
class Reading(Condition):
    """A batch of texts as their priors and posteriors read it; of T segments at most.

    Attributes
    ----------
    segments: the texts with [SEP]s.
    given_text: [B, T, 2D], what x_<t (with the condition) adds to the mean and log-variance of the prior of z_t.
    given_z: [2D, D], the weights that z_{t-1} adds to them with. Taken once a batch: with spectral normalisation each
        look at them is a power iteration.
    own: [B, T, 2D], what x_t adds to, or makes of, the mean and log-variance of the posterior of z_t.
    """

    segments: Segments = field(kw_only=True)
    given_text: Tensor = field(kw_only=True)
    given_z: Tensor = field(kw_only=True)
    own: Tensor = field(kw_only=True)


class RecurrentPosterior:
    """q(z_1 ... z_T | x) = prod_t q(z_t | z_{t-1}, x_<=t) of a batch, Eq. 7; N(0, I) of segments that are not there."""

    def __init__(self, method: Trace, reading: Reading) -> None:
        self.method, self.reading = method, reading

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        own = self.reading.own
        shape = (k, *own.shape[:2], self.method.options.latent)
        noise = torch.randn(shape, generator=generator, device=own.device, dtype=own.dtype)
        if self.method.training and self.method.options.parallel:
            xi = torch.randn(shape, generator=generator, device=own.device, dtype=own.dtype)
            z = parallel_samples(self.reading, noise, xi)
        else:
            z = self._ancestral(noise)
        return torch.where(self.reading.segments.present[..., None], z, noise)

    def _ancestral(self, noise: Tensor | None) -> Tensor:
        """z_t = mu_t + sigma_t * noise_t, one after the other; the conditional means without noise."""
        own, text = self.reading.own.unbind(1), self.reading.given_text.unbind(1)
        lead = own[0].shape[:-1] if noise is None else noise.shape[:-2]
        z, drawn = own[0].new_zeros(*lead, self.method.options.latent), []
        for t in range(len(own)):
            q = self.method.posterior_at(z, self.reading, own[t], text[t])
            z = q.mean if noise is None else torch.addcmul(q.mean, (0.5 * q.logvar).exp(), noise[..., t, :])
            drawn.append(z)
        return torch.stack(drawn, -2)

    def conditional(self, z: Tensor) -> Gaussian:
        q = self.method.posterior_at(previous(z), self.reading, self.reading.own, self.reading.given_text)
        return only_present(self.reading.segments.present, q)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.conditional(z).log_prob(z)

    @property
    def mean(self) -> Tensor:
        return torch.where(self.reading.segments.present[..., None], self._ancestral(None), 0)

    @property
    def logvar(self) -> Tensor:
        return self.conditional(self.mean).logvar


def parallel_samples(reading: Reading, epsilon: Tensor, xi: Tensor) -> Tensor:
    """Eq. 12-14: z_t = v_t + sum_{i<t} u_i for all t at once, with noises [K, B, T, D].

    The paper's sigma is exp(f_sigma + g_sigma) (Eq. 27); ours, of log-variances, is the exponential of half of them,
    and exp(a) ~ 1 + a. Products of (W_mu1 + W_sigma1 * epsilon_j) over j are taken for one such factor (Eq. 34-36):
    true for idempotent matrices and one noise shared by all steps.
    """
    mean, logvar = (reading.given_text + reading.own).chunk(2, -1)
    w_mean, w_logvar = reading.given_z.chunk(2)
    v = mean + epsilon + 0.5 * logvar * epsilon  # Eq. 13
    u = F.linear(v, w_mean) + 0.5 * F.linear(v, w_logvar) * xi  # Eq. 14
    return v + u.cumsum(-2) - u  # Eq. 12


class Normalise(nn.Module):
    """gamma * normalised + bias with gamma fixed, on the mean half of [..., 2D] (Eq. 11, Theorem 1) or on both halves.

    "layer" makes the D numbers of one mean have mean 0 and variance 1; "batch" those of one dimension over all segments
    of a batch, and in evaluation by the running statistics of training. eps is below any variance, or the promised
    scale would not be reached.
    """

    def __init__(self, options: TraceOptions) -> None:
        super().__init__()
        self.kind, self.gamma, width = options.normalisation, options.gamma, options.latent
        self.halves = 2 if options.normalised == "both" else 1
        made = self.kind != "none"
        self.bias = nn.Parameter(torch.zeros(self.halves * width)) if made else None
        self.batch = nn.BatchNorm1d(self.halves * width, eps=1e-12, affine=False) if self.kind == "batch" else None

    def forward(self, parameters: Tensor, present: Tensor) -> Tensor:
        """[..., 2D], and [...] True at the segments there are."""
        if self.bias is None:
            return parameters
        raw = parameters[..., : len(self.bias)]
        if self.batch is None:
            scaled = F.layer_norm(raw.unflatten(-1, (self.halves, -1)), (raw.shape[-1] // self.halves,), eps=1e-12)
            scaled = scaled.flatten(-2)
        else:
            if self.training and int(present.sum()) < 2:
                raise BenchError(
                    "normalisation: batch: a batch of one segment has no variance; set a larger batch_size"
                )
            scaled = torch.zeros_like(raw).masked_scatter(present[..., None], self.batch(raw[present]))
        return torch.cat([self.gamma * scaled + self.bias, parameters[..., len(self.bias) :]], -1)


def previous(z: Tensor) -> Tensor:
    """z_{t-1} of every z_t of [..., G, D]; zeros before the first."""
    return F.pad(z[..., :-1, :], (0, 0, 1, 0))
