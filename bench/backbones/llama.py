"""LLaMA (SmolLM2) as decoder and bidirectional encoder, on transformers' own blocks; where z can enter is as in GPT-2.

Three things differ. Positions are rotations of queries and keys, so a memory slot, which has no position, is not
rotated: it lies where BOS does. Several heads of queries share one of keys and values (grouped-query attention): a
layer has fewer values than hidden units, and of those few are the memory slots and the value fusion of DELLA's Eq. 9,
each reaching all query heads of its group. And nothing is added to word embeddings but what is injected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaModel, apply_rotary_pos_emb

from bench.backbones.base import Cache, Watch, check_positions
from bench.backbones.decoder_only import DecoderOnly
from bench.vocabulary import BOS, EOS

if TYPE_CHECKING:
    from bench import schema

Rotation = tuple[Tensor, Tensor]  # cosines and sines, each [1 or N, T, d/heads]


class Llama(DecoderOnly):
    """LLaMA of a configuration, for prompts and texts of so many tokens together."""

    kind = "llama"

    def __init__(self, config: LlamaConfig, positions: int, conditional: bool = False) -> None:
        super().__init__()
        self.layers, self.width, self.heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
        self.groups = config.num_key_value_heads
        self.vocabulary, self.positions, self.conditional = config.vocab_size, positions, conditional
        self.config = config
        self.transformer = LlamaModel(config)

    @property
    def values(self) -> int:
        return self.groups * int(self.config.head_dim)

    @property
    def words(self) -> nn.Embedding:
        return self.transformer.embed_tokens

    def extend(self, tokens: int, positions: int) -> None:
        """See :meth:`DecoderOnly.extend`; there is no table of positions."""
        self.positions += positions
        self.vocabulary += tokens
        self.transformer.embed_tokens = self._grown(self.words, tokens, self.words.weight.mean(0))

    def _embed(self, ids: Tensor, position: Tensor, injected: Tensor | None) -> tuple[Tensor, Rotation]:
        x = self.words(ids)
        rotation = self.transformer.rotary_emb(x, position if position.ndim == 2 else position[None])
        return x if injected is None else x + injected, rotation

    def _block(
        self, layer: int, x: Tensor, place: Rotation, allowed: Tensor | None, *,
        value: Callable[[Tensor], Tensor] | None = None, memory: Tensor | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """See :meth:`DecoderOnly._block`; the normalisation comes first."""
        block = self.transformer.layers[layer]
        attention, normed = block.self_attn, block.input_layernorm(x)
        v = attention.v_proj(normed)
        if value is not None:
            v = value(v)
        q, k, v = (_split(t, n) for t, n in (
            (attention.q_proj(normed), self.heads), (attention.k_proj(normed), self.groups), (v, self.groups),
        ))  # fmt: skip
        q, k = apply_rotary_pos_emb(q, k, *place)
        if memory is not None and (cache is None or cache.positions == 0):
            slots = _split(memory, self.groups)
            k, v = torch.cat([slots, k], 2), torch.cat([slots, v], 2)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        if watch is not None:
            watch(layer, q, k.repeat_interleave(self.heads // self.groups, 1), allowed)
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed, dropout_p=self.config.attention_dropout if self.training else 0.0,
            is_causal=allowed is None, enable_gqa=self.groups < self.heads,
        )  # fmt: skip
        x = x + attention.o_proj(mixed.transpose(1, 2).flatten(-2))
        return x + block.mlp(block.post_attention_layernorm(x))

    def _normalised(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (self.width,))

    def _last(self, x: Tensor) -> Tensor:
        normed: Tensor = self.transformer.norm(x)
        return normed


def _split(x: Tensor, heads: int) -> Tensor:
    """[N, T, heads * d] -> [N, heads, T, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def make(size: schema.Backbone, conditional: bool, pretrained: Mapping[str, Any] | None = None) -> Llama:
    """Of a suite's size with fresh weights, or of a ``pretrained`` configuration, whose weights are then to be loaded.

    As in SmolLM2, the inner layer of a block is 8/3 as wide as its outer ones. Dropout is that of attention weights,
    the only one LLaMA has.
    """
    positions = size.max_tokens + (size.max_source_tokens if conditional else 0)
    own = pretrained or {
        "num_hidden_layers": size.layers, "hidden_size": size.width, "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads or size.heads, "intermediate_size": 8 * size.width // 3,
        "vocab_size": size.vocabulary, "max_position_embeddings": positions,
    }  # fmt: skip
    config = LlamaConfig(**{
        **own,
        "attention_dropout": size.dropout, "attn_implementation": "sdpa",
        "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": None,
    })  # fmt: skip
    check_positions(positions, config)
    return Llama(config, positions, conditional)
