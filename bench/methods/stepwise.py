"""What latent sequences z_1 ... z_T share: one z_t for every token of x and for EOS, to which the decoder attends.

T is a part of the latent sequence: it says how long the text is, so a bound that leaves -log p(T) out is none (DAVAM's
paper leaves it out). A tensor of latent sequences carries it: the steps that a sequence does not have are NaN, and add
exactly 0 to every density and KL.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from bench.backbones.attending import Attended
from bench.backbones.base import Backbone, Injection
from bench.backbones.lstm import LSTM, LSTMEncoder
from bench.batch import Batch, Sequences
from bench.errors import BenchError
from bench.methods.base import Condition, Method, MethodOptions
from bench.methods.gaussian import IndependentPosterior, groups_present, mark_absent


@dataclass(frozen=True)
class StepwiseOptions(MethodOptions):
    """Sizes of the autoregressive prior, which the paper calls "a 16-layer PixelCNN" with residual connections.

    Attributes
    ----------
    prior_layers, prior_width, prior_kernel: its causal convolutions; the prior of a step sees the
        layers * (kernel - 1) + 1 steps before it.
    """

    prior_layers: PositiveInt = 16
    prior_width: PositiveInt = 64
    prior_kernel: PositiveInt = 3


@dataclass(frozen=True)
class Steps(Condition):
    """No condition, but how many steps T the latent sequence of each text has: ``used`` [B]."""

    used: Tensor = field(kw_only=True)


class Stepwise(Method):
    """A method with a latent variable a step; subclasses say what the posterior and the prior of z_t are.

    The paper's T is the length of x. Here z_T belongs to EOS, so T is the number of tokens that are predicted.
    """

    backbone: LSTM
    attends = True  # or else it reads the one z there is

    def __init__(self, backbone: Backbone, options: MethodOptions) -> None:
        assert isinstance(backbone, LSTM)
        if options.bow:
            raise BenchError("options ask for bow, a bag of words from one z; here are as many as words")
        super().__init__(backbone, options)
        self.encoder = LSTMEncoder(backbone)
        self.attention = Attention(options.latent, backbone.width) if self.attends else None
        backbone.widen(options.latent)
        # from U(-0.01, 0.01) states, and so codes, are so small that for many epochs nothing is learned of them
        for part in (self.encoder.lstm, backbone.lstm):
            part.reset_parameters()

    def used(self, batch: Batch) -> Tensor:
        return batch.predicted

    def condition(self, batch: Batch) -> Steps:
        return Steps(None, used=self.used(batch))

    def states(self, batch: Batch) -> Tensor:
        """h_t^e of every token of x and of EOS, [B, T, d]."""
        return self.encoder(batch)[:, 1 : batch.longest]

    def log_prior(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        return super().log_prior(z, condition).masked_fill(z.isnan().any(-1), 0.0)

    def inject(self, z: Tensor) -> Injection:
        assert self.attention is not None
        return Injection(attend=self.attention(z.nan_to_num(), ~z.isnan().any(-1)))


def steps_of(condition: Condition, steps: int) -> Tensor:
    """[B, T], True at the steps each text has, by a condition that :meth:`Stepwise.condition` made."""
    assert isinstance(condition, Steps)
    return groups_present(condition.used, steps)


@dataclass(frozen=True)
class SequencePosterior(IndependentPosterior):
    """q(z_t|x) of each step on its own; of steps that are not ``present`` [B, T] it is N(0, I), and samples are NaN."""

    present: Tensor

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        return mark_absent(super().sample(k, generator), self.present)

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z).masked_fill(~self.present, 0.0)


class Attention(nn.Module):
    """c_i = sum_t alpha_it z_t with alpha_i = softmax_t(v . tanh(W_e z_t + W_d h_{i-1} + b)): DAVAM Eq. 3."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.w_e = nn.Linear(latent, width)  # and b
        self.w_d = nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)

    def forward(self, z: Tensor, present: Tensor) -> Attended:
        """z [N, T, D] and its steps [N, T], to be attended to."""
        return Attended(self.w_e(z), z, present, self.w_d.weight, self.v.weight[0])


