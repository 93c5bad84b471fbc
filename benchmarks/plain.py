"""GPT-2 and DELLA written plainly: what the benchmarks compare this suite's own with.

:class:`PlainLM` is transformers' ``GPT2LMHeadModel`` as one calls it, in float32, with its default attention.
:class:`PlainDella` is DELLA as the equations of its paper stand (Hu et al. 2022, Eq. 6-9): attention composed of matrix
products and a softmax under full [T, T] masks, an encoder's and a decoder's pass through everything, padding included,
r linear maps on both sides of the tensor product, logits and cross entropy of every position. Both have the weights of
the suite's model, so that with equal noise their numbers are equal, which is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from bench.methods.base import Method
from bench.methods.della import Della
from bench.schema import Backbone
from bench.vocabulary import BOS, EOS, PAD

IGNORED = -100  # as a target


def padded(texts: Sequence[Sequence[int]], device: str) -> tuple[Tensor, Tensor]:
    """Token ids [B, T] and their lengths [B]."""
    rows = nn.utils.rnn.pad_sequence([torch.tensor(text) for text in texts], batch_first=True, padding_value=PAD)
    return rows.to(device), torch.tensor([len(text) for text in texts]).to(device)


class PlainLM(nn.Module):
    """transformers' language model with the weights of the method ``gpt2``."""

    def __init__(self, method: Method, size: Backbone) -> None:
        super().__init__()
        self.gpt2 = GPT2LMHeadModel(config(size))
        self.gpt2.transformer.load_state_dict(method.backbone.transformer.state_dict())
        self.gpt2.tie_weights()

    def loss(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Mean over tokens of -log p, nats."""
        mask = real(ids, lengths)
        return self.gpt2(ids, attention_mask=mask.long(), labels=ids.masked_fill(~mask, IGNORED)).loss

    def log_likelihood(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """log p(x), nats: [B]."""
        mask = real(ids, lengths)
        return -nll(self.gpt2(ids, attention_mask=mask.long()).logits, ids, mask)

    def generate(self, n: int, tokens: int, k: int) -> Tensor:
        """n texts of so many tokens, top-k: [n, 1 + tokens]."""
        start = torch.full((n, 1), BOS, device=self.gpt2.device)
        return self.gpt2.generate(
            start, attention_mask=torch.ones_like(start), do_sample=True, top_k=k, max_new_tokens=tokens,
            eos_token_id=None, pad_token_id=PAD,
        )  # fmt: skip


class PlainDella(nn.Module):
    """The weights of the method ``della``, as one writes them down."""

    def __init__(self, method: Method, size: Backbone) -> None:
        super().__init__()
        assert isinstance(method, Della)
        p, d, layers, rank = method.options.latent, size.width, size.layers, method.options.rank
        self.latent, self.heads, self.clamp = p, size.heads, method.options.clamp
        self.gpt2 = GPT2Model(config(size))
        self.gpt2.load_state_dict(method.backbone.transformer.state_dict())
        self.pooling = nn.ModuleList(nn.Linear(d, 1) for _ in range(layers))
        self.w_hh = nn.ModuleList(nn.Linear(p, p, bias=False) for _ in range(layers - 2))
        self.w_ih = nn.ModuleList(nn.Linear(p, p, bias=False) for _ in range(layers - 1))
        self.w_p = nn.ModuleList(nn.Linear(p, 2 * p) for _ in range(layers - 1))
        self.w_q = nn.ModuleList(nn.Linear(p + d, 2 * p) for _ in range(layers))
        self.w_v = nn.ModuleList(nn.ModuleList(nn.Linear(d, d) for _ in range(rank)) for _ in range(layers))
        self.w_z = nn.ModuleList(nn.ModuleList(nn.Linear(p, d) for _ in range(rank)) for _ in range(layers))
        with torch.no_grad():
            self._take(method)

    def _take(self, method: Della) -> None:
        for own, other in ((self.w_hh, method.w_hh), (self.w_ih, method.w_ih), (self.w_q, method.w_q)):
            own.load_state_dict(other.state_dict())
        for layer, pool in enumerate(method.pooling):
            self.pooling[layer].load_state_dict(pool.score.state_dict())
        for layer, prior in enumerate(self.w_p):
            prior.load_state_dict(method.w_p[str(layer + 1)].state_dict())
        for layer, fusion in enumerate(method.fusion):
            for maps, weights, biases in (
                (self.w_v[layer], fusion.weight_v, fusion.bias_v), (self.w_z[layer], fusion.weight_z, fusion.bias_z)
            ):  # fmt: skip
                for each, weight, bias in zip(maps, weights, biases, strict=True):
                    each.weight.copy_(weight)
                    each.bias.copy_(bias)

    def loss(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Mean over texts of rec + KL, nats."""
        z, kl, _ = self.sample(ids, lengths)
        return (kl - self.log_likelihood(ids, lengths, z)).mean()

    def log_weight(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """log p(x|z) + log p(z) - log q(z|x) of one z ~ q(z|x), nats: [B]."""
        z, _, ratio = self.sample(ids, lengths)
        return self.log_likelihood(ids, lengths, z) + ratio

    def sample(self, ids: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """z_1 ... z_L of q(z|x), each [B, p]; KL(q || p) given them (Eq. 6), and log p(z) - log q(z|x): both [B]."""
        mask = real(ids, lengths)
        states = self.blocks(ids, mask[:, None, None, :].expand(-1, 1, ids.shape[1], -1))
        drawn: list[Tensor] = []
        kl = ratio = lower = torch.zeros(len(ids), self.latent, device=ids.device)
        for layer, (pool, of_layer) in enumerate(zip(self.pooling, states, strict=True)):
            attention = torch.tanh(pool(of_layer))[..., 0].masked_fill(~mask, -math.inf).softmax(-1)
            x = (attention[..., None] * of_layer).sum(1)
            lower = self.lower(layer, lower, drawn)
            prior = self.prior(layer, lower)
            posterior = self.gaussian(self.w_q[layer](torch.cat([lower, x], -1)))
            z = posterior.rsample()
            kl = kl + torch.distributions.kl_divergence(posterior, prior)
            ratio = ratio + prior.log_prob(z) - posterior.log_prob(z)
            drawn.append(z)
        return drawn, kl.sum(-1), ratio.sum(-1)

    def sample_prior(self, n: int) -> list[Tensor]:
        """z_1 ... z_L of p(z), each [n, p]."""
        drawn: list[Tensor] = []
        lower = self.gpt2.wte.weight.new_zeros(n, self.latent)
        for layer in range(len(self.gpt2.h)):
            lower = self.lower(layer, lower, drawn)
            drawn.append(self.prior(layer, lower).sample())
        return drawn

    def lower(self, layer: int, lower: Tensor, drawn: list[Tensor]) -> Tensor:
        """Eq. 7; 0 for the first layer."""
        if layer == 0:
            return lower
        from_z = self.w_ih[layer - 1](drawn[-1])
        return torch.tanh(from_z if layer == 1 else self.w_hh[layer - 2](lower) + from_z)

    def prior(self, layer: int, lower: Tensor) -> torch.distributions.Normal:
        """Eq. 8; p(z_1) is N(0, I)."""
        if layer:
            return self.gaussian(self.w_p[layer - 1](lower))
        return torch.distributions.Normal(torch.zeros_like(lower), torch.ones_like(lower), validate_args=False)

    def gaussian(self, parameters: Tensor) -> torch.distributions.Normal:
        mean, logvar = parameters.chunk(2, -1)
        std = (0.5 * logvar.clamp(-self.clamp, self.clamp)).exp()
        return torch.distributions.Normal(mean, std, validate_args=False)

    def log_likelihood(self, ids: Tensor, lengths: Tensor, z: list[Tensor]) -> Tensor:
        """log p(x|z), nats: [B]."""
        mask = real(ids, lengths)
        return -nll(self.logits(self.decode(ids, mask, z)), ids, mask)

    def decode(self, ids: Tensor, mask: Tensor, z: list[Tensor]) -> Tensor:
        """Last hidden states [B, T, d]; ``mask`` [B, T] True at real tokens."""
        causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        return self.gpt2.ln_f(self.blocks(ids, causal & mask[:, None, None, :], z)[-1])

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., d] -> [..., V]."""
        return hidden @ self.gpt2.wte.weight.T

    @torch.no_grad()
    def generate(self, n: int, tokens: int, k: int) -> Tensor:
        """n texts of so many tokens, top-k, each read from its beginning for every token: [n, 1 + tokens]."""
        z = self.sample_prior(n)
        ids = torch.full((n, 1), BOS, device=z[0].device)
        for _ in range(tokens):
            scores = self.logits(self.decode(ids, torch.ones_like(ids, dtype=torch.bool), z)[:, -1])
            scores[:, [BOS, EOS, PAD]] = -math.inf
            best = scores.topk(k)
            chosen = torch.multinomial(best.values.softmax(-1), 1)
            ids = torch.cat([ids, best.indices.gather(1, chosen)], 1)
        return ids

    def blocks(self, ids: Tensor, allowed: Tensor, z: list[Tensor] | None = None) -> list[Tensor]:
        """States after each layer, L × [B, T, d]; with z the values of each layer are Eq. 9's."""
        x = self.gpt2.wte(ids) + self.gpt2.wpe(torch.arange(ids.shape[1], device=ids.device))
        states = []
        for layer, block in enumerate(self.gpt2.h):
            q, k, v = block.attn.c_attn(block.ln_1(x)).chunk(3, -1)
            if z is not None:
                of_values = sum(each(v) for each in self.w_v[layer])
                of_latent = sum(each(z[layer]) for each in self.w_z[layer])
                v = of_values * of_latent[:, None]
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
            x = x + block.attn.c_proj((weights @ v).transpose(1, 2).flatten(-2))
            x = x + block.mlp(block.ln_2(x))
            states.append(x)
        return states


def config(size: Backbone) -> GPT2Config:
    """transformers' defaults, GPT-2's own GELU among them, but for the sizes."""
    return GPT2Config(
        n_layer=size.layers, n_embd=size.width, n_head=size.heads, vocab_size=size.vocabulary,
        n_positions=size.max_tokens, resid_pdrop=size.dropout, embd_pdrop=size.dropout, attn_pdrop=size.dropout,
        bos_token_id=BOS, eos_token_id=EOS,
    )  # fmt: skip


def real(ids: Tensor, lengths: Tensor) -> Tensor:
    """[B, T], True at tokens that are no padding."""
    return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]


def nll(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """-log p of the tokens after BOS, summed over each text, of logits [B, T, V]: [B]."""
    each = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return (each * mask[:, 1:]).sum(-1)
