"""The contract every method fulfils; the arithmetic of its Gaussians is in bench/methods/gaussian.py.

Shapes throughout: B examples of a batch, K samples of z an example, G latent groups (layers, segments, steps), D dims
a group, T positions, d hidden size, V vocabulary. A latent is one tensor ``z[..., B, G, D]``; a plain language model
has G = 0 and every formula below holds for it with empty sums. Densities and divergences are in nats, per group:
whether groups are summed (the bound) or averaged (some papers' arithmetic) is never decided here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from bench import objectives
from bench.backbones.base import Backbone, Context, Injection
from bench.batch import Batch, Sequences
from bench.decoding import Steering, decode
from bench.errors import BenchError
from bench.methods.gaussian import Gaussian, Posterior, standard_normal
from bench.nll import linear_nll
from bench.registry import BACKBONES

if TYPE_CHECKING:
    from bench.schema import Decoding


@dataclass(frozen=True)
class MethodOptions:
    """What every latent-variable method can be told; a method adds its own fields.

    Attributes
    ----------
    latent: dimensions D of one latent group.
    annealing: how beta moves over training, see ``bench.objectives.beta``; "constant" is none.
    kl_reduction: "sum" over groups is the bound; "mean_groups" is what DELLA's released code trains with; "first" and
        "last" train on the KL of one group alone (DELLA Table 4).
    free_bits: lambda in nats; dimensions whose KL is at most that are not trained on (Li et al. 2020, Optimus).
    bow: weight of the bag-of-words loss, 0 for none (DELLA Table 5; 0.2 in its code).
    """

    latent: PositiveInt = 32
    annealing: Literal["cyclical", "half_cycles", "linear", "one_cycle", "constant"] = "cyclical"
    kl_reduction: Literal["sum", "mean_groups", "first", "last"] = "sum"
    free_bits: NonNegativeFloat = 0.0
    bow: NonNegativeFloat = 0.0


def changed(options: MethodOptions, names: Iterable[str]) -> list[str]:
    """Those of these options that are not their defaults."""
    return [name for name in names if getattr(options, name) != getattr(type(options), name)]


def refuse(options: MethodOptions, names: Iterable[str], why: str) -> None:
    """Raise where one of these options is not its default: nothing would read it, and the row would say it is there."""
    if found := changed(options, names):
        raise BenchError(f"options ask for {found[0]}; {why}")


def linear(inputs: int, outputs: int, bias: bool = True, std: float = 0.02) -> nn.Linear:
    """A linear map that starts as GPT-2's own do: weights N(0, std^2), bias 0.

    PyTorch's default is several times larger than GPT-2's embeddings: z would drown the words it is added to.
    """
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, 0.0, std)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class Condition:
    """What a method knows of the conditions c of a batch, encoded once.

    Attributes
    ----------
    context: what the decoder is given; None where there are no conditions, and a method only keeps here what it reads
        of the texts once for their priors and posteriors.
    states: the encoder's states of c after each layer, L × [B, S, d] (``mask`` marks real positions).
    """

    context: Context | None
    states: Sequence[Tensor] = ()

    @property
    def mask(self) -> Tensor:
        """[B, S], True at the real positions of c."""
        assert self.context is not None, "there is a condition"
        return self.context.mask


@dataclass(frozen=True)
class Stage:
    """One stage of a method's training, by a schedule of its own from beginning to end.

    Attributes
    ----------
    terms: (batch, beta) -> what is minimised; KL is weighted by beta after it, auxiliary losses are as they come.
    beta: (step, annealing period, total), in steps of this stage -> beta.
    name: in history.csv; "" where there is but one stage.
    trained: the parts of the method whose parameters are trained; none named: all.
    judged: whether validation goes by rec + KL, the bound, or by rec alone, where the KL is not yet trained.
    begin: called with the training sequences and the device before the first step.
    adaptive: trained by AdamW where the suite trains by SGD: at the rate of 1 that suits an LSTM others diverge.
    ahead: parts trained alone before each step, for as long as it makes z say more of x; see bench/aggressive.py.
    settled: (steps done, annealing period, total) -> whether ``terms`` are by then what the stage is about. Elsewhere
        no weights are kept for how they validate, nor is the rate halved; None: they always are.
    validated: batch -> the parts of the bound that this stage changes, 0 for the others; None: all of it.
    """

    terms: Callable[[Batch, float | Tensor], Terms]
    beta: Callable[[int, int, int], float]
    name: str = ""
    trained: Sequence[str] = ()
    judged: Literal["bound", "rec"] = "bound"
    begin: Callable[[Sequences, torch.device], None] | None = None
    adaptive: bool = False
    ahead: Sequence[str] = ()
    settled: Callable[[int, int, int], bool] | None = None
    validated: Callable[[Batch], Terms] | None = None


@dataclass(frozen=True)
class Terms:
    """What training minimises, of each example, in nats: the parts of the negative ELBO and what a trick adds.

    Attributes
    ----------
    rec: [B], -log p(x|z).
    kl_dims: [B, G, D], KL of each latent dimension; 0 in groups that an example does not have.
    auxiliary: [B], weighted losses that are no part of the ELBO (bag of words).
    used: [B], the groups each example has, its first ones; None where all have G.
    length: [B], see :meth:`Method.length_nll`.
    """

    rec: Tensor
    kl_dims: Tensor
    auxiliary: Tensor | None = None
    used: Tensor | None = None
    length: Tensor | None = None

    @property
    def kl(self) -> Tensor:
        """[B, G]."""
        return self.kl_dims.sum(-1)


class BagOfWords(nn.Module):
    """p(w|z) = softmax(W z + b), the same for every position of x (Wang et al. 2017; Zhao et al. 2017)."""

    def __init__(self, latent: int, vocabulary: int) -> None:
        super().__init__()
        self.project = linear(latent, vocabulary)

    def forward(self, z: Tensor, batch: Batch) -> Tensor:
        """z [B, G, D] -> -sum_t log p(x_t|z) over the tokens of x, without EOS, nats: [B]."""
        log_p = self.project(z.flatten(1)).log_softmax(-1)
        words = torch.arange(batch.targets.shape[1], device=z.device) < batch.predicted[:, None] - 1
        return -(log_p.gather(1, batch.targets) * words).sum(-1)


class Method(nn.Module, ABC):
    """A text generator: a backbone, the latent variables it has, and where they enter.

    A new method is one file with one subclass. It sets ``variants`` (its public names, each with the options that
    make it) and fulfils ``posterior`` and ``inject``; a prior other than one group of N(0, I) overrides ``groups`` and
    ``prior``, and where groups depend on each other also ``sample_prior``; the rest follows. Where texts differ in the
    number of their groups (segments), see ``used``, ``read`` and ``steering``.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    backbones: ClassVar[tuple[str, ...]] = BACKBONES  # kinds it can be on: a literal beside ``variants``, as that is
    Options: ClassVar[type[MethodOptions]] = MethodOptions
    separator: int | None = None  # the token it writes between segments, which is in no text
    certain: ClassVar[bool] = False  # whether q(z|x) is a single point, of which more samples say nothing more

    def __init__(self, backbone: Backbone, options: MethodOptions) -> None:
        super().__init__()
        self.backbone = backbone
        self.options = options
        words = self.groups * options.latent if options.bow else 0
        self.bow = BagOfWords(words, backbone.vocabulary) if words else None

    # What a method says about itself -----------------------------------------------------------------------------

    @abstractmethod
    def posterior(self, batch: Batch, condition: Condition | None = None) -> Posterior:
        """q(z|x) or q(z|x, c) of a batch. Must not depend on the padding or on the other examples of the batch."""

    @abstractmethod
    def inject(self, z: Tensor) -> Injection:
        """z [N, G, D] -> where it enters the decoder for N sequences."""

    @property
    def groups(self) -> int:
        """Number of latent groups G (0: a plain language model); 1 where it is each text's own, see :meth:`used`."""
        return 1

    @property
    def of_whole_batches(self) -> str:
        """What a training step takes from all texts of a batch, which then cannot be divided; "" for nothing."""
        return "batch normalisation" if _normalises(self) else ""

    @property
    def fewest_texts(self) -> int:
        """How many texts a batch has at least, for a training step: two where a normalisation is over them."""
        return 2 if _normalises(self) else 1

    def used(self, batch: Batch) -> Tensor:
        """[B], the latent groups each text has; G of a batch is the most of them.

        Groups that a text does not have come after its own and are N(0, I) under prior and posterior: they add
        exactly 0 to every KL and to log p(z) - log q(z|x), and nothing is to be decoded from them.
        """
        return torch.full_like(batch.lengths, self.groups)

    def separators(self, batch: Batch) -> Tensor:
        """[B], tokens this method predicts besides x and EOS, between segments; their cost is in log p(x|z)."""
        return torch.zeros_like(batch.lengths)

    def read(self, batch: Batch, z: Tensor) -> tuple[Batch, Injection]:
        """The text as the decoder reads it, and where z [N, G, D] enters, N a multiple of B."""
        return batch, self.inject(z)

    def steering(self, z: Tensor, context: Context | None = None, generator: torch.Generator | None = None) -> Steering:
        """z [N, G, D] on its way through the decoding of N texts; by default the same at every position."""
        return Steering(self, z)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        """The Gaussians p(z_g | z_<g, c) at z [..., B, G, D]; by default N(0, I), whatever c is."""
        return standard_normal(z)

    def sample_prior(
        self, n: int, condition: Condition | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """n draws from the prior, one for each of n conditions where there are any: [n, G, D]."""
        like = next(self.parameters())
        return self.prior(like.new_zeros(n, self.groups, self.options.latent), condition).sample(generator)

    def sample_prior_for(self, n: int, tokens: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws for texts of so many tokens and EOS; without a latent sequence just any."""
        return self.sample_prior(n, generator=generator)

    @property
    def output_weight(self) -> Tensor:
        """[V, d], the linear map from last hidden states to logits."""
        return self.backbone.output_weight

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., d] -> [..., V], for decoding; a likelihood has them of ``output_weight`` itself."""
        return F.linear(hidden, self.output_weight)

    def stages(self) -> Sequence[Stage]:
        """What is trained, one stage after the other; by default everything, on the ELBO, in one.

        Where beta begins anew in every cycle (Fu et al. 2019) only steps at beta = 1 are judged: on the way there the
        bound is worse, which is no plateau.
        """
        beta = partial(objectives.beta, self.options.annealing)
        whole = Stage(lambda batch, beta: self.terms(batch), beta)
        if self.options.annealing == "half_cycles":
            whole = replace(whole, settled=lambda step, *of: beta(step - 1, *of) == 1)
        return (whole,)

    def every_z(self) -> tuple[Tensor, Tensor] | None:
        """All z there are, [S, G, D], and log p(z), [S], where they can be listed: p(x) is then their sum, exactly."""
        return None

    def length_nll(self, batch: Batch) -> Tensor | None:
        """[B], nats of -log p(T), or of the end code after z_1 ... z_T, where the latent sequence has a length.

        It is a part of every bound and of no group's KL. None: how many groups a text has is no part of z.
        """
        return None

    # What follows from it ----------------------------------------------------------------------------------------

    def condition(self, batch: Batch) -> Condition | None:
        """The conditions of a batch by the encoder (DELLA Sec. 4.4: the same one that encodes x); None without any."""
        if batch.condition is None:
            return None
        states = self.backbone.encode(batch.condition.ids, batch.condition.mask)
        return Condition(self.backbone.context(batch.condition, states), states)

    def terms(self, batch: Batch, generator: torch.Generator | None = None) -> Terms:
        """rec and kl of each example at one posterior sample; kl is closed-form given that sample (DELLA Eq. 6)."""
        condition = self.condition(batch)
        posterior = self.posterior(batch, condition)
        z = posterior.sample(1, generator)[0]
        rec = -self.log_likelihood(batch, z, condition)
        kl_dims = posterior.conditional(z).kl_dims(self.prior(z, condition))
        auxiliary = self.options.bow * self.bow(z, batch) if self.bow is not None else None
        return Terms(rec, kl_dims, auxiliary, self.used(batch), self.length_nll(batch))

    def log_prior(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """log p(z_g | z_<g, c) at z [..., B, G, D], nats: [..., B, G]."""
        return self.prior(z, condition).log_prob(z)

    def log_likelihood(self, batch: Batch, z: Tensor, condition: Condition | None = None) -> Tensor:
        """log p(x|z) or log p(x|z, c) at z [..., B, G, D], nats, summed over predicted tokens: [..., B]."""
        lead = z.shape[:-2]  # [..., B]
        samples = math.prod(lead[:-1])
        flat = z.reshape(samples * len(batch), *z.shape[-2:])
        batch, injection = self.read(batch, flat)
        context = None if condition is None else condition.context
        if not injection.into_blocks:
            # z enters after the blocks, so all samples of an example share one pass through them
            hidden = injection.after(self.backbone.decode(batch.inputs, context=context).repeat(samples, 1, 1))
        else:
            repeated = None if context is None else context.repeat(samples)
            hidden = self.backbone.decode(batch.inputs.repeat(samples, 1), injection, repeated)
        copies = torch.arange(samples, device=z.device)[:, None] * batch.targets.numel()
        at = (copies + batch.predictions).flatten()
        targets = batch.targets.flatten().repeat(samples)[at]
        nll = linear_nll(hidden.flatten(0, 1).index_select(0, at), self.output_weight, targets)
        by_position = nll.new_zeros(samples * batch.targets.numel()).index_copy(0, at, nll)
        return -by_position.view(*lead, -1).sum(-1)

    def decode(
        self, z: Tensor, decoding: Decoding, max_tokens: int, condition: Condition | None = None,
        generator: torch.Generator | None = None,
    ) -> list[list[int]]:  # fmt: skip
        """z [N, G, D] -> N token lists, ``x EOS`` (EOS missing where cut at ``max_tokens``)."""
        return decode(self, z, decoding, max_tokens, None if condition is None else condition.context, generator)


def _normalises(method: Method) -> bool:
    return any(isinstance(part, nn.BatchNorm1d) for part in method.modules())
