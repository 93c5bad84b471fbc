"""``della``: layer-wise latent variables fused with the value vectors (Hu et al. 2022, "Fuse It More Deeply!").

One z_l a layer, G = L. Each is inferred from the lower ones and from the encoder states of its own layer (Eq. 7-8),
and multiplies the values of the same decoder layer (Eq. 9). ``della@paper`` is trained as the released code trains:
KL averaged over layers, so that beta is in effect at most 1/L, and fusion weights drawn from N(0, 0.02).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.backbones.gpt2 import GPT2, Injection
from bench.batch import Batch
from bench.methods.base import Gaussian, Method, MethodOptions, linear, split_gaussian, standard_normal
from bench.methods.single import make_pooling


@dataclass(frozen=True)
class DellaOptions(MethodOptions):
    """Choices the paper and its code leave open; the defaults are this suite's.

    Attributes
    ----------
    pooling: "attention" (code) or "first_token" (paper text) as the representation x^(l) of layer l.
    first_prior: p(z_1), "standard" N(0, I) (paper) or "learned", a constant Gaussian (code).
    clamp: log-variances are held in [-clamp, clamp] (code: 5).
    rank: r of Eq. 9.
    product: "paper" is Eq. 9; "liu" is the cited low-rank fusion, sum_j (W_v^j v) * (W_z^j z).
    initialisation: "identity" starts from v~ = v; "paper" draws N(0, 0.02), which forgets pretrained values.
    untied: an LM head of its own, as in the code (the printed 193,353,984 parameters), instead of the embeddings.
    """

    pooling: Literal["attention", "first_token"] = "attention"
    first_prior: Literal["standard", "learned"] = "standard"
    clamp: float = 5.0
    rank: int = 4
    product: Literal["paper", "liu"] = "paper"
    initialisation: Literal["identity", "paper"] = "identity"
    untied: bool = False


class Della(Method):
    """p(z) = prod_l p(z_l | z_<l), q(z|x) = prod_l q(z_l | z_<l, x): Sec. 4.1; fusion: Sec. 4.2."""

    variants = {
        "della": {},
        "della@paper": {"kl_reduction": "mean_groups", "initialisation": "paper"},
    }
    Options = DellaOptions
    options: DellaOptions

    def __init__(self, backbone: GPT2, options: DellaOptions) -> None:
        super().__init__(backbone, options)
        d, p, layers = backbone.width, options.latent, backbone.layers
        self.w_hh = nn.ModuleList(linear(p, p, bias=False) for _ in range(layers - 2))  # z_<1 = 0: no W_hh for l = 2
        self.w_ih = nn.ModuleList(linear(p, p, bias=False) for _ in range(layers - 1))
        self.pooling = nn.ModuleList(make_pooling(options.pooling, d) for _ in range(layers))
        self.w_p = nn.ModuleList(linear(p, 2 * p) for _ in range(layers - 1))
        self.w_q = nn.ModuleList(linear(p + d, 2 * p) for _ in range(layers))
        self.fusion = nn.ModuleList(TensorProduct(d, p, options) for _ in range(layers))
        self.first = nn.Parameter(torch.zeros(2 * p)) if options.first_prior == "learned" else None
        self.head = linear(d, backbone.config.vocab_size, bias=False) if options.untied else None

    @property
    def groups(self) -> int:
        return self.backbone.layers

    def lower(self, layer: int, lower: Tensor, z: Tensor) -> Tensor:
        """Eq. 7: z_<l from z_<l-1 and z_{l-1}, for l = ``layer`` >= 1 counted from 0; all [..., p]."""
        from_z = self.w_ih[layer - 1](z)
        return torch.tanh(from_z if layer == 1 else self.w_hh[layer - 2](lower) + from_z)

    def all_lower(self, z: Tensor) -> list[Tensor]:
        """z [..., L, p] -> z_<l of every layer, L × [..., p]; z_<1 = 0."""
        lower = [torch.zeros_like(z[..., 0, :])]
        for layer in range(1, self.groups):
            lower.append(self.lower(layer, lower[-1], z[..., layer - 1, :]))
        return lower

    def prior_layer(self, layer: int, lower: Tensor) -> Gaussian:
        """Eq. 8, first line: p(z_l | z_<l)."""
        if layer > 0:
            return split_gaussian(self.w_p[layer - 1](lower), self.options.clamp)
        if self.first is None:
            return standard_normal(lower)
        return split_gaussian(self.first.expand(*lower.shape[:-1], -1), self.options.clamp)

    def posterior_layer(self, layer: int, lower: Tensor, x: Tensor) -> Gaussian:
        """Eq. 8, second line: q(z_l | z_<l, x) with lower [..., B or 1, p] and x^(l) [B, d]."""
        # W_q [z_<l ; x] as two products: z_<l and x then broadcast against each other without being copied
        w_q, p = self.w_q[layer], lower.shape[-1]
        from_lower, from_x = w_q.weight[:, :p], w_q.weight[:, p:]
        return split_gaussian(F.linear(lower, from_lower) + F.linear(x, from_x, w_q.bias), self.options.clamp)

    def posterior(self, batch: Batch) -> LayerwisePosterior:
        states = self.backbone.encode(batch.ids, batch.mask)
        pooled = [pool(state, batch.mask) for pool, state in zip(self.pooling, states, strict=True)]
        return LayerwisePosterior(self, pooled)

    def prior(self, z: Tensor, batch: Batch | None = None) -> Gaussian:
        return _stack([self.prior_layer(layer, lower) for layer, lower in enumerate(self.all_lower(z))])

    def sample_prior(self, n: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        start = self.w_q[0].weight.new_zeros(n, self.options.latent)
        return self.ancestral(start, lambda layer, lower: self.prior_layer(layer, lower).sample(generator))

    def ancestral(self, start: Tensor, draw: Callable[[int, Tensor], Tensor]) -> Tensor:
        """z_1, z_2, ... each drawn by ``draw(layer, z_<l)``; start is z_<1 [..., p]; returns [..., L, p]."""
        lower, drawn = start, [draw(0, start)]
        for layer in range(1, self.groups):
            lower = self.lower(layer, lower, drawn[-1])
            drawn.append(draw(layer, lower))
        return torch.stack(drawn, dim=-2)

    def inject(self, z: Tensor) -> Injection:
        return Injection(value=[fuse.at(z[:, layer]) for layer, fuse in enumerate(self.fusion)])

    def logits(self, hidden: Tensor) -> Tensor:
        return super().logits(hidden) if self.head is None else self.head(hidden)


class LayerwisePosterior:
    """q(z|x) of a batch: the method's weights and the pooled states x^(l), L × [B, d]."""

    def __init__(self, method: Della, pooled: list[Tensor]) -> None:
        self.method, self.pooled = method, pooled

    def _at(self, layer: int, lower: Tensor) -> Gaussian:
        return self.method.posterior_layer(layer, lower, self.pooled[layer])

    def sample(self, k: int, generator: torch.Generator | None = None) -> Tensor:
        start = self.pooled[0].new_zeros(k, len(self.pooled[0]), self.method.options.latent)
        return self.method.ancestral(start, lambda layer, lower: self._at(layer, lower).sample(generator))

    def conditional(self, z: Tensor) -> Gaussian:
        return _stack([self._at(layer, lower) for layer, lower in enumerate(self.method.all_lower(z))])

    def log_prob(self, z: Tensor) -> Tensor:
        return self.conditional(z).log_prob(z)

    @property
    def mean(self) -> Tensor:
        start = self.pooled[0].new_zeros(len(self.pooled[0]), self.method.options.latent)
        return self.method.ancestral(start, lambda layer, lower: self._at(layer, lower).mean)

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


def _stack(layers: list[Gaussian]) -> Gaussian:
    """L Gaussians [..., p] -> one [..., L, p]; layers may broadcast over leading dimensions."""
    means = torch.broadcast_tensors(*(g.mean for g in layers))
    logvars = torch.broadcast_tensors(*(g.logvar for g in layers))
    return Gaussian(torch.stack(means, dim=-2), torch.stack(logvars, dim=-2))
