"""``trace-r``, ``trace-p``: recurrent segment-wise latent variables (Hu et al. 2022, "Recurrence Boosts Diversity!").

A text is cut into segments x_1 ... x_T with a [SEP] after each but the last, which EOS ends; each has a z_t, so G = T,
ragged over texts. The recurrent paradigm (RGD, Eq. 5-7) has priors p(z_t | z_<t, x_<t); ``cgd`` (Eq. 4) forgets z_<t
and ``ind`` (Eq. 3) has N(0, I). All are on one GPT-2, encoder and decoder. A text with [SEP]s in it is one way to
write x down, so -log p(x, [SEP]s) is a bound of -log p(x): the cost of [SEP]s is in every likelihood, and they are not
counted as tokens of x.

``trace-p`` samples all z_t of a training step at once (Sec. 4.2, Eq. 12-14). These z come from no density that can be
evaluated, only approximately from q: training takes the KL of Eq. 6 between the true conditionals at them. The exact
bound does not: outside of training its posterior, too, is sampled one z_t after the other from Eq. 10, so that log q
and log p are those of the z at hand. Its generative model is trace-r's; the approximation changes what it learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from bench.backbones.base import Backbone, Context, Injection
from bench.backbones.decoder_only import DecoderOnly
from bench.batch import Batch
from bench.decoding import Steering
from bench.errors import BenchError
from bench.methods.base import Condition, Method, MethodOptions, changed, linear
from bench.methods.embed import to_embedding
from bench.methods.gaussian import (
    Gaussian,
    IndependentPosterior,
    Posterior,
    only_present,
    split_gaussian,
    standard_normal,
)
from bench.methods.recurrent import Normalise, Reading, RecurrentPosterior, previous
from bench.segments import Segments, fixed_breaks


@dataclass(frozen=True)
class TraceOptions(MethodOptions):
    """What makes the paradigms of Sec. 3.2, and the parts that Table 5 takes away.

    Attributes
    ----------
    segment_length: tokens of a segment (Sec. 5.2: 10), where the batch does not say where sentences begin.
    dependence: of z_t: "recurrent" on z_{t-1} and the text before (RGD), "context" on that text alone (CGD), or
        "independent", priors N(0, I) (IND).
    parallel: sample all z_t of a training step at once (Eq. 12-14).
    residual: the posterior is the prior moved and scaled by functions of x_t (Eq. 10); else it has a mean and variance
        of its own, from the same z_{t-1} and x_<t and from x_t.
    normalisation: of what x_t adds to the mean (of the whole mean, if not residual): "layer", "batch" or "none".
    normalised: "mean", or "both": Eq. 11 as written, which also scales log-variances to +-gamma.
    gamma: the fixed scale of that normalisation; its bias is trained (Sec. 5.2: 3).
    clamp: log-variances of priors (and of posteriors that are not residual) are held in [-clamp, clamp], as in DELLA's
        code, by the same authors. Without, training diverges: the KL that Theorem 1 promises is divided by sigma_t^2,
        and a larger sigma_t makes a larger z_t, which makes a larger sigma_{t+1}.
    spectral: hold W_mu1 and W_sigma1 at spectral norm 1, by one power iteration a step (Sec. 4.2).
    """

    segment_length: PositiveInt = 10
    dependence: Literal["recurrent", "context", "independent"] = "recurrent"
    parallel: bool = False
    residual: bool = True
    normalisation: Literal["layer", "batch", "none"] = "layer"
    normalised: Literal["mean", "both"] = "mean"
    gamma: PositiveFloat = 3.0
    clamp: PositiveFloat = 5.0
    spectral: bool = False


class Trace(Method):
    """p(x, z) = prod_t p(z_t | z_<t, x_<t) p(x_t | z_<=t, x_<t): Eq. 5. Segments t count from 1 in the paper, 0 here.

    With a condition c (stories), c is what comes before the first segment: x_<1 = c, for the prior of z_1 too.
    """

    variants = {
        "trace-r": {},
        "trace-p": {"parallel": True, "spectral": True},
        "ind": {"dependence": "independent"},
        "cgd": {"dependence": "context"},
        "trace-r-ln": {"normalisation": "none"},
        "trace-r-rp": {"residual": False},
        "trace-r+bn": {"normalisation": "batch"},
        "trace-p-sn": {"parallel": True},
    }
    backbones = ("gpt2", "llama")
    Options = TraceOptions
    options: TraceOptions

    def __init__(self, backbone: Backbone, options: TraceOptions) -> None:
        assert isinstance(backbone, DecoderOnly)
        recurrent, independent = options.dependence == "recurrent", options.dependence == "independent"
        of_normalisation = ("normalised", "gamma")
        of_recurrence = ("parallel", "residual", "normalisation", *of_normalisation, "spectral")
        for wrong, what in (
            (options.bow, "bow, a bag of the whole text's words: each of its latent variables is of one segment"),
            (not recurrent and changed(options, of_recurrence),
             f"what is for recurrent dependence, and have '{options.dependence}'"),
            (options.normalisation == "none" and changed(options, of_normalisation),
             "normalised or gamma, of a normalisation that there is not"),
            (options.parallel and not options.residual,
             "parallel sampling of posteriors that are not residual: Eq. 12-14 are of residual ones"),
            (options.normalisation == "batch" and not options.residual,
             "batch normalisation of means that depend on z: the batch of a step is not that of a text"),
        ):  # fmt: skip
            if wrong:
                raise BenchError(f"options ask for {what}")
        super().__init__(backbone, options)
        d, p = backbone.width, options.latent
        self.separator = backbone.vocabulary
        backbone.extend(tokens=1, positions=backbone.positions)  # a text has at most as many [SEP]s as tokens
        self.w_mean, self.w_logvar = (self._recurrent_weights() if recurrent else None for _ in range(2))  # W_mu1, ...
        self.f = None if independent else linear(d, 2 * p)  # prior, Eq. 9: W_mu2, W_sigma2
        self.g = linear(d, 2 * p)  # posterior, Eq. 11
        self.w_q = linear(p + d, 2 * p, bias=False) if recurrent and not options.residual else None
        self.normalise = Normalise(options) if recurrent else None
        self.project = to_embedding(p, backbone)

    def _recurrent_weights(self) -> nn.Module:
        weights = linear(self.options.latent, self.options.latent, bias=False)
        return spectral_norm(weights) if self.options.spectral else weights

    # Reading a text ----------------------------------------------------------------------------------------------

    def breaks(self, batch: Batch) -> Tensor:
        """[B, T] where segments begin: with sentences where the batch knows them, else every ``segment_length``."""
        return fixed_breaks(batch, self.options.segment_length) if batch.breaks is None else batch.breaks

    def segmented(self, batch: Batch) -> Segments:
        """The texts with [SEP]s."""
        return Segments.of(batch, self.breaks(batch), self.separator)

    def used(self, batch: Batch) -> Tensor:
        return self.separators(batch) + 1

    def separators(self, batch: Batch) -> Tensor:
        return self.breaks(batch).sum(1)

    def condition(self, batch: Batch) -> Reading:
        """Both passes of the encoder (Sec. 4.1) at once, and the parts of all Gaussians that no z is in."""
        segments = self.segmented(batch)
        joint = segments if batch.condition is None else segments.after(batch.condition)
        own = {
            "recurrent": joint.intra_mask(),  # x_t
            "independent": joint.extra_mask(),  # x_<=t
            "context": joint.text.mask[:, None, :].expand(-1, joint.index.shape[1], -1),  # all of x
        }[self.options.dependence]
        read = joint.text.ids.repeat(2, 1), torch.cat([joint.extra_mask(), own])
        extra, own = self.backbone.encode(*read)[-1].chunk(2)
        before, x = _at(extra, self.before(joint)), _at(own, joint.ends)
        if batch.condition is None:
            before, context = F.pad(before[:, 1:], (0, 0, 1, 0)), None
        else:
            context = self.backbone.context(batch.condition)
        return Reading(
            context,
            segments=segments,
            given_text=self._given_text(before, batch.condition is not None),
            given_z=self._given_z(),
            own=self._own(before, x, segments.present),
        )

    def before(self, joint: Segments) -> Tensor:
        """[B, T], where the state that stands for x_<t is: at the [SEP] *before* segment t, which has not seen x_t.

        Before the first that is the end of the prompt; without one there is no state, and x_<1 is 0.
        """
        first = (joint.index < 0).sum(1, keepdim=True) - 1
        return torch.cat([first.clamp(min=0), joint.ends[:, :-1]], 1)

    def _given_text(self, before: Tensor, conditional: bool) -> Tensor:
        if self.f is None:
            return before.new_zeros(*before.shape[:2], 2 * self.options.latent)
        text = self.f(before)
        return text if conditional else torch.cat([torch.zeros_like(text[:, :1]), text[:, 1:]], 1)  # p(z_1) = N(0, I)

    def _given_z(self) -> Tensor:
        if self.w_mean is None or self.w_logvar is None:
            return self.g.weight.new_zeros(2 * self.options.latent, self.options.latent)
        return torch.cat([self.w_mean.weight, self.w_logvar.weight])  # type: ignore[list-item]

    def _own(self, before: Tensor, x: Tensor, present: Tensor) -> Tensor:
        own = self.g(x)
        if self.w_q is not None:  # the part of z_{t-1} follows when it is known, and the normalisation after it
            return own + F.linear(before, self.w_q.weight[:, self.options.latent :])
        return own if self.normalise is None else self.normalise(own, present)

    # Prior and posterior -----------------------------------------------------------------------------------------

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        """p(z_t | z_{t-1}, x_<t) of Eq. 8-9 at z [..., B, G, D]; N(0, I) of the segments that a text does not have."""
        if condition is None:
            return standard_normal(z)
        reading = _reading(condition)
        groups = z.shape[-2]
        parameters = F.linear(previous(z), reading.given_z) + reading.given_text[:, :groups]
        return only_present(reading.segments.present[:, :groups], split_gaussian(parameters, self.options.clamp))

    def posterior(self, batch: Batch, condition: Condition | None = None) -> Posterior:
        reading = _reading(self.condition(batch) if condition is None else condition)
        if self.options.dependence == "recurrent":
            return RecurrentPosterior(self, reading)
        gaussian = split_gaussian(reading.own, self.options.clamp)
        return IndependentPosterior(only_present(reading.segments.present, gaussian))

    def posterior_at(self, previous: Tensor, reading: Reading, own: Tensor, given_text: Tensor) -> Gaussian:
        """q(z_t | z_{t-1}, x_<=t), Eq. 10-11, of some segments: all [..., D] or [..., 2D]."""
        if self.w_q is None:
            prior = split_gaussian(F.linear(previous, reading.given_z) + given_text, self.options.clamp)
            moved, scaled = own.chunk(2, -1)
            return Gaussian(prior.mean + moved, prior.logvar + scaled)
        assert self.normalise is not None
        parameters = F.linear(previous, self.w_q.weight[:, : self.options.latent]) + own
        present = torch.ones(parameters.shape[:-1], dtype=torch.bool, device=parameters.device)
        return split_gaussian(self.normalise(parameters, present), self.options.clamp)

    def sample_prior(
        self, n: int, condition: Condition | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """z_1 alone, [n, 1, D]: the others depend on the text written before them (see :meth:`next_prior`)."""
        like = self.g.weight
        if condition is None or condition.context is None:
            return standard_normal(like.new_zeros(n, 1, self.options.latent)).sample(generator)
        prompt = Batch(condition.context.ids, condition.context.mask.sum(1))
        state = _at(self.backbone.encode(prompt.ids, prompt.mask)[-1], prompt.lengths[:, None] - 1)
        return split_gaussian(self._given_text(state, conditional=True), self.options.clamp).sample(generator)

    def next_prior(self, ids: Tensor, z: Tensor, context: Context | None = None) -> Gaussian:
        """p(z_{t+1} | z_t, x_<=t) of texts [N, S] that have just ended segment t with a [SEP]; z_t is [N, D]."""
        joint = Segments.so_far(ids, self.separator)
        if context is not None:
            joint = joint.after(Batch(context.ids, context.mask.sum(1)))
        state = _at(self.backbone.encode(joint.text.ids, joint.extra_mask())[-1], joint.ends)
        text = self._given_text(state, conditional=True)[:, 0]
        return split_gaussian(F.linear(z, self._given_z()) + text, self.options.clamp)

    # The decoder -------------------------------------------------------------------------------------------------

    def inject(self, z: Tensor) -> Injection:
        """z [N, T, D] of each of T positions, not of each segment."""
        return Injection(positions=self.project(z))

    def read(self, batch: Batch, z: Tensor) -> tuple[Batch, Injection]:
        """With [SEP]s; z_t is added to the embeddings of the positions that predict a token of segment t."""
        segments = self.segmented(batch)
        samples = len(z) // len(batch)
        last = segments.used[:, None] - 1  # padding predicts nothing, whatever it is given
        group = torch.minimum(segments.predicts, last).repeat(samples, 1)
        return segments.text, self.inject(z.gather(1, group[..., None].expand(-1, -1, z.shape[-1])))

    def steering(
        self, z: Tensor, context: Context | None = None, generator: torch.Generator | None = None
    ) -> SegmentSteering:
        return SegmentSteering(self, z, context, generator)


class SegmentSteering(Steering):
    """The z of the segment that each of N texts is writing: the given ones in turn, up to one that is NaN, then the
    prior's.

    Each [SEP] that a text writes moves it to its next z_t (Sec. 5.2).
    """

    def __init__(
        self, method: Trace, z: Tensor, context: Context | None, generator: torch.Generator | None
    ) -> None:  # z [N, G, D]
        self.method, self.given, self.context, self.generator = method, z, context, generator
        self.z, self.segment = z[:, 0], torch.zeros(len(z), dtype=torch.long, device=z.device)

    def injection(self) -> Injection:
        return self.method.inject(self.z[:, None])

    def select(self, rows: Tensor) -> None:
        self.given, self.z, self.segment = self.given[rows], self.z[rows], self.segment[rows]
        self.context = None if self.context is None else self.context.select(rows)

    def read(self, ids: Tensor) -> None:
        assert self.method.separator is not None
        ended = ids[:, -1].eq(self.method.separator)
        if not ended.any():
            return
        rows = ended.nonzero()[:, 0]
        self.segment = self.segment + ended
        z = self.z.clone()
        last = self.given.shape[1] - 1
        there = (self.segment <= last) & ~self.given[range(len(z)), self.segment.clamp(max=last)].isnan().any(-1)
        known, drawn = rows[there[rows]], rows[~there[rows]]
        z[known] = self.given[known, self.segment[known]]
        if len(drawn):
            context = None if self.context is None else self.context.select(drawn)
            z[drawn] = self.method.next_prior(ids[drawn], self.z[drawn], context).sample(self.generator)
        self.z = z


def _reading(condition: Condition) -> Reading:
    assert isinstance(condition, Reading)
    return condition


def _at(states: Tensor, positions: Tensor) -> Tensor:
    """States [B, S, d] at positions [B, T]: [B, T, d]."""
    return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))
