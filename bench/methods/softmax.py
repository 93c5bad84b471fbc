"""``softmax``: z joined with the last hidden states before the softmax (DELLA Sec. 3.3; Wang and Wan 2019, T-CVAE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.backbones.base import Backbone, Injection
from bench.batch import Batch
from bench.methods.base import Condition, Method, linear
from bench.methods.gaussian import Gaussian, IndependentPosterior
from bench.methods.single import SingleEncoder, SingleOptions


@dataclass(frozen=True)
class SoftmaxOptions(SingleOptions):
    """Options of z before the softmax.

    Attributes
    ----------
    place: "hidden" adds W z to the hidden states (paper), "logits" to the logits (code like T-CVAE's).
    """

    place: Literal["hidden", "logits"] = "hidden"


class Softmax(Method):
    """One z of N(0, I) prior; logits = E (h_i + W z), or E h_i + W z, with E the word embeddings."""

    variants = {
        "softmax": {},
        "softmax-logits": {"place": "logits"},
        "softmax+none": {"annealing": "constant"},
        "softmax+bow": {"annealing": "constant", "bow": 0.2},
        "softmax+annealing+bow": {"bow": 0.2},
        "softmax+annealing+bn": {"batch_norm": True},
    }
    Options = SoftmaxOptions
    options: SoftmaxOptions

    def __init__(self, backbone: Backbone, options: SoftmaxOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone, options)
        to_hidden = options.place == "hidden"
        self.project = linear(options.latent, backbone.width if to_hidden else backbone.vocabulary, bias=to_hidden)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        return self.encoder(self.backbone, batch, condition)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        return self.encoder.prior(z, condition)

    def inject(self, z: Tensor) -> Injection:
        """z [N, 1, D] into the hidden states, or beside them, where [E W] maps [h_i; z] to logits."""
        return Injection(hidden=self.project(z)) if self.options.place == "hidden" else Injection(beside=z)

    @property
    def output_weight(self) -> Tensor:
        words = super().output_weight
        return words if self.options.place == "hidden" else torch.cat([words, self.project.weight], 1)
