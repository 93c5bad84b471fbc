"""GPT-2 as decoder and bidirectional encoder, on transformers' own blocks, with named places where z can enter.

The blocks, embeddings and their initialisation are transformers' (``GPT2Model``); the pass through them is written
out here because two of the places lie inside attention. With nothing injected it equals transformers' forward
(tested), so pretrained GPT-2 weights load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Model

from bench.backbones.base import Cache, Watch, check_positions
from bench.backbones.decoder_only import DecoderOnly
from bench.vocabulary import BOS, EOS

if TYPE_CHECKING:
    from bench import schema


class GPT2(DecoderOnly):
    """GPT-2 of a configuration, for prompts and texts of so many tokens together."""

    kind = "gpt2"

    def __init__(self, config: GPT2Config, positions: int, conditional: bool = False) -> None:
        super().__init__()
        self.layers, self.width, self.heads = config.n_layer, config.n_embd, config.n_head
        self.vocabulary, self.positions, self.conditional = config.vocab_size, positions, conditional
        self.config = config
        self.transformer = GPT2Model(config)

    @property
    def words(self) -> nn.Embedding:
        return self.transformer.wte

    def extend(self, tokens: int, positions: int) -> None:
        """See :meth:`DecoderOnly.extend`; a pretrained table of positions may be long enough."""
        self.positions += positions
        self.vocabulary += tokens
        self.transformer.wte = self._grown(self.words, tokens, self.words.weight.mean(0))
        table = self.transformer.wpe
        if self.positions > table.num_embeddings:
            self.transformer.wpe = self._grown(table, self.positions - table.num_embeddings, table.weight[-1])

    def _embed(self, ids: Tensor, position: Tensor, injected: Tensor | None) -> tuple[Tensor, None]:
        x = self.transformer.wte(ids) + self.transformer.wpe(position)
        return self.transformer.drop(x if injected is None else x + injected), None

    def _block(
        self, layer: int, x: Tensor, place: None, allowed: Tensor | None, *,
        value: Callable[[Tensor], Tensor] | None = None, memory: Tensor | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """See :meth:`DecoderOnly._block`; the normalisation comes first."""
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

    def _normalised(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.width,))

    def _last(self, x: Tensor) -> Tensor:
        return self.transformer.ln_f(x)


def make(size: schema.Backbone, conditional: bool, pretrained: Mapping[str, Any] | None = None) -> GPT2:
    """Of a suite's size with fresh weights, or of a ``pretrained`` configuration, whose weights are then to be loaded.

    A prompt and the text after it share one table of positions.
    """
    positions = size.max_tokens + (size.max_source_tokens if conditional else 0)
    own = pretrained or {
        "n_layer": size.layers, "n_embd": size.width, "n_head": size.heads, "vocab_size": size.vocabulary,
        "n_positions": positions,
    }  # fmt: skip
    config = GPT2Config(**{
        **own,
        "resid_pdrop": size.dropout, "embd_pdrop": size.dropout, "attn_pdrop": size.dropout,
        "activation_function": "gelu_pytorch_tanh",  # the same function as GPT-2's gelu_new, as one kernel
        "attn_implementation": "sdpa", "bos_token_id": BOS, "eos_token_id": EOS,
    })  # fmt: skip
    check_positions(positions, config)
    return GPT2(config, positions, conditional)