class PixelCNN(nn.Module):
    """An autoregressive prior: causal 1-D convolutions with gates and residual connections (van den Oord et al. 2016).

    ``read`` makes z_t a vector of ``prior_width``.
    """

    def __init__(self, read: nn.Module, outputs: int, options: StepwiseOptions) -> None:
        super().__init__()
        width, kernel = options.prior_width, options.prior_kernel
        self.read, self.kernel = read, kernel
        self.start = nn.Parameter(torch.randn(width))
        # a convolution as a linear map of a window: one matrix product, where the library's takes several times longer
        self.gates = nn.ModuleList(nn.Linear(kernel * width, 2 * width) for _ in range(options.prior_layers))
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(options.prior_layers))
        self.write = nn.Linear(width, outputs)

    def forward(self, z: Tensor) -> Tensor:
        """z_1 ... z_T [N, T, ...] -> parameters of z_1 ... z_{T+1}, each from those before it, [N, T + 1, outputs]."""
        return self._pass(torch.cat([self.start.expand(len(z), 1, -1), self.read(z)], 1))

    def _pass(self, x: Tensor) -> Tensor:
        steps = x.shape[1]
        for layer in range(len(self.gates)):
            before = F.pad(x, (0, 0, self.kernel - 1, 0))
            x = self.layer(layer, x, torch.cat([before[:, at : at + steps] for at in range(self.kernel)], -1))
        parameters: Tensor = self.write(x)
        return parameters

    def layer(self, layer: int, x: Tensor, window: Tensor) -> Tensor:
        """One gated convolution: x [..., width], and it and what was before it [..., kernel * width]."""
        filtered, gate = self.gates[layer](window).chunk(2, -1)
        mixed: Tensor = self.mix[layer](filtered.tanh() * gate.sigmoid())
        return x + mixed


class Walk:
    """N latent sequences that are drawn step by step, and what the layers of a :class:`PixelCNN` remember of them.

    Attributes
    ----------
    parameters: of the next z_t, [N, outputs].
    """

    parameters: Tensor

    def __init__(self, prior: PixelCNN, n: int) -> None:
        self.prior = prior
        self.memory = [prior.start.new_zeros(n, prior.kernel - 1, len(prior.start)) for _ in prior.gates]
        self._go_on(prior.start.expand(n, -1))

    def read(self, z: Tensor) -> None:
        """The z_t that were drawn, [N, ...]."""
        self._go_on(self.prior.read(z))

    def select(self, rows: Tensor) -> None:
        """Go on with these sequences."""
        self.memory, self.parameters = [before[rows] for before in self.memory], self.parameters[rows]

    def _go_on(self, x: Tensor) -> None:
        for layer, before in enumerate(self.memory):
            window = torch.cat([before, x[:, None]], 1)
            self.memory[layer] = window[:, 1:]
            x = self.prior.layer(layer, x, window.flatten(1))
        self.parameters = self.prior.write(x)


class Lengths(nn.Module):
    """p(T) as counted in the training set, each length once more than it is there; uniform before."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.register_buffer("log_p", torch.full((longest,), 1 / longest).log())
        self.log_p: Tensor

    def fit(self, sequences: Sequences) -> None:
        """Count."""
        steps = torch.tensor([len(text) - 1 for text in sequences.texts])
        counts = torch.bincount(steps - 1, minlength=len(self.log_p)) + 1
        self.log_p.copy_((counts / counts.sum()).log())

    def nll(self, used: Tensor) -> Tensor:
        """-log p(T) of T [B], nats."""
        return -self.log_p[used - 1]

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """[n] lengths."""
        return torch.multinomial(self.log_p.exp(), n, replacement=True, generator=generator) + 1
