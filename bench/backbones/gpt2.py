"""GPT-2 as decoder and bidirectional encoder, on transformers' own blocks, with named places where z can enter.

The blocks, embeddings and their initialisation are transformers' (``GPT2Model``); the pass through them is written
out here because two of the places lie inside attention. With nothing injected it equals transformers' forward
(tested), so pretrained GPT-2 weights load unchanged.

A condition is a prompt: the decoder reads ``BOS c EOS`` and then ``BOS x EOS``. Prompts of a batch differ in length, so
each is padded on its right and the padding between prompt and text is masked; positions count on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Model

from bench.backbones.base import NOTHING, Backbone, Cache, Context, Injection, Watch
from bench.batch import Batch
from bench.vocabulary import BOS, EOS

if TYPE_CHECKING:
    from bench import schema


class GPT2(Backbone):
    """One set of GPT-2 weights, run causally as the decoder and bidirectionally as the encoder (DELLA Sec. 5.2)."""

    kind = "gpt2"

    def __init__(
        self, layers: int, width: int, heads: int, vocabulary: int, positions: int, dropout: float,
        conditional: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers, self.width, self.heads, self.vocabulary = layers, width, heads, vocabulary
        self.conditional = conditional
        self.config = GPT2Config(
            n_layer=layers, n_embd=width, n_head=heads, vocab_size=vocabulary, n_positions=positions,
            resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
            activation_function="gelu_pytorch_tanh",  # the same function as GPT-2's gelu_new, as one kernel
            attn_implementation="sdpa", bos_token_id=BOS, eos_token_id=EOS,
        )  # fmt: skip
        self.transformer = GPT2Model(self.config)

    def decode(
        self, ids: Tensor, injection: Injection = NOTHING, context: Context | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """See :meth:`Backbone.decode`; the last hidden states are those after the final LayerNorm.

        Right padding of the text needs no mask: a causal position never sees what is to its right.
        """
        past = cache.positions if cache is not None else 0
        text = past + torch.arange(ids.shape[1], device=ids.device)
        prompt = 0
        if context is None:
            x = self._embed(ids, text, _added(injection, 0))
        else:
            position = context.mask.sum(1, keepdim=True) + text
            if past == 0:
                prompt = context.ids.shape[1]
                before = torch.arange(prompt, device=ids.device).expand(len(ids), -1)
                ids, position = torch.cat([context.ids, ids], 1), torch.cat([before, position], 1)
            x = self._embed(ids, position, _added(injection, prompt))
        slots = next((m.shape[1] for m in injection.memory or () if m is not None), 0)
        plain = _causal_mask(len(text), past, context, 0, x.device)
        with_memory = _causal_mask(len(text), past, context, slots, x.device) if slots else plain
        for layer in range(self.layers):
            value = injection.value[layer] if injection.value is not None else None
            memory = injection.memory[layer] if injection.memory is not None else None
            allowed = plain if memory is None else with_memory
            x = self._block(layer, x, allowed, value=value, memory=memory, cache=cache, watch=watch)
        if cache is not None:
            cache.positions += len(text)
        x = self.transformer.ln_f(x[:, prompt:])
        return x if injection.hidden is None else x + injection.hidden

    def encode(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.encode`; after the block, before the final LayerNorm; padding's are meaningless."""
        x = self._embed(ids, torch.arange(ids.shape[1], device=ids.device), None)
        allowed = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        states = []
        for layer in range(self.layers):
            x = self._block(layer, x, allowed)
            states.append(x)
        return states

    def context(self, condition: Batch, states: Sequence[Tensor] | None = None) -> Context:
        return Context(condition.ids, condition.mask)

    @property
    def output_weight(self) -> Tensor:
        """[V, d], the word embeddings."""
        return self.transformer.wte.weight

    def extend(self, tokens: int, positions: int) -> None:
        """More entries of the vocabulary and more positions, after those there are; they start as fresh ones do."""
        for name, more in (("wte", tokens), ("wpe", positions)):
            old: nn.Embedding = getattr(self.transformer, name)
            new = nn.Embedding(old.num_embeddings + more, old.embedding_dim)
            nn.init.normal_(new.weight, 0.0, self.config.initializer_range)
            with torch.no_grad():
                new.weight[: old.num_embeddings] = old.weight
            setattr(self.transformer, name, new)
        self.vocabulary += tokens

    def _embed(self, ids: Tensor, position: Tensor, injected: Tensor | None) -> Tensor:
        x = self.transformer.wte(ids) + self.transformer.wpe(position)
        return self.transformer.drop(x if injected is None else x + injected)

    def _block(
        self, layer: int, x: Tensor, allowed: Tensor | None, *, value: Callable[[Tensor], Tensor] | None = None,
        memory: Tensor | None = None, cache: Cache | None = None, watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """One transformer block (pre-LayerNorm). ``allowed`` None means plain causal attention."""
        block = self.transformer.h[layer]
        q, k, v = block.attn.c_attn(block.ln_1(x)).split(self.width, dim=-1)
        if value is not None:
            v = value(v)
        if memory is not None and (cache is None or cache.positions == 0):
            k, v = torch.cat([memory, k], 1), torch.cat([memory, v], 1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        if watch is not None:
            watch(layer, q, k, allowed)
        dropout = self.config.attn_pdrop if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout, is_causal=allowed is None)
        x = x + block.attn.resid_dropout(block.attn.c_proj(mixed.transpose(1, 2).flatten(-2)))
        return x + block.mlp(block.ln_2(x))


def make(size: schema.Backbone, conditional: bool) -> GPT2:
    """With fresh weights. A prompt and the text after it share one table of positions."""
    positions = size.max_tokens + (size.max_source_tokens if conditional else 0)
    return GPT2(size.layers, size.width, size.heads, size.vocabulary, positions, size.dropout, conditional)


def _added(injection: Injection, prompt: int) -> Tensor | None:
    """What is added to the input embeddings of ``prompt`` positions of a prompt and of the text after it."""
    if injection.positions is None:
        return injection.embedding
    positions = F.pad(injection.positions, (0, 0, prompt, 0))
    return positions if injection.embedding is None else positions + injection.embedding


def _causal_mask(new: int, past: int, context: Context | None, slots: int, device: torch.device) -> Tensor | None:
    """True where attention is allowed: [Q, keys], or [N, 1, Q, keys] with prompts; None where it is plainly causal.

    Keys are ``slots`` memory positions, the prompt, and ``past + new`` text positions. Queries are the ``new`` ones,
    and before any text is past also the prompt's.
    """
    if slots == 0 and past == 0 and context is None:
        return None
    prompt = 0 if context is None else context.ids.shape[1]
    keys = prompt + past + new
    queries = new if past else keys
    allowed = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    if context is not None:
        real = F.pad(context.mask, (0, past + new), value=True)
        allowed = allowed & real[:, None, None, :]
    return F.pad(allowed, (slots, 0), value=True)
