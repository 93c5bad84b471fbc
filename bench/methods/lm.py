"""``gpt2``: the plain language model. No latent variable, so its likelihood is exact."""

from __future__ import annotations

from torch import Tensor

from bench.backbones.gpt2 import NOTHING, Injection
from bench.batch import Batch
from bench.methods.base import IndependentPosterior, Method, standard_normal


class LanguageModel(Method):
    """p(x) = prod_t p(x_t | x_<t): every method's baseline (DELLA Table 1, "GPT-2"). G = 0."""

    variants = {"gpt2": {}}

    @property
    def groups(self) -> int:
        return 0

    def posterior(self, batch: Batch) -> IndependentPosterior:
        nothing = self.backbone.transformer.wte.weight.new_zeros(len(batch), 0, self.options.latent)
        return IndependentPosterior(standard_normal(nothing))

    def inject(self, z: Tensor) -> Injection:
        return NOTHING
