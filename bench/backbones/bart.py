"""BART: a bidirectional encoder and a causal decoder with weights of their own, the decoder attending to c across.

The blocks, embeddings and their initialisation are transformers' (``BartModel``); the pass through them is written
out here because two of the places where z can enter lie inside self-attention. With nothing injected it equals
transformers' forward (tested), so pretrained BART weights load unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BartConfig
from transformers.models.bart.modeling_bart import BartModel

from bench.backbones.base import NOTHING, Backbone, Cache, Context, Injection, Watch, check_positions
from bench.batch import Batch
from bench.errors import BenchError
from bench.vocabulary import BOS, EOS, PAD

if TYPE_CHECKING:
    from bench import schema


class BART(Backbone):
    """L encoder and L decoder layers that share word embeddings alone, for texts given a condition (DELLA Sec. 5.2).

    The one encoder reads both the condition c and, for the posterior, the text x (DELLA Sec. 4.4).
    """

    kind = "bart"
    conditional = True

    def __init__(self, config: BartConfig) -> None:
        super().__init__()
        self.layers, self.width = int(config.decoder_layers or 0), int(config.d_model or 0)
        self.heads = int(config.decoder_attention_heads or 0)
        self.vocabulary = config.vocab_size
        self.config = config
        self.transformer = BartModel(config)
        # Both name the one table ``shared`` over again, and a weight file holds a tensor once.
        del self.transformer.encoder.embed_tokens, self.transformer.decoder.embed_tokens

    def encode(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.encode`; padding's states are meaningless."""
        x = self._embed(self.transformer.encoder, ids)
        allowed = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        states = []
        for block in self.transformer.encoder.layers:
            attention = block.self_attn
            q, k, v = (self._heads(project(x)) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
            x = block.self_attn_layer_norm(x + self._attend(attention, q, k, v, allowed))
            x = self._feed_forward(block, x)
            states.append(x)
        return states

    def context(self, condition: Batch, states: Sequence[Tensor] | None = None) -> Context:
        """See :meth:`Backbone.context`; the decoder attends to the last encoder layer's states."""
        if states is None:
            states = self.encode(condition.ids, condition.mask)
        return Context(condition.ids, condition.mask, states[-1])

    def decode(
        self, ids: Tensor, injection: Injection = NOTHING, context: Context | None = None, cache: Cache | None = None,
        watch: Watch | None = None,
    ) -> Tensor:  # fmt: skip
        """See :meth:`Backbone.decode`; blocks are post-LayerNorm, so none follows the last.

        ``embedding`` is added to word + position before their LayerNorm. Right padding of the text needs no mask: a
        causal position never sees what is to its right.
        """
        assert context is not None, "there is a condition to attend to"
        assert injection.positions is None, "no method that adds to each position is for BART"
        x = self._embed(self.transformer.decoder, ids, cache.positions if cache is not None else 0, injection.embedding)
        for layer, block in enumerate(self.transformer.decoder.layers):
            x = block.self_attn_layer_norm(x + self._self_attention(layer, x, injection, cache, watch))
            x = block.encoder_attn_layer_norm(x + self._cross_attention(layer, x, context, cache))
            x = self._feed_forward(block, x)
        if cache is not None:
            cache.positions += ids.shape[1]
        return injection.after(x)

    @property
    def output_weight(self) -> Tensor:
        """[V, d], the word embeddings; BART's ``final_logits_bias`` is a constant 0."""
        return self.transformer.shared.weight

    def _embed(self, stack: nn.Module, ids: Tensor, past: int = 0, injected: Tensor | None = None) -> Tensor:
        """ids [N, T], the first of them at position ``past``, into the encoder or the decoder: [N, T, d]."""
        x = self.transformer.shared(ids) + stack.embed_positions(ids, past)
        return self._dropout(stack.layernorm_embedding(x if injected is None else x + injected))

    def _self_attention(
        self, layer: int, x: Tensor, injection: Injection, cache: Cache | None, watch: Watch | None
    ) -> Tensor:
        """Causal, with what ``injection`` has for this decoder layer: [N, T, d] -> [N, T, d]."""
        attention = self.transformer.decoder.layers[layer].self_attn
        value = injection.value[layer] if injection.value is not None else None
        memory = injection.memory[layer] if injection.memory is not None else None
        q, k, v = attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)
        if value is not None:
            v = value(v)
        if memory is not None and (cache is None or cache.positions == 0):
            k, v = torch.cat([memory, k], 1), torch.cat([memory, v], 1)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        allowed = _causal_mask(q.shape[2], k.shape[2], x.device)
        if watch is not None:
            watch(layer, q, k, allowed)
        return self._attend(attention, q, k, v, allowed)

    def _cross_attention(self, layer: int, x: Tensor, context: Context, cache: Cache | None) -> Tensor:
        """From each text position to all of the condition: [N, T, d] -> [N, T, d]."""
        attention = self.transformer.decoder.layers[layer].encoder_attn
        if cache is not None and layer < len(cache.cross):
            k, v = cache.cross[layer]
        else:
            k, v = self._heads(attention.k_proj(context.states)), self._heads(attention.v_proj(context.states))
            if cache is not None:
                cache.cross.append((k, v))
        return self._attend(attention, self._heads(attention.q_proj(x)), k, v, context.mask[:, None, None, :])

    def _attend(self, attention: nn.Module, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
        """q [N, heads, Q, d/heads], k and v likewise -> [N, Q, d]. ``allowed`` None means plain causal attention."""
        dropout = self.config.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout, is_causal=allowed is None)
        return self._dropout(attention.out_proj(mixed.transpose(1, 2).flatten(-2)))

    def _feed_forward(self, block: nn.Module, x: Tensor) -> Tensor:
        inner = self._dropout(block.activation_fn(block.fc1(x)))
        return block.final_layer_norm(x + self._dropout(block.fc2(inner)))

    def _dropout(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.config.dropout, self.training)

    def _heads(self, x: Tensor) -> Tensor:
        """[N, T, d] -> [N, heads, T, d/heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def make(size: schema.Backbone, conditional: bool, pretrained: Mapping[str, Any] | None = None) -> BART:
    """Of a suite's size with fresh weights, or of a ``pretrained`` configuration, whose weights are then to be loaded.

    Condition and text each start at position 0.
    """
    if not conditional:
        raise BenchError("backbone 'bart' attends to a condition, and an unconditional dataset has none")
    layers, width, heads, dropout = size.layers, size.width, size.heads, size.dropout
    positions = max(size.max_tokens, size.max_source_tokens)
    own = pretrained or {
        "encoder_layers": layers, "decoder_layers": layers, "d_model": width, "vocab_size": size.vocabulary,
        "encoder_attention_heads": heads, "decoder_attention_heads": heads,
        "max_position_embeddings": positions,
        "encoder_ffn_dim": 4 * width, "decoder_ffn_dim": 4 * width,
    }  # fmt: skip
    config = BartConfig(**{
        **own,
        "dropout": dropout, "attention_dropout": dropout, "activation_dropout": dropout,
        "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "decoder_start_token_id": BOS,
        "forced_eos_token_id": None, "attn_implementation": "sdpa",
    })  # fmt: skip
    check_positions(positions, config)
    return BART(config)


def _causal_mask(queries: int, keys: int, device: torch.device) -> Tensor | None:
    """True where attention is allowed, [queries, keys]; None where it is plainly causal.

    The queries are the last of the keys; those before them, memory slots and cached positions, are seen by all.
    """
    if queries == keys:
        return None
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
