"""``davam``: a discrete autoregressive latent sequence that the decoder attends to (Fang et al. 2021).

z_t is the entry of a codebook nearest to the encoder's state h_t^e. Two stages: encoder, decoder and codebook on the
reconstruction alone (Eq. 8), then an autoregressive prior on the codes of the trained encoder (Eq. 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from bench.backbones.base import Backbone, Injection
from bench.backbones.lstm import initialise
from bench.batch import Batch, Sequences, training_batches
from bench.methods.base import Condition, MethodOptions, Stage, Terms, linear, refuse
from bench.methods.codebook import Choice, Codebook, Codes
from bench.methods.gaussian import groups_present, mark_absent
from bench.methods.lstm_vae import last_state
from bench.methods.stepwise import Lengths, PixelCNN, Stepwise, StepwiseOptions, Walk, steps_of

INITIAL_STATES = 20_000  # of the encoder, from which k-means makes the first codebook
PARTICLES = 64  # sequences of which one is a draw of so many steps


@dataclass(frozen=True)
class CodesOptions(MethodOptions):
    """Options of codes, one or many; ``latent`` is the dimension of a code vector.

    Attributes
    ----------
    codes: K.
    beta_min, beta_max: of Eq. 8: the one for an annealing period, then up to the other over another period.
    """

    codes: PositiveInt = 512
    beta_min: NonNegativeFloat = 0.1
    beta_max: NonNegativeFloat = 5.0


@dataclass(frozen=True)
class DavamOptions(CodesOptions, StepwiseOptions):
    """Options of DAVAM.

    Attributes
    ----------
    length: T by an end code that the prior emits after z_T, or with p(T) as counted in the training set.
    """

    length: Literal["end", "empirical"] = "end"


class Davam(Stepwise):
    """q(z_t = k | x) = 1 for the code nearest to h_t^e (Eq. 6); p(z_t | z_<t) = Cat(gamma_t) from a PixelCNN.

    With one-point posteriors -ELBO = rec + sum_t -log gamma_{t, z_t} + the cost of T bounds -log p(x) from above, and
    importance weights add nothing to it.
    """

    variants = {
        "davam-k128": {"codes": 128},
        "davam-k512": {"codes": 512},
    }
    backbones = ("lstm",)
    Options: ClassVar[type[MethodOptions]] = DavamOptions
    options: CodesOptions
    certain = True

    def __init__(self, backbone: Backbone, options: CodesOptions) -> None:
        trained_alone = "of codes the KL is trained alone and whole, see beta_max"
        refuse(options, ("annealing", "kl_reduction", "free_bits"), trained_alone)
        super().__init__(backbone, options)
        self.to_code = nn.Linear(self.backbone.width, options.latent, bias=False)
        self.codebook = Codebook(options.codes, options.latent)
        self.build_prior(options)

    def build_prior(self, options: CodesOptions) -> None:
        """The part that is trained in stage two."""
        assert isinstance(options, DavamOptions)
        self.end = options.length == "end"
        self.gamma: PixelCNN | OneChoice = PixelCNN(
            nn.Embedding(options.codes, options.prior_width), options.codes + self.end, options
        )
        self.lengths = None if self.end else Lengths(self.backbone.max_tokens - 1)

    @property
    def of_whole_batches(self) -> str:
        return "a codebook"

    # Posterior and prior -----------------------------------------------------------------------------------------

    def coded(self, batch: Batch) -> tuple[Tensor, Codes]:
        """h_t^e as the codebook sees it, [B, T, D], and the codes nearest to it."""
        states = self.to_code(self.states(batch))
        present = groups_present(self.used(batch), states.shape[1])
        return states, Codes(self.codebook.nearest(states), self.codebook, present)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> Codes:  # type: ignore[override]
        return self.coded(batch)[1]

    def log_gamma(self, index: Tensor) -> Tensor:
        """log gamma_t of codes [N, T] given those before: [N, T + 1, K (+ 1 for the end)]. There is always a z_1."""
        scores: Tensor = self.gamma(index)
        if self.end:
            no_code = torch.zeros_like(scores[0], dtype=torch.bool)
            no_code[0, self.options.codes].fill_(True)  # an assigned number would be copied from the host
            scores = scores.masked_fill(no_code, float("-inf"))
        return scores.log_softmax(-1)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Choice:  # type: ignore[override]
        present = ~z.isnan().any(-1) if condition is None else steps_of(condition, z.shape[-2])
        index = self.codebook.nearest(z.nan_to_num())
        log_gamma = self.log_gamma(index.flatten(0, -2))[:, :-1, : self.options.codes]
        return Choice(log_gamma.view(*index.shape, -1), self.codebook, present)

    def length_nll(self, batch: Batch) -> Tensor | None:
        log_gamma = self.log_gamma(self.posterior(batch).index) if self.end else None
        return self._length_nll(self.used(batch), log_gamma)

    def _length_nll(self, used: Tensor, log_gamma: Tensor | None) -> Tensor | None:
        """-log p(end | z_1 ... z_T), or where there is no end code -log p(T) as counted, nats: [B]."""
        if self.end:
            assert log_gamma is not None
            return -log_gamma[torch.arange(len(used), device=used.device), used, self.options.codes]
        return None if self.lengths is None else self.lengths.nll(used)

    def sample_prior(
        self, n: int, condition: Condition | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """n draws, [n, longest T, D], NaN after the end of each."""
        if self.lengths is None:
            index, used = self._to_their_ends(n, generator)
        else:
            used = self.lengths.sample(n, generator)
            index = self._of_length(n, int(used.max()), generator)  # whose first codes do not know it
        return mark_absent(self.codebook.vectors[index], groups_present(used, index.shape[1]))

    def sample_prior_for(self, n: int, tokens: int, generator: torch.Generator | None = None) -> Tensor:
        return self.codebook.vectors[self._of_length(n, tokens + 1, generator)]

    def _to_their_ends(self, n: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """n draws of codes up to the end code, [n, longest T], and how many each has, [n]."""
        walk, longest = self._walk(n), self.backbone.max_tokens - 1
        index = torch.zeros(n, longest, dtype=torch.long, device=self.codebook.vectors.device)
        used, rows = torch.full_like(index[:, 0], longest), torch.arange(n, device=index.device)
        for step in range(longest):
            gamma = walk.parameters.softmax(-1)[:, : self.options.codes + (step > 0)]  # there is always a z_1
            drawn = torch.multinomial(gamma, 1, generator=generator)[:, 0]
            goes = (drawn < self.options.codes).nonzero()[:, 0]
            used[rows[drawn == self.options.codes]] = step
            rows, drawn = rows[goes], drawn[goes]
            if not len(rows):
                break
            index[rows, step] = drawn
            walk.select(goes)
            walk.read(drawn)
        return index[:, : int(used.max())], used

    def _of_length(self, n: int, steps: int, generator: torch.Generator | None) -> Tensor:
        """n draws from p(z_1 ... z_T | T), [n, T].

        Where an end code says T, that is not p(z) with the end left out: codes after which a text would be over do not
        go on. Each draw is one of a particle filter: of sequences that go on as p(z_t | z_<t, no end) says, those are
        continued that p(no end | z_<t) chooses, and in the end p(end | z_1 ... z_T) chooses one.
        """
        particles, codes = PARTICLES if self.end else 1, self.options.codes
        walk = self._walk(n * particles)
        index = torch.zeros(n * particles, 0, dtype=torch.long, device=self.codebook.vectors.device)
        for step in range(steps + 1):
            gamma = walk.parameters.softmax(-1)
            if self.end and step > 0:
                weights = (gamma[:, codes] if step == steps else gamma[:, :codes].sum(-1)).view(n, particles)
                chosen = resampled(weights, 1 if step == steps else particles, generator)
                index, gamma = index[chosen], gamma[chosen]
                walk.select(chosen)
            if step < steps:
                drawn = torch.multinomial(gamma[:, :codes], 1, generator=generator)
                index = torch.cat([index, drawn], 1)
                walk.read(drawn[:, 0])
        return index

    def _walk(self, n: int) -> Walk:
        assert isinstance(self.gamma, PixelCNN)
        return Walk(self.gamma, n)

    # Training ----------------------------------------------------------------------------------------------------

    def terms(self, batch: Batch, generator: torch.Generator | None = None) -> Terms:
        rec, _, codes = self._reconstruction(batch)
        return replace(self._of_codes(codes, self.used(batch)), rec=rec)

    def stages(self) -> Sequence[Stage]:
        parts = {name: list(part.parameters()) for name, part in self.named_children()}
        trained = [name for name, parameters in parts.items() if parameters and name != "gamma"]
        return (
            Stage(
                self._codes_terms,
                self._beta,
                "codes",
                trained,
                judged="rec",
                begin=self._first_codebook,
                settled=lambda step, period, total: step >= 2 * _within(period, total),
                validated=self._rec_terms,
            ),
            Stage(
                lambda batch, beta: self._prior_terms(batch),
                lambda step, period, total: 1.0,
                "prior",
                ("gamma",),
                adaptive=True,
                validated=self._prior_terms,
            ),
        )

    def _beta(self, step: int, period: int, total: int) -> float:
        low, high = self.options.beta_min, self.options.beta_max
        return low + (high - low) * min(1.0, max(0.0, (step + 1) / _within(period, total) - 1))

    def _reconstruction(self, batch: Batch) -> tuple[Tensor, Tensor, Codes]:
        """-log p(x|z) at the codes of x [B], h_t^e and the codes; h_t^e gets the gradients of e_{z_t} (Fig. 2)."""
        states, codes = self.coded(batch)
        straight_through = mark_absent(states + (codes.mean - states).detach(), codes.present)
        return -self.log_likelihood(batch, straight_through), states, codes

    def _codes_terms(self, batch: Batch, beta: float | Tensor) -> Terms:
        """Eq. 8; the codebook follows the states that it was compared with."""
        rec, states, codes = self._reconstruction(batch)
        distance = ((states - codes.mean.detach()).pow(2).sum(-1) * codes.present).sum(-1)
        self.codebook.update(states.detach().flatten(0, 1), codes.index.flatten(), codes.present.flatten())
        return Terms(rec, rec.new_zeros(len(batch), 0, 1), beta * distance)

    def _rec_terms(self, batch: Batch) -> Terms:
        """What stage one changes of the bound."""
        rec = self._reconstruction(batch)[0]
        return Terms(rec, rec.new_zeros(len(batch), 0, 1))

    def _prior_terms(self, batch: Batch) -> Terms:
        """Eq. 9, and what the length of the sequence costs."""
        with torch.no_grad():
            codes = self.posterior(batch)
        return self._of_codes(codes, self.used(batch))

    def _of_codes(self, codes: Codes, used: Tensor) -> Terms:
        """The parts of the bound that the prior has, of the codes of texts with so many steps [B]."""
        log_gamma = self.log_gamma(codes.index)
        kl = codes.kl_dims(Choice(log_gamma[:, :-1, : self.options.codes], self.codebook, codes.present))
        return Terms(kl.new_zeros(len(used)), kl, used=used, length=self._length_nll(used, log_gamma))

    @torch.no_grad()
    def _first_codebook(self, sequences: Sequences, device: torch.device) -> None:
        """k-means of the untrained encoder's states of some batches."""
        if self.lengths is not None:
            self.lengths.fit(sequences)
        size = min(32, len(sequences))
        found: list[Tensor] = []
        for rows in training_batches(sequences.lengths, size, seed=0, epoch=0):
            states, codes = self.coded(sequences.batch(rows).to(device))
            found.append(states[codes.present])
            if sum(map(len, found)) >= INITIAL_STATES:
                break
        self.codebook.begin(torch.cat(found), len(found))


