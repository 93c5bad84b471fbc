"""``softmax``: z joined with the last hidden states before the softmax (DELLA Sec. 3.3; Wang and Wan 2019, T-CVAE)."""

from __future__ import annotations

from torch import Tensor

from bench.backbones.base import Backbone, Injection
from bench.batch import Batch
from bench.methods.base import Condition, Gaussian, IndependentPosterior, Method, linear
from bench.methods.single import SingleEncoder, SingleOptions


class Softmax(Method):
    """One z of N(0, I) prior; logits = E (h_i + W z) with E the word embeddings."""

    variants = {
        "softmax": {},
        "softmax+none": {"annealing": "constant"},
        "softmax+bow": {"annealing": "constant", "bow": 0.2},
        "softmax+annealing+bow": {"bow": 0.2},
        "softmax+annealing+bn": {"batch_norm": True},
    }
    Options = SingleOptions

    def __init__(self, backbone: Backbone, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone, options)
        self.project = linear(options.latent, backbone.width)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        return self.encoder(self.backbone, batch, condition)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        return self.encoder.prior(z, condition)

    def inject(self, z: Tensor) -> Injection:
        return Injection(hidden=self.project(z))  # z [N, 1, D] -> [N, 1, d]
