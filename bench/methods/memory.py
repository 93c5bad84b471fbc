"""``memory``: z as one more position every layer can attend to (DELLA Sec. 3.3 "Memory"; Fang et al. 2021)."""

from __future__ import annotations

from torch import Tensor, nn

from bench.backbones.base import Backbone, Injection
from bench.batch import Batch
from bench.methods.base import Condition, Method, linear
from bench.methods.gaussian import Gaussian, IndependentPosterior
from bench.methods.single import SingleEncoder, SingleOptions


class Memory(Method):
    """One z of N(0, I) prior; in layer l the vector W_l z is an extra key and value seen by all positions."""

    variants = {
        "memory": {},
        "memory+none": {"annealing": "constant"},
        "memory+bow": {"annealing": "constant", "bow": 0.2},
        "memory+annealing+bow": {"bow": 0.2},
        "memory+annealing+bn": {"batch_norm": True},
    }
    Options = SingleOptions

    def __init__(self, backbone: Backbone, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone, options)
        self.project = ToMemory(options.latent, backbone)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        return self.encoder(self.backbone, batch, condition)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        return self.encoder.prior(z, condition)

    def inject(self, z: Tensor) -> Injection:
        return Injection(memory=self.project(z))


class ToMemory(nn.ModuleList):
    """W_l z, the key and value that z is in each layer: [N, 1, D] -> L × [N, 1, v]."""

    def __init__(self, latent: int, backbone: Backbone, bias: bool = True) -> None:
        super().__init__(linear(latent, backbone.values, bias) for _ in range(backbone.layers))

    def forward(self, z: Tensor) -> list[Tensor]:
        return [project(z) for project in self]
