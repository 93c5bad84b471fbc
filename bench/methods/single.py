"""What the single-latent Transformer VAEs share: one z from the pooled last encoder state, prior N(0, I) or p(z|c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.backbones.base import Backbone, make_pooling
from bench.batch import Batch
from bench.errors import BenchError
from bench.methods.base import Condition, MethodOptions, linear
from bench.methods.gaussian import Gaussian, IndependentPosterior, split_gaussian, standard_normal


@dataclass(frozen=True)
class SingleOptions(MethodOptions):
    """Options of a method with one latent group.

    Attributes
    ----------
    pooling: how encoder states become one vector; DELLA's text says first token, its code attention.
    batch_norm: normalise posterior means over the batch, with a fixed scale of 1 (BN-VAE; DELLA Table 5).
    """

    pooling: Literal["attention", "first_token"] = "attention"
    batch_norm: bool = False


class SingleEncoder(nn.Module):
    """q(z|x) and p(z), one group (G = 1), pooled states x and c of the last layer.

    Unconditional: q = N(mu, sigma^2 I) with [mu; log sigma^2] = W_q x, p = N(0, I). Conditional (DELLA Eq. 11-12 for
    one layer): [mu; log sigma^2] = W_q [x; c] and W_p c.
    """

    def __init__(self, backbone: Backbone, options: SingleOptions) -> None:
        super().__init__()
        d, p, conditional = backbone.width, options.latent, backbone.conditional
        self.pooling = make_pooling(options.pooling, d)
        self.w_q = linear(2 * d if conditional else d, 2 * p)
        self.w_p = linear(d, 2 * p) if conditional else None
        self.normalise = MeanNorm(p) if options.batch_norm else nn.Identity()

    def forward(self, backbone: Backbone, batch: Batch, condition: Condition | None) -> IndependentPosterior:
        """The posterior of a batch, Gaussian [B, 1, D]."""
        x = self.pooling(backbone.encode(batch.ids, batch.mask)[-1], batch.mask)
        gaussian = split_gaussian(self.w_q(x if condition is None else torch.cat([x, self._pooled(condition)], -1)))
        return IndependentPosterior(Gaussian(self.normalise(gaussian.mean)[:, None], gaussian.logvar[:, None]))

    def prior(self, z: Tensor, condition: Condition | None) -> Gaussian:
        """p(z) or p(z|c) in the shape of z [..., B, 1, D]."""
        if condition is None or self.w_p is None:
            return standard_normal(z)
        gaussian = split_gaussian(self.w_p(self._pooled(condition)))
        return Gaussian(gaussian.mean[:, None].expand_as(z), gaussian.logvar[:, None].expand_as(z))

    def _pooled(self, condition: Condition) -> Tensor:
        return self.pooling(condition.states[-1], condition.mask)


class MeanNorm(nn.Module):
    """mu -> (mu - batch mean) / batch standard deviation + b (Zhu et al. 2020, BN-VAE, scale gamma fixed at 1).

    Over a batch the second moment of each dimension is then at least 1, and the mean KL from N(0, I) at least D / 2
    nats (from p(z|c) nothing is promised). In evaluation the statistics are the running ones of training, so that a
    posterior does not depend on its batch.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        # the default eps of 1e-5 is more than the variance of means at the start: they would stay as small as they are
        self.norm = nn.BatchNorm1d(latent, eps=1e-12, affine=False)
        self.bias = nn.Parameter(torch.zeros(latent))

    def forward(self, mean: Tensor) -> Tensor:
        """[B, D] -> [B, D]."""
        if self.training and len(mean) < 2:
            raise BenchError("batch_norm: a batch of one text has no variance; set a larger batch_size")
        return self.norm(mean) + self.bias
