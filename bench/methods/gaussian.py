"""Diagonal Gaussians and the posteriors made of them: the arithmetic that latent variables share.

A latent is ``z[..., B, G, D]``, as in bench/methods/base.py. Densities and divergences are in nats, of each group:
whether groups are summed (the bound) or averaged (some papers' arithmetic) is never decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian over the last dimension: ``mean`` and ``logvar`` [..., D]."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Reparameterised draw, [..., D]."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + noise * (0.5 * self.logvar).exp()

    def log_prob(self, z: Tensor) -> Tensor:
        """log N(z; mean, exp(logvar)), nats, summed over D: [...]."""
        squared = (z - self.mean) ** 2 * torch.exp(-self.logvar)
        return -0.5 * (squared + self.logvar + math.log(2 * math.pi)).sum(-1)

    def kl_dims(self, other: Gaussian) -> Tensor:
        """KL(self || other) of each dimension in closed form, nats: [..., D]."""
        ratio = self.logvar - other.logvar
        scaled = (self.mean - other.mean) ** 2 * torch.exp(-other.logvar)
        return 0.5 * (ratio.exp() + scaled - 1 - ratio)

    def kl(self, other: Gaussian) -> Tensor:
        """KL(self || other) in closed form, nats, summed over D: [...]."""
        return self.kl_dims(other).sum(-1)


def split_gaussian(parameters: Tensor, clamp: float | None = None) -> Gaussian:
    """[..., 2D] -> mean and logvar halves; logvar clamped to [-clamp, clamp] where asked."""
    mean, logvar = parameters.chunk(2, dim=-1)
    return Gaussian(mean, logvar if clamp is None else logvar.clamp(-clamp, clamp))


def standard_normal(z: Tensor) -> Gaussian:
    """N(0, I) in the shape of z."""
    return Gaussian(torch.zeros_like(z), torch.zeros_like(z))


def groups_present(used: Tensor, groups: int) -> Tensor:
    """[B, G], True at the groups (segments, steps) that each text has, of ``used`` [B] how many."""
    return torch.arange(groups, device=used.device) < used[:, None]


def mark_absent(z: Tensor, present: Tensor) -> Tensor:
    """NaN in z [..., B, G, D] at the groups that [B, G] says are not there."""
    return torch.where(present[..., None], z, torch.nan)


def only_present(present: Tensor, gaussian: Gaussian) -> Gaussian:
    """N(0, I) where [B, G] says that a text has no such group: the same under prior and posterior, so it adds 0."""
    mean, logvar = (torch.where(present[..., None], part, 0) for part in (gaussian.mean, gaussian.logvar))
    return Gaussian(mean, logvar)


class Posterior(Protocol):
    """q(z|x) = prod_g q(z_g | z_<g, x) for the B examples of one batch.

    Its Gaussians may be another family's distributions with the same methods (bench/methods/codebook.py).
    """

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        """K ancestral draws, [K, B, G, D], reparameterised."""
        ...

    def conditional(self, z: Tensor) -> Gaussian:
        """The Gaussians q(z_g | z_<g, x) at the given z [..., B, G, D] (z may broadcast over B)."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z_g | z_<g, x), [..., B, G]."""
        ...

    @property
    def mean(self) -> Tensor:
        """[B, G, D] conditional means, lower groups at their means."""
        ...

    @property
    def logvar(self) -> Tensor:
        """[B, G, D] conditional log-variances, lower groups at their means."""
        ...


@dataclass(frozen=True)
class IndependentPosterior:
    """Groups that do not depend on each other: one Gaussian [B, G, D]."""

    gaussian: Gaussian

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        shape = (k, *self.gaussian.mean.shape)
        return Gaussian(self.gaussian.mean.expand(shape), self.gaussian.logvar.expand(shape)).sample(generator)

    def conditional(self, z: Tensor) -> Gaussian:
        shape = torch.broadcast_shapes(z.shape, self.gaussian.mean.shape)
        return Gaussian(self.gaussian.mean.expand(shape), self.gaussian.logvar.expand(shape))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.gaussian.log_prob(z)

    @property
    def mean(self) -> Tensor:
        return self.gaussian.mean

    @property
    def logvar(self) -> Tensor:
        return self.gaussian.logvar
