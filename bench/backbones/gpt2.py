"""GPT-2 as decoder and bidirectional encoder, on transformers' own blocks, with four named places where z can enter.

The blocks, embeddings and their initialisation are transformers' (``GPT2Model``); the pass through them is written
out here because two of the four places lie inside attention. With nothing injected it equals transformers' forward
(tested), so pretrained GPT-2 weights load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Model

from bench.vocabulary import BOS, EOS


@dataclass(frozen=True)
class Injection:
    """Where a latent variable enters the decoder; ``None`` leaves a place alone. N is the number of sequences.

    Attributes
    ----------
    embedding: [N, 1 or T, d] added to every input embedding (word + position); DELLA Sec. 3.3 "Embedding".
    memory: one [N, M, d] a layer, M extra positions whose key and value it is, seen by all; Sec. 3.3 "Memory".
    value: one function [N, T, d] -> [N, T, d] a layer, on the value vectors before the head split; DELLA Eq. 9.
    hidden: [N, 1 or T, d] added to the last hidden states before the LM head; Sec. 3.3 "Softmax".
    """

    embedding: Tensor | None = None
    memory: Sequence[Tensor] | None = None
    value: Sequence[Callable[[Tensor], Tensor]] | None = None
    hidden: Tensor | None = None


NOTHING = Injection()


class Cache:
    """Keys and values of the positions decoded so far, one pair a layer, each [N, heads, positions, d/heads]."""

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []
        self.positions = 0  # decoded positions, memory slots not counted

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new positions of one layer and return all of them."""
        if layer == len(self.layers):
            self.layers.append((key, value))
        else:
            past_key, past_value = self.layers[layer]
            self.layers[layer] = (torch.cat([past_key, key], 2), torch.cat([past_value, value], 2))
        return self.layers[layer]

    def select(self, rows: Tensor) -> None:
        """Keep (and reorder to) these sequences: beams that survive, samples not yet finished."""
        self.layers = [(key[rows], value[rows]) for key, value in self.layers]


class GPT2(nn.Module):
    """One set of GPT-2 weights, run causally as the decoder and bidirectionally as the encoder (DELLA Sec. 5.2)."""

    def __init__(self, layers: int, width: int, heads: int, vocabulary: int, positions: int, dropout: float) -> None:
        super().__init__()
        self.config = GPT2Config(
            n_layer=layers, n_embd=width, n_head=heads, vocab_size=vocabulary, n_positions=positions,
            resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
            activation_function="gelu_pytorch_tanh",  # the same function as GPT-2's gelu_new, as one kernel
            attn_implementation="sdpa", bos_token_id=BOS, eos_token_id=EOS,
        )  # fmt: skip
        self.transformer = GPT2Model(self.config)

    @property
    def layers(self) -> int:
        """Number of blocks L."""
        return self.config.n_layer

    @property
    def width(self) -> int:
        """Hidden size d."""
        return self.config.n_embd

    def decode(self, ids: Tensor, injection: Injection = NOTHING, cache: Cache | None = None) -> Tensor:
        """Causal pass. ids [N, T] -> last hidden states [N, T, d] after the final LayerNorm and ``hidden``.

        Right padding needs no mask here: a causal position never sees what is to its right. With ``cache`` the ids
        are the next positions, and the cache is extended in place.
        """
        past = cache.positions if cache is not None else 0
        x = self._embed(ids, past, injection.embedding)
        allowed = _causal_mask(ids.shape[1], past, injection.memory, ids.device)
        for layer in range(self.layers):
            value = injection.value[layer] if injection.value is not None else None
            memory = injection.memory[layer] if injection.memory is not None else None
            x = self._block(layer, x, allowed, value=value, memory=memory, cache=cache)
        if cache is not None:
            cache.positions += ids.shape[1]
        x = self.transformer.ln_f(x)
        return x if injection.hidden is None else x + injection.hidden

    def encode(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Bidirectional pass. ids [B, T], mask [B, T] True at real tokens -> states after each block, L × [B, T, d].

        The states are taken after the block and before the final LayerNorm; those at padding are meaningless.
        """
        x = self._embed(ids, 0, None)
        allowed = mask[:, None, None, :]
        states = []
        for layer in range(self.layers):
            x = self._block(layer, x, allowed)
            states.append(x)
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., d] -> [..., V], by the tied word embeddings."""
        return F.linear(hidden, self.transformer.wte.weight)

    def _embed(self, ids: Tensor, past: int, injected: Tensor | None) -> Tensor:
        position = torch.arange(past, past + ids.shape[1], device=ids.device)
        x = self.transformer.wte(ids) + self.transformer.wpe(position)
        return self.transformer.drop(x if injected is None else x + injected)

    def _block(
        self, layer: int, x: Tensor, allowed: Tensor | None, *, value: Callable[[Tensor], Tensor] | None = None,
        memory: Tensor | None = None, cache: Cache | None = None,
    ) -> Tensor:  # fmt: skip
        """One transformer block (pre-LayerNorm). ``allowed`` None means plain causal attention."""
        block = self.transformer.h[layer]
        q, k, v = block.attn.c_attn(block.ln_1(x)).split(self.width, dim=-1)
        if value is not None:
            v = value(v)
        if memory is not None and (cache is None or cache.positions == 0):
            k, v = torch.cat([memory, k], 1), torch.cat([memory, v], 1)
        q, k, v = (t.unflatten(-1, (self.config.n_head, -1)).transpose(1, 2) for t in (q, k, v))
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        dropout = self.config.attn_pdrop if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout, is_causal=allowed is None)
        x = x + block.attn.resid_dropout(block.attn.c_proj(mixed.transpose(1, 2).flatten(-2)))
        return x + block.mlp(block.ln_2(x))


def _causal_mask(new: int, past: int, memory: Sequence[Tensor] | None, device: torch.device) -> Tensor | None:
    """[new, M + past + new] bool, True where attention is allowed; None where plain causal attention says the same."""
    slots = memory[0].shape[1] if memory is not None else 0
    if slots == 0 and past == 0:
        return None
    allowed = torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)
    return F.pad(allowed, (slots, 0), value=True)


class AttentionPooling(nn.Module):
    """A learned attention over positions: sum_t softmax_t(tanh(w · h_t)) h_t, padding excluded.

    DELLA's paper takes the first token's state, its code pools like this (and lets padding in, which we do not).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)  # start from the mean over positions
        nn.init.zeros_(self.score.bias)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states [B, T, d], mask [B, T] -> [B, d]."""
        scores = torch.tanh(self.score(states)).squeeze(-1).masked_fill(~mask, float("-inf"))
        return torch.einsum("bt,btd->bd", scores.softmax(-1), states)


class FirstToken(nn.Module):
    """The state of the first token (BOS), as DELLA Sec. 4.1 writes it."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states [B, T, d], mask [B, T] (unused) -> [B, d]."""
        return states[:, 0]
