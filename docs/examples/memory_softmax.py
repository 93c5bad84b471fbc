"""A method of your own, in one file outside the package: z as a memory position and before the softmax.

Put it beside the frozen rows with one command, without retraining them:

    snakemake --cores 2 --config method=docs/examples/memory_softmax.py:MemorySoftmax -- reports/compare.md

and run the contract tests that check ours on it:

    pytest tests/methods --method docs/examples/memory_softmax.py:MemorySoftmax
"""

from torch import Tensor, nn

from bench.backbones.gpt2 import GPT2, Injection
from bench.batch import Batch
from bench.methods.base import IndependentPosterior, Method, linear
from bench.methods.single import SingleEncoder, SingleOptions


class MemorySoftmax(Method):
    """One z with prior N(0, I): an extra key and value in every layer, and added to the last hidden states."""

    variants = {"memory-softmax": {}}
    Options = SingleOptions
    options: SingleOptions

    def __init__(self, backbone: GPT2, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone.width, options.latent, options.pooling)
        self.memory = nn.ModuleList(linear(options.latent, backbone.width) for _ in range(backbone.layers))
        self.last = linear(options.latent, backbone.width)

    def posterior(self, batch: Batch) -> IndependentPosterior:
        return self.encoder(self.backbone, batch)

    def inject(self, z: Tensor) -> Injection:
        return Injection(memory=[project(z) for project in self.memory], hidden=self.last(z))
