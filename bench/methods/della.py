"""``della``: layer-wise latent variables fused with the value vectors (Hu et al. 2022, "Fuse It More Deeply!").

One z_l a layer, G = L. Each is inferred from the lower ones and from the encoder states of its own layer (Eq. 7-8),
and multiplies the values of the same decoder layer (Eq. 9). ``della@paper`` is trained as the released code trains:
KL averaged over layers, so that beta is in effect at most 1/L, and fusion weights drawn from N(0, 0.02).

The ablations of Table 4 each take one part away: ``della-ltp`` the tensor product, ``della-lw`` the layers' own
latent variables, ``della-separate`` the dependence between them, ``della-kl-first`` and ``-last`` the KL of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from bench.backbones.base import Backbone, Injection, make_pooling
from bench.batch import Batch
from bench.errors import BenchError
from bench.methods.base import Condition, Method, MethodOptions, linear, refuse
from bench.methods.gaussian import Gaussian, split_gaussian, standard_normal


@dataclass(frozen=True)
class DellaOptions(MethodOptions):
    """Choices the paper and its code leave open, and the parts its ablations take away; the defaults are this suite's.

    Attributes
    ----------
    pooling: "attention" (code) or "first_token" (paper text) as the representation x^(l) of layer l.
    latents: "layerwise" is Eq. 7-8; "separate" infers each z_l from its layer alone, with independent priors; "single"
        has one z, inferred from the last layer, for all layers.
    fusion: "tensor_product" is Eq. 9; "memory" makes z_l an extra key and value of layer l.
    start, end: the layers, counted from 1, that have a latent variable (Fig. 2); end 0 is the last layer.
    first_prior: p(z_1), "standard" N(0, I) (paper) or "learned", a constant Gaussian (code).
    clamp: log-variances are held in [-clamp, clamp] (code: 5).
    rank: r of Eq. 9.
    product: "paper" is Eq. 9; "liu" is the cited low-rank fusion, sum_j (W_v^j v) * (W_z^j z).
    initialisation: "identity" starts from v~ = v; "paper" draws N(0, 0.02), which forgets pretrained values.
    untied: an LM head of its own, as in the code (the printed 193,353,984 parameters), instead of the embeddings.
    """

    pooling: Literal["attention", "first_token"] = "attention"
    latents: Literal["layerwise", "separate", "single"] = "layerwise"
    fusion: Literal["tensor_product", "memory"] = "tensor_product"
    start: int = 1
    end: int = 0
    first_prior: Literal["standard", "learned"] = "standard"
    clamp: PositiveFloat = 5.0
    rank: PositiveInt = 4
    product: Literal["paper", "liu"] = "paper"
    initialisation: Literal["identity", "paper"] = "identity"
    untied: bool = False


class Della(Method):
    """p(z) = prod_l p(z_l | z_<l), q(z|x) = prod_l q(z_l | z_<l, x): Sec. 4.1; fusion: Sec. 4.2; with c: Sec. 4.4.

    Below, ``group`` counts latent variables from 0 and ``layers`` are those of the backbone that have one.
    """

    variants = {
        "della": {},
        "della@paper": {"kl_reduction": "mean_groups", "initialisation": "paper"},
        "della-ltp": {"fusion": "memory"},
        "della-lw": {"latents": "single"},
        "della-separate": {"latents": "separate"},
        "della-kl-first": {"kl_reduction": "first"},
        "della-kl-last": {"kl_reduction": "last"},
        "della+none": {"annealing": "constant"},
        "della+bow": {"annealing": "constant", "bow": 0.2},
        "della+annealing+bow": {"bow": 0.2},
    }
    Options = DellaOptions
    options: DellaOptions

    def __init__(self, backbone: Backbone, options: DellaOptions) -> None:
        if options.fusion == "memory":
            refuse(options, ("rank", "product", "initialisation"), "it is of the tensor product, and fusion is memory")
        self.layers = _layers(backbone.layers, options)
        super().__init__(backbone, options)
        d, values, p, groups = backbone.width, backbone.values, options.latent, self.groups
        lower = p if options.latents == "layerwise" else 0  # width of z_<l
        c = d if backbone.conditional else 0  # and of c^(l)
        chained = groups if lower else 1
        self.w_hh = nn.ModuleList(linear(p, p, bias=False) for _ in range(chained - 2))  # z_<1 = 0: no W_hh for l = 2
        self.w_ih = nn.ModuleList(linear(p, p, bias=False) for _ in range(chained - 1))
        self.pooling = nn.ModuleList(make_pooling(options.pooling, d) for _ in range(groups))
        self.w_p = nn.ModuleDict(
            {str(group): linear(lower + c, 2 * p) for group in range(groups) if c or (lower and group)}
        )
        self.w_q = nn.ModuleList(linear(lower + d + c, 2 * p) for _ in range(groups))
        self.fusion = nn.ModuleList(
            linear(p, values) if options.fusion == "memory" else TensorProduct(values, p, options) for _ in self.layers
        )
        learned = options.first_prior == "learned" and "0" not in self.w_p
        self.first = nn.Parameter(torch.zeros(2 * p)) if learned else None
        self.head = linear(d, backbone.vocabulary, bias=False) if options.untied else None

    @property
    def groups(self) -> int:
        return 1 if self.options.latents == "single" else len(self.layers)

    def lower(self, group: int, lower: Tensor, z: Tensor) -> Tensor:
        """Eq. 7: z_<l from z_<l-1 and z_{l-1}, for ``group`` >= 1; all [..., p], or [..., 0] without dependence."""
        if not len(self.w_ih):
            return lower
        from_z = self.w_ih[group - 1](z)
        return torch.tanh(from_z if group == 1 else self.w_hh[group - 2](lower) + from_z)

    def no_lower(self, *shape: int) -> Tensor:
        """z_<1 = 0: [*shape, p], or [*shape, 0] without dependence."""
        return self.w_q[0].weight.new_zeros(*shape, self.options.latent if self.options.latents == "layerwise" else 0)

    def all_lower(self, z: Tensor) -> list[Tensor]:
        """z [..., G, p] -> z_<l of every group, G × [..., p]."""
        lower = [self.no_lower(*z.shape[:-2])]
        for group in range(1, self.groups):
            lower.append(self.lower(group, lower[-1], z[..., group - 1, :]))
        return lower

    def pooled(self, states: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
        """Encoder states L × [B, T, d] -> x^(l) or c^(l) of the layers with a latent variable, G × [B, d]."""
        layers = self.layers[-self.groups :]  # a single latent variable is inferred from the last of them
        return [pool(states[layer], mask) for pool, layer in zip(self.pooling, layers, strict=True)]

    def prior_layer(self, group: int, lower: Tensor, c: Tensor | None = None) -> Gaussian:
        """Eq. 8 or 12, first line: p(z_l | z_<l) or p(z_l | z_<l, c) with lower [..., p] and c^(l) [B, d]."""
        if str(group) in self.w_p:
            return split_gaussian(_joint(self.w_p[str(group)], lower, c), self.options.clamp)
        if group == 0 and self.first is not None:
            return split_gaussian(self.first.expand(*lower.shape[:-1], -1), self.options.clamp)
        return standard_normal(lower.new_zeros(*lower.shape[:-1], self.options.latent))

    def posterior_layer(self, group: int, lower: Tensor, x: Tensor) -> Gaussian:
        """Eq. 8 or 12, second line: q(z_l | z_<l, x) with lower [..., B or 1, p] and [x^(l); c^(l)] [B, d or 2d]."""
        return split_gaussian(_joint(self.w_q[group], lower, x), self.options.clamp)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> LayerwisePosterior:
        pooled = self.pooled(self.backbone.encode(batch.ids, batch.mask), batch.mask)
        if condition is not None:
            pooled = [torch.cat(pair, -1) for pair in zip(pooled, self._pooled(condition), strict=True)]
        return LayerwisePosterior(self, pooled)

    def prior(self, z: Tensor, condition: Condition | None = None) -> Gaussian:
        c = self._pooled(condition)
        return _stack([self.prior_layer(group, lower, c[group]) for group, lower in enumerate(self.all_lower(z))])

    def sample_prior(
        self, n: int, condition: Condition | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        c = self._pooled(condition)
        return self.ancestral((n,), lambda group, lower: self.prior_layer(group, lower, c[group]).sample(generator))

    def ancestral(self, shape: tuple[int, ...], draw: Callable[[int, Tensor], Tensor]) -> Tensor:
        """z_1, z_2, ... each drawn by ``draw(group, z_<l)`` -> [*shape, p]; returns [*shape, G, p]."""
        lower = self.no_lower(*shape)
        drawn = [draw(0, lower)]
        for group in range(1, self.groups):
            lower = self.lower(group, lower, drawn[-1])
            drawn.append(draw(group, lower))
        return torch.stack(drawn, dim=-2)

    def inject(self, z: Tensor) -> Injection:
        places: list[Any] = [None] * self.backbone.layers
        for i, (layer, fuse) in enumerate(zip(self.layers, self.fusion, strict=True)):
            of_layer = z[:, min(i, self.groups - 1)]
            places[layer] = fuse.at(of_layer) if isinstance(fuse, TensorProduct) else fuse(of_layer)[:, None]
        return Injection(memory=places) if self.options.fusion == "memory" else Injection(value=places)

    @property
    def output_weight(self) -> Tensor:
        return super().output_weight if self.head is None else self.head.weight

    def _pooled(self, condition: Condition | None) -> list[Tensor] | list[None]:
        """c^(l), G × [B, d]."""
        if condition is None:
            return [None] * self.groups
        return self.pooled(condition.states, condition.mask)


class LayerwisePosterior:
    """q(z|x) of a batch: the method's weights and pooled states x^(l) (c^(l) beside them), G × [B, d or 2d]."""

    def __init__(self, method: Della, pooled: list[Tensor]) -> None:
        self.method, self.pooled = method, pooled

    def _at(self, group: int, lower: Tensor) -> Gaussian:
        return self.method.posterior_layer(group, lower, self.pooled[group])

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        shape = (k, len(self.pooled[0]))
        return self.method.ancestral(shape, lambda group, lower: self._at(group, lower).sample(generator))

    def conditional(self, z: Tensor) -> Gaussian:
        return _stack([self._at(group, lower) for group, lower in enumerate(self.method.all_lower(z))])

    def log_prob(self, z: Tensor) -> Tensor:
        return self.conditional(z).log_prob(z)

    @property
    def mean(self) -> Tensor:
        return self.method.ancestral((len(self.pooled[0]),), lambda group, lower: self._at(group, lower).mean)

    @property
    def logvar(self) -> Tensor:
        return self.conditional(self.mean).logvar


