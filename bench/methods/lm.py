"""``gpt2``, ``llama``, ``lstm-lm``, ``bart``: plain language and sequence-to-sequence models, of exact likelihood."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from torch import Tensor

from bench.backbones.base import NOTHING, Backbone, Injection
from bench.batch import Batch
from bench.errors import BenchError
from bench.methods.base import Condition, Method, MethodOptions, refuse
from bench.methods.gaussian import IndependentPosterior, standard_normal


@dataclass(frozen=True)
class LanguageModelOptions(MethodOptions):
    """``backbone``: the kind it must be built on, since the row is named after it."""

    backbone: Literal["gpt2", "llama", "bart", "lstm"] = "gpt2"


class LanguageModel(Method):
    """p(x) = prod_t p(x_t | x_<t), or p(x|c): every method's baseline (DELLA Tables 1 and 2; DAVAM Table II). G = 0."""

    variants = {
        "gpt2": {"backbone": "gpt2"},
        "llama": {"backbone": "llama"},
        "bart": {"backbone": "bart"},
        "lstm-lm": {"backbone": "lstm"},
    }
    backbones = ("gpt2", "llama", "bart", "lstm")
    Options = LanguageModelOptions

    def __init__(self, backbone: Backbone, options: LanguageModelOptions) -> None:
        if backbone.kind != options.backbone:
            raise BenchError(f"it is the plain model of {options.backbone}, and the backbone here is {backbone.kind}")
        refuse(options, (field.name for field in fields(MethodOptions)), "a plain model has no latent variable")
        super().__init__(backbone, options)

    @property
    def groups(self) -> int:
        return 0

    def condition(self, batch: Batch) -> Condition | None:
        """Without the states that only a latent variable would need."""
        return None if batch.condition is None else Condition(self.backbone.context(batch.condition))

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        nothing = next(self.parameters()).new_zeros(len(batch), 0, self.options.latent)
        return IndependentPosterior(standard_normal(nothing))

    def inject(self, z: Tensor) -> Injection:
        return NOTHING
