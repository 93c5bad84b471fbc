"""A method of your own, in one file outside the package: z as a memory position and before the softmax.

Put it beside the frozen rows with one command, without retraining them:

    snakemake --cores 2 --config method=docs/examples/memory_softmax.py:MemorySoftmax -- reports/compare.html

and run the contract tests that check ours on it:

    pytest tests/methods --method docs/examples/memory_softmax.py:MemorySoftmax -k MemorySoftmax
"""

from torch import Tensor, nn

from bench.backbones.base import Backbone, Injection
from bench.batch import Batch
from bench.methods.base import Condition, Method, linear
from bench.methods.gaussian import Gaussian, IndependentPosterior
from bench.methods.single import SingleEncoder, SingleOptions


class MemorySoftmax(Method):
    """One z with prior N(0, I): an extra key and value in every layer, and added to the last hidden states."""

    variants = {"memory-softmax": {}}
    Options = SingleOptions
    options: SingleOptions

    def __init__(self, backbone: Backbone, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone, options)
        self.memory = nn.ModuleList(linear(options.latent, backbone.values) for _ in range(backbone.layers))
        self.last = linear(options.latent, backbone.width)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        return self.encoder(self.backbone, batch, condition)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        return self.encoder.prior(z, condition)

    def inject(self, z: Tensor) -> Injection:
        return Injection(memory=[project(z) for project in self.memory], hidden=self.last(z))