def resampled(weights: Tensor, draws: int, generator: torch.Generator | None) -> Tensor:
    """Rows of ``weights`` [N, P], flattened, each chosen as often as it weighs among its P: [N * draws].

    Systematic resampling (Carpenter et al. 1999): evenly spaced from one uniform number, so that equal weights are all
    kept; so are those of which none weighs anything.
    """
    n, particles = weights.shape
    shares = (weights + torch.finfo(weights.dtype).tiny).cumsum(1)
    even = torch.arange(draws, device=weights.device) + torch.rand(n, 1, generator=generator, device=weights.device)
    at = torch.searchsorted(shares, even / draws * shares[:, -1:]).clamp(max=particles - 1)
    return (at + particles * torch.arange(n, device=weights.device)[:, None]).flatten()


def _within(period: int, total: int) -> int:
    """An annealing period of which two leave a third of the steps, at least."""
    return max(1, min(period, total // 3))


class DavamQ(Davam):
    """``davam-q``: one code, of the last state, read as the LSTM-VAE's z is (Sec. IV-A, ablation 2)."""

    variants = {"davam-q": {}}
    backbones = ("lstm",)
    Options = CodesOptions
    attends = False

    def __init__(self, backbone: Backbone, options: CodesOptions) -> None:
        super().__init__(backbone, options)
        self.to_cell = linear(options.latent, self.backbone.width, bias=False)
        initialise(self.to_cell)

    def build_prior(self, options: CodesOptions) -> None:
        self.end, self.lengths = False, None
        self.gamma = OneChoice(options.codes)

    def used(self, batch: Batch) -> Tensor:
        return torch.ones_like(batch.lengths)

    def states(self, batch: Batch) -> Tensor:
        return last_state(self.encoder(batch), batch)[:, None]

    def inject(self, z: Tensor) -> Injection:
        return Injection(inputs=z, cell=self.to_cell(z[:, 0]))

    def every_z(self) -> tuple[Tensor, Tensor]:
        assert isinstance(self.gamma, OneChoice)
        return self.codebook.vectors[:, None], self.gamma.scores.log_softmax(-1)

    def sample_prior(
        self, n: int, condition: Condition | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        z, log_p = self.every_z()
        return z[torch.multinomial(log_p.exp(), n, replacement=True, generator=generator)]

    def sample_prior_for(self, n: int, tokens: int, generator: torch.Generator | None = None) -> Tensor:
        return self.sample_prior(n, generator=generator)


class OneChoice(nn.Module):
    """p(z_1) of a single code: as many numbers as there are codes."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(codes))

    def forward(self, index: Tensor) -> Tensor:
        """Codes [N, T], which do not matter -> [N, T + 1, K]."""
        return self.scores.expand(len(index), index.shape[1] + 1, -1)
