"""``embed``: z added to every input embedding (DELLA Sec. 3.3 "Embedding"; Li et al. 2020, Optimus)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from bench.backbones.base import Backbone, Injection
from bench.batch import Batch
from bench.methods.base import Condition, Method, linear
from bench.methods.gaussian import Gaussian, IndependentPosterior
from bench.methods.single import SingleEncoder, SingleOptions


class Embed(Method):
    """One z of N(0, I) prior; e_i + W z in place of the embedding e_i = word + position (Eq. 5)."""

    variants = {
        "embed": {},
        "embed+none": {"annealing": "constant"},
        "embed+bow": {"annealing": "constant", "bow": 0.2},
        "embed+annealing+bow": {"bow": 0.2},
        "embed+annealing+bn": {"batch_norm": True},
        "no-recurrence": {},  # what TRACE's Sec. 5.3 calls it
    }
    Options = SingleOptions

    def __init__(self, backbone: Backbone, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone, options)
        self.project = to_embedding(options.latent, backbone)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        return self.encoder(self.backbone, batch, condition)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        return self.encoder.prior(z, condition)

    def inject(self, z: Tensor) -> Injection:
        return Injection(embedding=self.project(z))


def to_embedding(latent: int, backbone: Backbone, bias: bool = True) -> nn.Linear:
    """What z [N, 1, D] adds to every input embedding, [N, 1, d].

    Scaled so that z ~ N(0, I) starts as loud as one word embedding, not sqrt(D) times louder.
    """
    return linear(latent, backbone.width, bias, std=0.02 / math.sqrt(latent))
