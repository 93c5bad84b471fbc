"""What the single-latent Transformer VAEs share: one z from the pooled last encoder state, prior N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from bench.backbones.gpt2 import GPT2, AttentionPooling, FirstToken
from bench.batch import Batch
from bench.methods.base import Gaussian, IndependentPosterior, MethodOptions, linear, split_gaussian


@dataclass(frozen=True)
class SingleOptions(MethodOptions):
    """``pooling``: how encoder states become one vector; the paper's text says first token, its code attention."""

    pooling: Literal["attention", "first_token"] = "attention"


def make_pooling(kind: str, width: int) -> nn.Module:
    """The pooling named in a suite."""
    return AttentionPooling(width) if kind == "attention" else FirstToken()


class SingleEncoder(nn.Module):
    """q(z|x) = N(mu, sigma^2 I) with [mu; log sigma^2] = W pool(h^(L)), one group: G = 1."""

    def __init__(self, width: int, latent: int, pooling: str) -> None:
        super().__init__()
        self.pooling = make_pooling(pooling, width)
        self.project = linear(width, 2 * latent)

    def forward(self, backbone: GPT2, batch: Batch) -> IndependentPosterior:
        """The posterior of a batch, Gaussian [B, 1, D]."""
        states = backbone.encode(batch.ids, batch.mask)[-1]
        gaussian = split_gaussian(self.project(self.pooling(states, batch.mask)))
        return IndependentPosterior(Gaussian(gaussian.mean[:, None], gaussian.logvar[:, None]))
