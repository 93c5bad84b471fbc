"""``vae-attn`` and ``gavam``: Gaussian latent sequences that the decoder attends to (DAVAM Sec. III-A and IV-A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from bench.backbones.base import Backbone
from bench.batch import Batch, Sequences
from bench.methods.base import Condition, MethodOptions, Stage
from bench.methods.gaussian import Gaussian, groups_present, mark_absent, only_present, split_gaussian, standard_normal
from bench.methods.stepwise import (
    Lengths,
    PixelCNN,
    SequencePosterior,
    Stepwise,
    StepwiseOptions,
    Walk,
    steps_of,
)


class VAEAttn(Stepwise):
    """q(z_t|x) = N(mu_t, sigma_t^2 I) from h_t^e; p(z) = p(T) prod_t N(z_t; 0, I), p(T) as counted in train.

    Bahuleyan et al. 2018, "Variational Attention for Sequence-to-Sequence Models".
    """

    variants = {"vae-attn": {"annealing": "constant"}}
    backbones = ("lstm",)
    Options: ClassVar[type[MethodOptions]] = MethodOptions
    adaptive = False

    def __init__(self, backbone: Backbone, options: MethodOptions) -> None:
        super().__init__(backbone, options)
        self.to_latent = nn.Linear(self.backbone.width, 2 * options.latent, bias=False)
        self.build_prior(options)
        self.lengths = Lengths(self.backbone.max_tokens - 1)

    def build_prior(self, options: MethodOptions) -> None:
        """N(0, I) has no parameters."""

    def posterior(self, batch: Batch, condition: Condition | None = None) -> SequencePosterior:
        gaussian = split_gaussian(self.to_latent(self.states(batch)))
        present = groups_present(self.used(batch), gaussian.mean.shape[1])
        return SequencePosterior(only_present(present, gaussian), present)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        return standard_normal(z)

    def length_nll(self, batch: Batch) -> Tensor:
        return self.lengths.nll(self.used(batch))

    def sample_prior(
        self, n: int, condition: Condition | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """n draws, [n, longest T, D], NaN after the end of each."""
        return self._sequences(self.lengths.sample(n, generator), generator)

    def sample_prior_for(self, n: int, tokens: int, generator: torch.Generator | None = None) -> Tensor:
        return self._sequences(torch.full((n,), tokens + 1, device=self.lengths.log_p.device), generator)

    def _sequences(self, used: Tensor, generator: torch.Generator | None) -> Tensor:
        longest = int(used.max())
        return mark_absent(self._draws(len(used), longest, generator), groups_present(used, longest))

    def _draws(self, n: int, steps: int, generator: torch.Generator | None) -> Tensor:
        """n draws of z_1 ... z_T, [n, T, D]."""
        return standard_normal(self.lengths.log_p.new_zeros(n, steps, self.options.latent)).sample(generator)

    def stages(self) -> Sequence[Stage]:
        (whole,) = super().stages()
        return (replace(whole, begin=self._count_lengths, adaptive=self.adaptive),)

    def _count_lengths(self, sequences: Sequences, device: torch.device) -> None:
        self.lengths.fit(sequences)


@dataclass(frozen=True)
class GavamOptions(StepwiseOptions):
    """Options of GAVAM.

    Attributes
    ----------
    clamp: log-variances of priors are held in [-clamp, clamp].
    """

    clamp: PositiveFloat = 5.0


class Gavam(VAEAttn):
    """The same with p(z) = p(T) prod_t p(z_t | z_<t), each a Gaussian from a PixelCNN (Sec. III-A)."""

    variants = {"gavam": {"annealing": "constant"}}
    backbones = ("lstm",)
    Options: ClassVar[type[MethodOptions]] = GavamOptions
    options: GavamOptions
    adaptive = True

    def build_prior(self, options: MethodOptions) -> None:
        assert isinstance(options, GavamOptions)
        self.pixelcnn = PixelCNN(nn.Linear(options.latent, options.prior_width), 2 * options.latent, options)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        parameters = self.pixelcnn(z.nan_to_num().flatten(0, -3))[:, :-1].view(*z.shape[:-1], -1)
        gaussian = split_gaussian(parameters, self.options.clamp)
        return gaussian if condition is None else only_present(steps_of(condition, z.shape[-2]), gaussian)

    def _draws(self, n: int, steps: int, generator: torch.Generator | None) -> Tensor:
        walk, z = Walk(self.pixelcnn, n), []
        for _ in range(steps):
            z.append(split_gaussian(walk.parameters, self.options.clamp).sample(generator))
            walk.read(z[-1])
        return torch.stack(z, 1)
