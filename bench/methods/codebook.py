"""A codebook e_1 ... e_K, the one-point posteriors over it, and categorical priors (DAVAM Sec. III-B and III-C)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECAY = 0.99  # of the moving averages
DEAD = 0.01  # a code is dead when it gets less than this share of what it would get if all got the same
SMALLEST = 1e-30  # variance whose logarithm stands for that of 0


class Codebook(nn.Module):
    """K vectors of D dimensions, moved not by gradients but to where the states are that are nearest to them.

    Each is the moving average of the sum of its states over that of their number: k-means, a batch at a time.
    """

    def __init__(self, codes: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.randn(codes, dimension) / dimension**0.5)
        self.register_buffer("sums", torch.zeros(codes, dimension))
        self.register_buffer("counts", torch.zeros(codes))
        self.vectors: Tensor
        self.sums: Tensor
        self.counts: Tensor

    @torch.no_grad()
    def nearest(self, states: Tensor) -> Tensor:
        """argmin_k |h - e_k| of h [..., D], Eq. 6: [...]."""
        scores = self.vectors.pow(2).sum(-1) - 2 * (states @ self.vectors.T)
        return scores.argmin(-1)

    @torch.no_grad()
    def begin(self, states: Tensor, batches: int = 1, iterations: int = 20) -> None:
        """k-means of states [N, D], which are those of so many batches, from K of them drawn at random."""
        drawn = torch.randperm(len(states))[: len(self.vectors)].to(states.device)
        self.vectors[: len(drawn)] = _aside(states[drawn])
        for _ in range(iterations):
            counts, sums = self._gather(states, self.nearest(states), torch.ones_like(states[:, 0]))
            used = counts > 0
            self.vectors[used] = sums[used] / counts[used, None]
        # as if every code had had the mean number of states in every batch so far
        self.counts.fill_(len(states) / batches / len(self.counts))
        self.sums.copy_(self.vectors * self.counts[:, None])

    @torch.no_grad()
    def update(self, states: Tensor, index: Tensor, present: Tensor) -> None:
        """One step of the moving averages with the states [N, D] of a batch, those that are ``present`` [N].

        ``index`` [N] are the codes nearest to them. Dead codes go to some of these states.
        """
        weights = present.to(states.dtype)
        counts, sums = self._gather(states, index, weights)
        # counts as they are: a batch of few states moves the codes by as much less (van den Oord et al. 2017, A.1)
        self.counts.lerp_(counts, 1 - DECAY)
        self.sums.lerp_(sums, 1 - DECAY)
        fair = self.counts.mean()
        dead = self.counts < DEAD * fair  # how many is not asked: on a GPU that would wait for the step to end
        to = states[torch.multinomial(weights, len(dead), replacement=True)]
        self.sums.copy_(torch.where(dead[:, None], fair * _aside(to), self.sums))
        self.counts.copy_(torch.where(dead, fair, self.counts))
        self.vectors.copy_(self.sums / self.counts[:, None])

    def _gather(self, states: Tensor, index: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """States [N, D] and the codes [N] nearest to them -> how many each has, by ``weights``, [K]; and their sums."""
        counts = torch.zeros_like(self.counts).index_add_(0, index, weights)
        return counts, torch.zeros_like(self.sums).index_add_(0, index, states * weights[:, None])


def _aside(states: Tensor) -> Tensor:
    """A thousandth of their length away: texts that begin alike have equal states, and no two codes may be the same."""
    return states + 1e-3 * states.norm(dim=-1, keepdim=True) * F.normalize(torch.randn_like(states), dim=-1)


@dataclass(frozen=True)
class Choice:
    """p(z_t = e_k): log-probabilities [..., K] over vectors [K, D]; 0 is added by steps that are not ``present``."""

    log_p: Tensor
    codebook: Codebook
    present: Tensor  # [B, T], broadcast over samples

    def log_prob(self, z: Tensor) -> Tensor:
        """log p of the code nearest to z [..., D], nats: [...]."""
        return self.of(self.codebook.nearest(z))

    def of(self, index: Tensor) -> Tensor:
        """log p of codes [...], nats."""
        index, log_p = torch.broadcast_tensors(index[..., None], self.log_p[..., :1])[0], self.log_p
        gathered = log_p.expand(*index.shape[:-1], -1).gather(-1, index)[..., 0]
        return gathered.masked_fill(~self.present, 0.0)

    @property
    def mean(self) -> Tensor:
        """[..., D]."""
        return self.log_p.exp() @ self.codebook.vectors * self.present[..., None]

    @property
    def logvar(self) -> Tensor:
        """[..., D]."""
        second = self.log_p.exp() @ self.codebook.vectors.pow(2)
        return torch.where(self.present[..., None], (second - self.mean.pow(2)).clamp(min=SMALLEST).log(), 0.0)


@dataclass(frozen=True)
class Codes:
    """q(z|x) of Eq. 6: all its mass on the codes ``index`` [B, T] of the steps that are ``present``."""

    index: Tensor
    codebook: Codebook
    present: Tensor

    @property
    def mean(self) -> Tensor:
        """e_{z_t}, [B, T, D]; 0 where there is no step."""
        return self.codebook.vectors[self.index] * self.present[..., None]

    @property
    def logvar(self) -> Tensor:
        """Of variances 0: [B, T, D]; 0 where there is no step."""
        return torch.full_like(self.mean, SMALLEST).log() * self.present[..., None]

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        """[K, B, T, D], K times the same; NaN where there is no step."""
        return torch.where(self.present[..., None], self.mean, torch.nan).expand(k, -1, -1, -1)

    def conditional(self, z: Tensor) -> Codes:
        """The same whatever z [..., B, T, D] is."""
        return Codes(self.index.expand(z.shape[:-1]), self.codebook, self.present)

    def log_prob(self, z: Tensor) -> Tensor:
        """0 at the codes, -inf elsewhere: [..., B, T]."""
        same = (z == self.mean).all(-1) | ~self.present
        return torch.zeros_like(z[..., 0]).masked_fill(~same, float("-inf"))

    def kl(self, prior: Choice) -> Tensor:
        """-log gamma_{t, z_t}, nats, Eq. 7: [..., B, T]."""
        return -prior.of(self.index)

    def kl_dims(self, prior: Choice) -> Tensor:
        """As one dimension, since a code is one choice: [..., B, T, 1]."""
        return self.kl(prior)[..., None]
