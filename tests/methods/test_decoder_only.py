"""GPT-2 and LLaMA against transformers' own, and each place where z can enter against what it says it does.

Of the LLaMA two query heads share one head of keys and values, so a layer has half as many values as hidden units.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache, GPT2LMHeadModel, LlamaForCausalLM, PreTrainedModel

from bench.attention import attention_weights
from bench.backbones import gpt2, llama
from bench.backbones.base import AttentionPooling, Context, FirstToken, Injection
from bench.backbones.decoder_only import DecoderOnly
from bench.batch import collate
from bench.schema import Backbone

BATCH = collate([[0, 10, 11, 12, 13, 1], [0, 20, 21, 1]])
PROMPTS = collate([[0, 30, 31, 1], [0, 40, 41, 42, 43, 1]])
SIZE = Backbone(layers=2, width=16, heads=4, vocabulary=260, max_tokens=12, max_source_tokens=12)
HEAD = 4  # dims a head


@pytest.fixture(params=["gpt2", "llama"])
def backbone(request: pytest.FixtureRequest) -> DecoderOnly:
    torch.manual_seed(0)
    shared = {"gpt2": None, "llama": 2}[request.param]
    size = SIZE.model_copy(update={"kind": request.param, "kv_heads": shared})
    model = {"gpt2": gpt2, "llama": llama}[request.param].make(size, conditional=True).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def transformers_own(backbone: DecoderOnly) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A language model of the same weights, and its part without the map to logits, which is the word embeddings."""
    theirs = (GPT2LMHeadModel if backbone.kind == "gpt2" else LlamaForCausalLM)(backbone.config).eval()
    theirs.base_model.load_state_dict(backbone.transformer.state_dict())
    theirs.lm_head.weight = theirs.get_input_embeddings().weight
    return theirs, theirs.base_model


def last_norm(backbone: DecoderOnly) -> nn.Module:
    norm = backbone.transformer.ln_f if backbone.kind == "gpt2" else backbone.transformer.norm
    assert isinstance(norm, nn.Module)
    return norm


def assert_close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_equals_transformers_with_nothing_injected(backbone: DecoderOnly) -> None:
    expected = transformers_own(backbone)[0](BATCH.ids, attention_mask=BATCH.mask.long()).logits
    ours = backbone.decode(BATCH.ids) @ backbone.output_weight.T
    assert_close(ours[BATCH.mask], expected[BATCH.mask])


def test_gradients_equal_transformers(backbone: DecoderOnly) -> None:
    theirs, blocks = transformers_own(backbone)
    theirs(BATCH.ids[:1]).logits.square().sum().backward()
    (backbone.decode(BATCH.ids[:1]) @ backbone.output_weight.T).square().sum().backward()
    expected = dict(blocks.named_parameters())
    for name, parameter in backbone.transformer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-3, rtol=1e-4)


def test_a_prompt_is_read_before_the_text(backbone: DecoderOnly) -> None:
    """Each prompt and its text as one sequence without padding between them, as transformers reads it."""
    ours = backbone.decode(BATCH.ids, context=Context(PROMPTS.ids, PROMPTS.mask))
    for row, (prompt, text) in enumerate(zip(PROMPTS.lengths.tolist(), BATCH.lengths.tolist(), strict=True)):
        whole = torch.cat([PROMPTS.ids[row, :prompt], BATCH.ids[row, :text]])[None]
        assert_close(ours[row, :text], backbone.transformer(whole).last_hidden_state[0, prompt:])


def test_encoder_is_transformers_with_a_bidirectional_mask(backbone: DecoderOnly) -> None:
    """transformers takes a ready-made additive mask [B, 1, T, T]; ours hides padding and nothing else."""
    allowed = BATCH.mask[:, None, None, :].expand(-1, 1, BATCH.ids.shape[1], -1)
    additive = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    expected = backbone.transformer(BATCH.ids, attention_mask=additive, output_hidden_states=True).hidden_states
    states = backbone.encode(BATCH.ids, BATCH.mask)
    assert_close(states[0][BATCH.mask], expected[1][BATCH.mask])
    assert_close(last_norm(backbone)(states[-1])[BATCH.mask], expected[-1][BATCH.mask])


def test_embedding_injection_is_an_added_input(backbone: DecoderOnly) -> None:
    added = torch.randn(2, 1, 16)
    expected = backbone.transformer(inputs_embeds=backbone.words(BATCH.ids) + added).last_hidden_state
    assert_close(backbone.decode(BATCH.ids, Injection(embedding=added)), expected)


def test_memory_injection_is_a_past_position(backbone: DecoderOnly) -> None:
    """transformers with the memory as its key-value cache, at positions counted from 0; LLaMA's key is not rotated."""
    memory = [torch.randn(2, 1, backbone.values) for _ in range(2)]
    past = DynamicCache(config=backbone.config)
    for layer, m in enumerate(memory):
        heads = m.unflatten(-1, (-1, HEAD)).transpose(1, 2)
        past.update(heads, heads, layer)
    positions = torch.arange(BATCH.ids.shape[1])[None]
    expected = backbone.transformer(BATCH.ids, past_key_values=past, position_ids=positions).last_hidden_state
    assert_close(backbone.decode(BATCH.ids, Injection(memory=memory)), expected)


def test_value_injection_is_a_map_of_the_value_vectors(backbone: DecoderOnly) -> None:
    """Multiplying values by s equals scaling the value columns of c_attn, or the rows of v_proj."""
    assert backbone.values == {"gpt2": 16, "llama": 8}[backbone.kind]
    scale = torch.rand(backbone.values) + 0.5
    value = backbone.decode(BATCH.ids, Injection(value=[lambda v: v * scale] * 2))
    with torch.no_grad():
        if backbone.kind == "gpt2":
            for block in backbone.transformer.h:
                block.attn.c_attn.weight[:, 32:] *= scale
                block.attn.c_attn.bias[32:] *= scale
        else:
            for block in backbone.transformer.layers:
                block.self_attn.v_proj.weight *= scale[:, None]
    assert_close(value, backbone.decode(BATCH.ids))


def test_hidden_injection_is_added_after_the_last_norm(backbone: DecoderOnly) -> None:
    added = torch.randn(2, 1, 16)
    plain = backbone.decode(BATCH.ids)
    torch.testing.assert_close(backbone.decode(BATCH.ids, Injection(hidden=added)), plain + added)


def test_attention_is_watched_by_query_head(backbone: DecoderOnly) -> None:
    """What a watcher computes of the queries and keys it is shown are transformers' attention weights."""
    seen = []
    backbone.decode(BATCH.ids[:1], watch=lambda layer, q, k, allowed: seen.append(attention_weights(q, k, allowed)))
    theirs, _ = transformers_own(backbone)
    theirs.set_attn_implementation("eager")
    expected = theirs(BATCH.ids[:1], output_attentions=True).attentions
    for ours, weights in zip(seen, expected, strict=True):
        assert_close(ours, weights)


def test_pooling_is_a_weighted_mean_without_padding() -> None:
    pool = AttentionPooling(3)
    with torch.no_grad():
        pool.score.weight.copy_(torch.tensor([[1.0, -0.5, 0.2]]))
        pool.score.bias.fill_(0.1)
    states, mask = torch.randn(1, 4, 3), torch.tensor([[True, True, True, False]])
    weights = torch.tanh(states[0, :3] @ pool.score.weight[0] + 0.1).exp()
    expected = (weights[:, None] * states[0, :3]).sum(0) / weights.sum()
    torch.testing.assert_close(pool(states, mask)[0], expected)
    torch.testing.assert_close(FirstToken()(states, mask), states[:, 0])
