"""``memory``: z as one more position every layer can attend to (DELLA Sec. 3.3 "Memory"; Fang et al. 2021)."""

from __future__ import annotations

from torch import Tensor, nn

from bench.backbones.gpt2 import GPT2, Injection
from bench.batch import Batch
from bench.methods.base import IndependentPosterior, Method, linear
from bench.methods.single import SingleEncoder, SingleOptions


class Memory(Method):
    """One z of N(0, I) prior; in layer l the vector W_l z is an extra key and value seen by all positions."""

    variants = {"memory": {}}
    Options = SingleOptions

    def __init__(self, backbone: GPT2, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone.width, options.latent, options.pooling)
        self.project = nn.ModuleList(linear(options.latent, backbone.width) for _ in range(backbone.layers))

    def posterior(self, batch: Batch) -> IndependentPosterior:
        return self.encoder(self.backbone, batch)

    def inject(self, z: Tensor) -> Injection:
        return Injection(memory=[project(z) for project in self.project])  # z [N, 1, D] -> L × [N, 1, d]