class TensorProduct(nn.Module):
    """Eq. 9: v~ = (sum_j W_v^j v) * (sum_j W_z^j z), element-wise, with biases on both factors as in the code."""

    def __init__(self, d: int, p: int, options: DellaOptions) -> None:
        super().__init__()
        rank, self.product = options.rank, options.product
        self.weight_v, self.bias_v = nn.Parameter(torch.empty(rank, d, d)), nn.Parameter(torch.zeros(rank, d))
        self.weight_z, self.bias_z = nn.Parameter(torch.empty(rank, d, p)), nn.Parameter(torch.zeros(rank, d))
        with torch.no_grad():
            if options.initialisation == "paper":
                self.weight_v.normal_(0, 0.02)
                self.weight_z.normal_(0, 0.02)
            else:  # v~ = v: the factors are v and 1 (for "liu", each of the r terms is v / r times 1)
                self.weight_v.copy_(torch.eye(d).expand(rank, d, d) / rank)
                self.weight_z.zero_()
                self.bias_z.fill_(1 if self.product == "liu" else 1 / rank)

    def at(self, z: Tensor) -> Callable[[Tensor], Tensor]:
        """z [N, p] -> the map v [N, T, d] -> v~ [N, T, d] of this layer."""
        if self.product == "liu":
            factors = torch.einsum("np,rdp->nrd", z, self.weight_z) + self.bias_z

            def liu(v: Tensor) -> Tensor:
                terms = torch.einsum("ntc,rdc->ntrd", v, self.weight_v) + self.bias_v
                return (terms * factors[:, None]).sum(2)

            return liu
        # a sum of linear maps of one input is one linear map: sum the weights once, not the products
        weight_v, bias_v = self.weight_v.sum(0), self.bias_v.sum(0)
        factor = F.linear(z, self.weight_z.sum(0), self.bias_z.sum(0))[:, None]
        return lambda v: F.linear(v, weight_v, bias_v) * factor


def _layers(count: int, options: DellaOptions) -> range:
    """The layers with a latent variable, counted from 0."""
    end = options.end or count
    if not 1 <= options.start <= end <= count:
        raise BenchError(f"layers {options.start} to {end} of a backbone of {count}")
    return range(options.start - 1, end)


def _joint(project: nn.Module, lower: Tensor, x: Tensor | None) -> Tensor:
    """W [z_<l ; x] + b as two products: z_<l [..., B or 1, p] and x [B, d] broadcast without being copied."""
    assert isinstance(project, nn.Linear)
    p = lower.shape[-1]
    if x is None:
        return project(lower)
    return F.linear(lower, project.weight[:, :p]) + F.linear(x, project.weight[:, p:], project.bias)


def _stack(layers: list[Gaussian]) -> Gaussian:
    """L Gaussians [..., p] -> one [..., L, p]; layers may broadcast over leading dimensions."""
    means = torch.broadcast_tensors(*(g.mean for g in layers))
    logvars = torch.broadcast_tensors(*(g.logvar for g in layers))
    return Gaussian(torch.stack(means, dim=-2), torch.stack(logvars, dim=-2))
