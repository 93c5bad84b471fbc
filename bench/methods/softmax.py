"""``softmax``: z joined with the last hidden states before the softmax (DELLA Sec. 3.3; Wang and Wan 2019, T-CVAE)."""

from __future__ import annotations

from torch import Tensor

from bench.backbones.gpt2 import GPT2, Injection
from bench.batch import Batch
from bench.methods.base import IndependentPosterior, Method, linear
from bench.methods.single import SingleEncoder, SingleOptions


class Softmax(Method):
    """One z of N(0, I) prior; logits = E (h_i + W z) with E the word embeddings."""

    variants = {"softmax": {}}
    Options = SingleOptions

    def __init__(self, backbone: GPT2, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone.width, options.latent, options.pooling)
        self.project = linear(options.latent, backbone.width)

    def posterior(self, batch: Batch) -> IndependentPosterior:
        return self.encoder(self.backbone, batch)

    def inject(self, z: Tensor) -> Injection:
        return Injection(hidden=self.project(z))  # z [N, 1, D] -> [N, 1, d]
