"""The backbone against transformers' own LLaMA, and each place where z can enter against what it says it does.

Two query heads share one head of keys and values, so a layer has half as many values as hidden units.
"""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, LlamaForCausalLM

from bench.backbones.base import Context, Injection
from bench.backbones.llama import Llama, make
from bench.batch import collate
from bench.schema import Backbone

BATCH = collate([[0, 10, 11, 12, 13, 1], [0, 20, 21, 1]])
PROMPTS = collate([[0, 30, 31, 1], [0, 40, 41, 42, 43, 1]])
SIZE = Backbone(
    kind="llama", layers=2, width=16, heads=4, kv_heads=2, vocabulary=260, max_tokens=12, max_source_tokens=12
)


@pytest.fixture
def backbone() -> Llama:
    torch.manual_seed(0)
    model = make(SIZE, conditional=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def transformers_own(backbone: Llama) -> LlamaForCausalLM:
    """The same weights; the map to logits is the word embeddings."""
    theirs = LlamaForCausalLM(backbone.config).eval()
    theirs.model.load_state_dict(backbone.transformer.state_dict())
    theirs.lm_head.weight = theirs.model.embed_tokens.weight
    return theirs


def test_equals_transformers_with_nothing_injected(backbone: Llama) -> None:
    expected = transformers_own(backbone)(BATCH.ids, attention_mask=BATCH.mask.long()).logits
    ours = backbone.decode(BATCH.ids) @ backbone.output_weight.T
    torch.testing.assert_close(ours[BATCH.mask], expected[BATCH.mask], atol=1e-5, rtol=1e-5)


def test_gradients_equal_transformers(backbone: Llama) -> None:
    theirs = transformers_own(backbone)
    theirs(BATCH.ids[:1]).logits.square().sum().backward()
    (backbone.decode(BATCH.ids[:1]) @ backbone.output_weight.T).square().sum().backward()
    expected = dict(theirs.model.named_parameters())
    for name, parameter in backbone.transformer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-3, rtol=1e-4)


def test_a_prompt_is_read_before_the_text(backbone: Llama) -> None:
    """Each prompt and its text as one sequence without padding between them, as transformers reads it."""
    context = Context(PROMPTS.ids, PROMPTS.mask)
    ours = backbone.decode(BATCH.ids, context=context)
    for row, (prompt, text) in enumerate(zip(PROMPTS.lengths.tolist(), BATCH.lengths.tolist(), strict=True)):
        whole = torch.cat([PROMPTS.ids[row, :prompt], BATCH.ids[row, :text]])[None]
        expected = backbone.transformer(whole).last_hidden_state[0, prompt:]
        torch.testing.assert_close(ours[row, :text], expected, atol=1e-5, rtol=1e-5)


def test_encoder_is_transformers_with_a_bidirectional_mask(backbone: Llama) -> None:
    """transformers takes a ready-made additive mask [B, 1, T, T]; ours hides padding and nothing else."""
    allowed = BATCH.mask[:, None, None, :].expand(-1, 1, BATCH.ids.shape[1], -1)
    additive = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    expected = backbone.transformer(BATCH.ids, attention_mask=additive, output_hidden_states=True).hidden_states
    states = backbone.encode(BATCH.ids, BATCH.mask)
    torch.testing.assert_close(states[0][BATCH.mask], expected[1][BATCH.mask], atol=1e-5, rtol=1e-5)
    last = backbone.transformer.norm(states[-1])
    torch.testing.assert_close(last[BATCH.mask], expected[-1][BATCH.mask], atol=1e-5, rtol=1e-5)


def test_embedding_injection_is_an_added_input(backbone: Llama) -> None:
    added = torch.randn(2, 1, 16)
    expected = backbone.transformer(inputs_embeds=backbone.words(BATCH.ids) + added).last_hidden_state
    torch.testing.assert_close(backbone.decode(BATCH.ids, Injection(embedding=added)), expected, atol=1e-5, rtol=1e-5)


def test_memory_injection_is_a_past_key_without_rotation(backbone: Llama) -> None:
    """transformers with the memory as its key-value cache, at positions counted from 0."""
    memory = [torch.randn(2, 1, backbone.values) for _ in range(2)]
    past = DynamicCache(config=backbone.config)
    for layer, m in enumerate(memory):
        heads = m.unflatten(-1, (2, 4)).transpose(1, 2)
        past.update(heads, heads, layer)
    positions = torch.arange(BATCH.ids.shape[1])[None]
    expected = backbone.transformer(BATCH.ids, past_key_values=past, position_ids=positions).last_hidden_state
    torch.testing.assert_close(backbone.decode(BATCH.ids, Injection(memory=memory)), expected, atol=1e-5, rtol=1e-5)


def test_value_injection_is_a_map_of_the_shared_value_vectors(backbone: Llama) -> None:
    """Multiplying the 8 values of a layer by s equals scaling the rows of v_proj."""
    assert backbone.values == 8
    scale = torch.rand(8) + 0.5
    value = backbone.decode(BATCH.ids, Injection(value=[lambda v: v * scale] * 2))
    with torch.no_grad():
        for block in backbone.transformer.layers:
            block.self_attn.v_proj.weight *= scale[:, None]
    torch.testing.assert_close(value, backbone.decode(BATCH.ids), atol=1e-5, rtol=1e-5)


def test_attention_is_watched_by_query_head(backbone: Llama) -> None:
    """What a watcher computes of the queries and keys it is shown are transformers' attention weights."""
    from bench.attention import attention_weights

    seen = []
    backbone.decode(BATCH.ids[:1], watch=lambda layer, q, k, allowed: seen.append(attention_weights(q, k, allowed)))
    theirs = transformers_own(backbone)
    theirs.set_attn_implementation("eager")
    expected = theirs(BATCH.ids[:1], output_attentions=True).attentions
    for ours, weights in zip(seen, expected, strict=True):
        torch.testing.assert_close(ours, weights, atol=1e-5, rtol=1e-5)
