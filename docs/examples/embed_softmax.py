"""A method of your own, in one file outside the package: z enters at both ends of the decoder.

Put it beside the frozen rows with one command, without retraining them:

    snakemake --cores 2 --config method=docs/examples/embed_softmax.py:EmbedSoftmax -- reports/compare.md

and run the contract tests that check ours on it:

    pytest tests/methods --method docs/examples/embed_softmax.py:EmbedSoftmax
"""

import math

from torch import Tensor

from bench.backbones.gpt2 import GPT2, Injection
from bench.batch import Batch
from bench.methods.base import IndependentPosterior, Method, linear
from bench.methods.single import SingleEncoder, SingleOptions


class EmbedSoftmax(Method):
    """One z with prior N(0, I), added to every input embedding and to the last hidden states."""

    variants = {"embed-softmax": {}}
    Options = SingleOptions
    options: SingleOptions

    def __init__(self, backbone: GPT2, options: SingleOptions) -> None:
        super().__init__(backbone, options)
        self.encoder = SingleEncoder(backbone.width, options.latent, options.pooling)
        self.first = linear(options.latent, backbone.width, std=0.02 / math.sqrt(options.latent))
        self.last = linear(options.latent, backbone.width)

    def posterior(self, batch: Batch) -> IndependentPosterior:
        return self.encoder(self.backbone, batch)

    def inject(self, z: Tensor) -> Injection:
        return Injection(embedding=self.first(z), hidden=self.last(z))
