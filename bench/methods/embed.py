"""``embed``: z added to every input embedding (DELLA Sec. 3.3 "Embedding"; Li et al. 2020, Optimus)."""

from __future__ import annotations

import math

from torch import Tensor

from bench.backbones.gpt2 import GPT2, Injection
from bench.batch import Batch
from bench.methods.base import IndependentPosterior, Method, linear
from bench.methods.single import SingleEncoder, SingleOptions


class Embed(Method):
    """One z of N(0, I) prior; e_i + W z in place of the embedding e_i = word + position (Eq. 5)."""

    variants = {"embed": {}}
    Options = SingleOptions

    def __init__(self, backbone: GPT2, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone.width, options.latent, options.pooling)
        # scaled so that z ~ N(0, I) starts as loud as one word embedding, not sqrt(D) times louder
        self.project = linear(options.latent, backbone.width, std=0.02 / math.sqrt(options.latent))

    def posterior(self, batch: Batch) -> IndependentPosterior:
        return self.encoder(self.backbone, batch)

    def inject(self, z: Tensor) -> Injection:
        return Injection(embedding=self.project(z))  # z [N, 1, D] -> [N, 1, d]
