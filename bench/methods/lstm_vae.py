"""``lstm-vae`` and what was tried against its posterior collapse: rows 2 to 7 of DAVAM's Table II.

One z of N(0, I) prior from the last encoder state; the decoder reads it beside every word and starts from it. The
variants differ in training alone, as the public code of He et al. (2019) and of Li et al. (2019) has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.backbones.base import Backbone, Injection
from bench.backbones.lstm import LSTM, LSTMEncoder, initialise
from bench.batch import Batch, Sequences
from bench.errors import BenchError
from bench.methods.base import Condition, Method, MethodOptions, Stage, linear
from bench.methods.gaussian import Gaussian, IndependentPosterior, split_gaussian


@dataclass(frozen=True)
class LSTMVAEOptions(MethodOptions):
    """How training differs.

    Attributes
    ----------
    aggressive: many steps of the encoder before each of the whole, until the mutual information of x and z on the
        validation set falls (He et al. 2019, "Lagging Inference Networks").
    pretraining: first an autoencoder, beta = 0; then a fresh decoder, and the encoder goes on (Li et al. 2019).
    """

    aggressive: bool = False
    pretraining: bool = False


class LSTMVAE(Method):
    """q(z|x) = N(mu, sigma^2 I), [mu; log sigma^2] = W_q h_T; p(x|z) reads [x_t; z], c_0 = W_z z and h_0 = tanh(c_0).

    Free bits of 0.25 are the target rate of 8 nats over 32 dimensions (Li et al. 2019, "FBP").
    """

    variants = {
        "lstm-vae": {"annealing": "constant"},
        "lstm-vae+anneal": {"annealing": "linear"},
        "lstm-vae+cyclic": {"annealing": "half_cycles"},
        "lstm-vae+aggressive": {"annealing": "linear", "aggressive": True},
        "lstm-vae+fbp": {"annealing": "linear", "free_bits": 0.25},
        "lstm-vae+pretraining+fbp": {"annealing": "linear", "free_bits": 0.25, "pretraining": True},
    }
    backbones = ("lstm",)
    Options = LSTMVAEOptions
    options: LSTMVAEOptions
    backbone: LSTM

    def __init__(self, backbone: Backbone, options: LSTMVAEOptions) -> None:
        assert isinstance(backbone, LSTM)
        if options.aggressive and options.pretraining:
            raise BenchError("options ask for aggressive and for pretraining; each is a way of its own to train")
        super().__init__(backbone, options)
        self.encoder = LSTMEncoder(backbone)
        self.to_latent = linear(backbone.width, 2 * options.latent, bias=False)
        self.to_cell = linear(options.latent, backbone.width, bias=False)
        backbone.widen(options.latent)
        for part in (self.to_latent, self.to_cell):
            initialise(part)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        gaussian = split_gaussian(self.to_latent(last_state(self.encoder(batch), batch)))
        return IndependentPosterior(Gaussian(gaussian.mean[:, None], gaussian.logvar[:, None]))

    def inject(self, z: Tensor) -> Injection:
        return Injection(inputs=z, cell=self.to_cell(z[:, 0]))

    def stages(self) -> Sequence[Stage]:
        (whole,) = super().stages()
        if self.options.aggressive:
            return (replace(whole, ahead=("encoder", "to_latent")),)
        if not self.options.pretraining:
            return (whole,)
        autoencoder = Stage(whole.terms, lambda step, period, total: 0.0, "autoencoder", judged="rec")
        return (autoencoder, replace(whole, name="vae", begin=self._forget_decoder))

    def _forget_decoder(self, sequences: Sequences, device: torch.device) -> None:
        initialise(self.backbone)
        initialise(self.to_cell)


def last_state(states: Tensor, batch: Batch) -> Tensor:
    """States [B, T, d] -> the one at EOS of each text, [B, d]."""
    at = (batch.lengths - 1)[:, None, None].expand(-1, 1, states.shape[-1])
    return states.gather(1, at)[:, 0]
