"""The backbone against transformers' own GPT-2, and each place where z can enter against what it says it does."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2LMHeadModel

from bench.backbones.base import AttentionPooling, FirstToken, Injection
from bench.backbones.gpt2 import GPT2, make
from bench.batch import collate
from bench.schema import Backbone as Size

BATCH = collate([[0, 10, 11, 12, 13, 1], [0, 20, 21, 1]])


@pytest.fixture
def backbone() -> GPT2:
    torch.manual_seed(0)
    model = make(Size(layers=2, width=16, heads=4, vocabulary=260, max_tokens=12), conditional=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def test_equals_transformers_with_nothing_injected(backbone: GPT2) -> None:
    theirs = GPT2LMHeadModel(backbone.config).eval()
    theirs.transformer.load_state_dict(backbone.transformer.state_dict())
    expected = theirs(BATCH.ids, attention_mask=BATCH.mask.long()).logits
    ours = backbone.decode(BATCH.ids) @ backbone.output_weight.T
    torch.testing.assert_close(ours[BATCH.mask], expected[BATCH.mask], atol=1e-5, rtol=1e-5)


def test_gradients_equal_transformers(backbone: GPT2) -> None:
    theirs = GPT2LMHeadModel(backbone.config).eval()
    theirs.transformer.load_state_dict(backbone.transformer.state_dict())
    theirs(BATCH.ids[:1]).logits.square().sum().backward()
    (backbone.decode(BATCH.ids[:1]) @ backbone.output_weight.T).square().sum().backward()
    expected = dict(theirs.transformer.named_parameters())
    for name, parameter in backbone.transformer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-3, rtol=1e-4)


def test_encoder_is_transformers_with_a_bidirectional_mask(backbone: GPT2) -> None:
    """transformers takes a ready-made additive mask [B, 1, T, T]; ours hides padding and nothing else."""
    allowed = BATCH.mask[:, None, None, :].expand(-1, 1, BATCH.ids.shape[1], -1)
    additive = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    expected = backbone.transformer(BATCH.ids, attention_mask=additive, output_hidden_states=True).hidden_states
    states = backbone.encode(BATCH.ids, BATCH.mask)
    torch.testing.assert_close(states[0][BATCH.mask], expected[1][BATCH.mask], atol=1e-5, rtol=1e-5)
    last = backbone.transformer.ln_f(states[-1])
    torch.testing.assert_close(last[BATCH.mask], expected[-1][BATCH.mask], atol=1e-5, rtol=1e-5)


def test_embedding_injection_is_an_added_input(backbone: GPT2) -> None:
    added = torch.randn(2, 1, 16)
    words = backbone.transformer.wte(BATCH.ids) + added
    expected = backbone.transformer(inputs_embeds=words).last_hidden_state
    torch.testing.assert_close(backbone.decode(BATCH.ids, Injection(embedding=added)), expected, atol=1e-5, rtol=1e-5)


def test_memory_injection_is_a_past_position(backbone: GPT2) -> None:
    """transformers with the memory as its key-value cache, at positions counted from 0."""
    from transformers import DynamicCache

    memory = [torch.randn(2, 1, 16) for _ in range(2)]
    past = DynamicCache(config=backbone.config)
    for layer, m in enumerate(memory):
        heads = m.unflatten(-1, (4, 4)).transpose(1, 2)
        past.update(heads, heads, layer)
    positions = torch.arange(BATCH.ids.shape[1])[None]
    expected = backbone.transformer(BATCH.ids, past_key_values=past, position_ids=positions).last_hidden_state
    torch.testing.assert_close(backbone.decode(BATCH.ids, Injection(memory=memory)), expected, atol=1e-5, rtol=1e-5)


def test_value_injection_is_a_map_of_the_value_vectors(backbone: GPT2) -> None:
    """Multiplying values by s equals scaling the value columns of c_attn."""
    scale = torch.rand(16) + 0.5
    value = backbone.decode(BATCH.ids, Injection(value=[lambda v: v * scale] * 2))
    with torch.no_grad():
        for block in backbone.transformer.h:
            block.attn.c_attn.weight[:, 32:] *= scale
            block.attn.c_attn.bias[32:] *= scale
    torch.testing.assert_close(value, backbone.decode(BATCH.ids), atol=1e-5, rtol=1e-5)


def test_hidden_injection_is_added_after_the_last_layer_norm(backbone: GPT2) -> None:
    added = torch.randn(2, 1, 16)
    plain = backbone.decode(BATCH.ids)
    torch.testing.assert_close(backbone.decode(BATCH.ids, Injection(hidden=added)), plain + added)


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
