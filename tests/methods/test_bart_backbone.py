"""The backbone against transformers' own BART, and each place where z can enter against what it says it does."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from transformers import BartForConditionalGeneration, DynamicCache, EncoderDecoderCache

from bench.backbones.bart import BART, make
from bench.backbones.base import Cache, Context, Injection
from bench.batch import Batch, collate
from bench.errors import BenchError
from bench.methods.lm import LanguageModel, LanguageModelOptions
from bench.schema import Backbone, Decoding
from bench.vocabulary import BOS, EOS, PAD, UNK

WIDTH, HEADS = 16, 4
SIZE = Backbone(kind="bart", layers=2, width=WIDTH, heads=HEADS, vocabulary=260, max_tokens=16, max_source_tokens=16)
SOURCES = collate([[0, 30, 31, 32, 1], [0, 40, 41, 42, 43, 44, 45, 1], [0, 33, 1]])
TEXTS = collate([[0, 10, 11, 12, 13, 1], [0, 20, 21, 1], [0, 14, 15, 16, 1]])


def build(dropout: float = 0.0, seed: int = 0) -> BART:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = make(SIZE.model_copy(update={"dropout": dropout}), conditional=True).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


@pytest.fixture
def backbone() -> BART:
    return build()


def transformers_own(backbone: BART) -> BartForConditionalGeneration:
    """The same weights; what ours lacks is tied to what it has."""
    theirs = BartForConditionalGeneration(backbone.config).eval()
    missing, unexpected = theirs.model.load_state_dict(backbone.transformer.state_dict(), strict=False)
    assert set(missing) == {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"} and not unexpected
    shared = theirs.model.shared.weight
    assert all(stack.embed_tokens.weight is shared for stack in (theirs.model.encoder, theirs.model.decoder))
    assert theirs.lm_head.weight is shared
    return theirs


def their_states(theirs: BartForConditionalGeneration, **decoder: object) -> Tensor:
    encoded = theirs.model.encoder(SOURCES.ids, attention_mask=SOURCES.mask.long()).last_hidden_state
    mask = SOURCES.mask.long()
    return theirs.model.decoder(
        encoder_hidden_states=encoded, encoder_attention_mask=mask, **decoder
    ).last_hidden_state  # fmt: skip


def their_logits(theirs: BartForConditionalGeneration) -> Tensor:
    return theirs(SOURCES.ids, attention_mask=SOURCES.mask.long(), decoder_input_ids=TEXTS.ids).logits


def assert_close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_equals_transformers_with_nothing_injected(backbone: BART) -> None:
    ours = backbone.decode(TEXTS.ids, context=backbone.context(SOURCES)) @ backbone.output_weight.T
    assert_close(ours[TEXTS.mask], their_logits(transformers_own(backbone))[TEXTS.mask])


def test_gradients_equal_transformers(backbone: BART) -> None:
    theirs = transformers_own(backbone)
    their_logits(theirs)[TEXTS.mask].square().mean().backward()
    ours = backbone.decode(TEXTS.ids, context=backbone.context(SOURCES)) @ backbone.output_weight.T
    ours[TEXTS.mask].square().mean().backward()
    expected = dict(theirs.model.named_parameters())
    for name, parameter in backbone.transformer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-5, rtol=1e-4, msg=name)


def test_dropout_is_where_transformers_has_it() -> None:
    """The same random numbers, drawn in the same order, at the same places."""
    backbone = build(dropout=0.3).train()
    theirs = transformers_own(backbone).train()
    torch.manual_seed(5)
    expected = their_logits(theirs)
    torch.manual_seed(5)
    ours = backbone.decode(TEXTS.ids, context=backbone.context(SOURCES)) @ backbone.output_weight.T
    assert_close(ours[TEXTS.mask], expected[TEXTS.mask])


def test_fresh_weights_are_transformers_own() -> None:
    torch.manual_seed(3)
    ours = make(SIZE.model_copy(update={"dropout": 0.1}), conditional=True)
    torch.manual_seed(3)
    theirs = type(ours.transformer)(ours.config).state_dict()
    for name, weight in ours.transformer.state_dict().items():
        assert torch.equal(weight, theirs[name]), name


def test_a_weight_file_holds_everything_once(backbone: BART) -> None:
    """safetensors refuses tensors that share memory."""
    loaded = build(seed=1)
    loaded.load_state_dict(load(save(backbone.state_dict())))
    for ours, theirs in zip(loaded.encode(TEXTS.ids, TEXTS.mask), backbone.encode(TEXTS.ids, TEXTS.mask), strict=True):
        assert torch.equal(ours, theirs)


def test_encoder_states_are_transformers_of_each_layer(backbone: BART) -> None:
    theirs = transformers_own(backbone).model.encoder
    expected = theirs(SOURCES.ids, attention_mask=SOURCES.mask.long(), output_hidden_states=True).hidden_states
    states = backbone.encode(SOURCES.ids, SOURCES.mask)
    assert len(states) == backbone.layers == len(expected) - 1
    for ours, after in zip(states, expected[1:], strict=True):
        assert_close(ours[SOURCES.mask], after[SOURCES.mask])


def test_context_takes_the_states_of_the_last_layer(backbone: BART) -> None:
    states = backbone.encode(SOURCES.ids, SOURCES.mask)
    given, found = backbone.context(SOURCES, states), backbone.context(SOURCES)
    assert given.states is states[-1]
    assert found.states is not None and torch.equal(found.states, states[-1])
    assert torch.equal(found.mask, SOURCES.mask) and torch.equal(found.ids, SOURCES.ids)


@pytest.mark.parametrize("row", range(len(TEXTS)))
def test_padding_changes_nothing(backbone: BART, row: int) -> None:
    """Each pair alone, where neither its source nor its text has padding."""
    together = backbone.decode(TEXTS.ids, injection(row=None), backbone.context(SOURCES))[row][TEXTS.mask[row]]
    source, text = (Batch(b.ids[row : row + 1, : b.lengths[row]], b.lengths[row : row + 1]) for b in (SOURCES, TEXTS))
    assert_close(backbone.decode(text.ids, injection(row), backbone.context(source))[0], together)


def injection(row: int | None = None) -> Injection:
    """Something at all four places, of all three texts or of one."""
    generator = torch.Generator().manual_seed(7)
    rows = slice(None) if row is None else slice(row, row + 1)
    embedding, hidden, scale = (torch.randn(3, 1, WIDTH, generator=generator)[rows] for _ in range(3))
    memory = torch.randn(3, 2, WIDTH, generator=generator)[rows]
    return Injection(embedding, [None, memory], [lambda v: v * scale, None], hidden)


def test_cached_decoding_equals_the_full_pass(backbone: BART) -> None:
    """A first piece of two positions, then one at a time, the condition's keys and values computed once."""
    context, cache = backbone.context(SOURCES), Cache()
    full = backbone.decode(TEXTS.ids, injection(), context)
    pieces = [backbone.decode(TEXTS.ids[:, :2], injection(), context, cache)]
    blind = Context(context.ids, context.mask, torch.full_like(context.states, torch.nan))
    for t in range(2, TEXTS.ids.shape[1]):
        pieces.append(backbone.decode(TEXTS.ids[:, t : t + 1], injection(), blind, cache))
    assert_close(torch.cat(pieces, 1), full)
    assert cache.positions == TEXTS.ids.shape[1]


def test_a_cache_goes_on_with_selected_rows(backbone: BART) -> None:
    context, cache, rows = backbone.context(SOURCES), Cache(), torch.tensor([2, 0, 0, 1])
    backbone.decode(TEXTS.ids[:, :2], Injection(), context, cache)
    cache.select(rows)
    ours = backbone.decode(TEXTS.ids[rows, 2:], Injection(), context.select(rows), cache)
    assert_close(ours, backbone.decode(TEXTS.ids, context=context)[rows, 2:])


def test_embedding_injection_is_an_added_input(backbone: BART) -> None:
    added = torch.randn(3, 1, WIDTH)
    theirs = transformers_own(backbone)
    expected = their_states(theirs, inputs_embeds=theirs.model.shared(TEXTS.ids) + added)
    assert_close(backbone.decode(TEXTS.ids, Injection(embedding=added), backbone.context(SOURCES)), expected)


@pytest.mark.parametrize("slots", [1, 3])
def test_memory_injection_is_a_past_position(backbone: BART, slots: int) -> None:
    """transformers with the memory as its self-attention cache, at positions counted from 0."""
    memory = [torch.randn(3, slots, WIDTH) for _ in range(2)]
    theirs = transformers_own(backbone)
    past = EncoderDecoderCache(DynamicCache(config=backbone.config), DynamicCache(config=backbone.config))
    for layer, m in enumerate(memory):
        heads = m.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        past.self_attention_cache.update(heads, heads, layer)
    theirs.model.decoder.embed_positions.offset -= slots  # it counts on from the length of its cache
    expected = their_states(theirs, input_ids=TEXTS.ids, past_key_values=past)
    assert_close(backbone.decode(TEXTS.ids, Injection(memory=memory), backbone.context(SOURCES)), expected)


def test_value_injection_is_a_map_of_the_self_attention_values(backbone: BART) -> None:
    """Multiplying the values of a layer by s equals scaling its v_proj; a layer with None is left alone."""
    scale = torch.rand(WIDTH) + 0.5
    ours = backbone.decode(TEXTS.ids, Injection(value=[None, lambda v: v * scale]), backbone.context(SOURCES))
    theirs = transformers_own(backbone)
    with torch.no_grad():
        project = theirs.model.decoder.layers[1].self_attn.v_proj
        project.weight *= scale[:, None]
        project.bias *= scale
    assert_close(ours, their_states(theirs, input_ids=TEXTS.ids))


def test_hidden_injection_is_added_to_the_last_states(backbone: BART) -> None:
    added = torch.randn(3, 1, WIDTH)
    ours = backbone.decode(TEXTS.ids, Injection(hidden=added), backbone.context(SOURCES))
    assert_close(ours, their_states(transformers_own(backbone), input_ids=TEXTS.ids) + added)


def test_watch_sees_the_weights_of_every_self_attention(backbone: BART) -> None:
    """softmax(q k) by hand is what transformers reports; memory adds its slots to its own layer alone."""
    seen: list[Tensor] = []

    def watch(layer: int, q: Tensor, k: Tensor, allowed: Tensor | None) -> None:
        assert layer == len(seen)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril() if allowed is None else allowed
        seen.append(scores.masked_fill(~allowed, float("-inf")).softmax(-1))

    context = backbone.context(SOURCES)
    backbone.decode(TEXTS.ids, Injection(), context, watch=watch)
    theirs = transformers_own(backbone)
    theirs.set_attn_implementation("eager")
    encoded = theirs.model.encoder(SOURCES.ids, attention_mask=SOURCES.mask.long()).last_hidden_state
    expected = theirs.model.decoder(
        TEXTS.ids, encoder_hidden_states=encoded, encoder_attention_mask=SOURCES.mask.long(), output_attentions=True
    ).attentions
    for ours, weights in zip(seen, expected, strict=True):
        assert_close(ours, weights)
    without_memory = seen.copy()
    seen.clear()
    backbone.decode(TEXTS.ids, Injection(memory=[None, torch.randn(3, 2, WIDTH)]), context, watch=watch)
    assert_close(seen[0], without_memory[0])
    positions = TEXTS.ids.shape[1]
    assert seen[1].shape[-2:] == (positions, positions + 2)
    assert (seen[1][..., :2] > 0).all()


def generate(backbone: BART, decoding: Decoding, max_tokens: int) -> tuple[list[list[int]], list[list[int]]]:
    """Token lists without BOS by ``bench.decoding`` and by transformers' generate."""
    method = LanguageModel(backbone, LanguageModelOptions(backbone="bart"))
    condition = method.condition(Batch(TEXTS.ids, TEXTS.lengths, SOURCES))
    ours = method.decode(torch.zeros(len(SOURCES), 0, 1), decoding, max_tokens, condition)
    theirs = transformers_own(backbone).generate(
        SOURCES.ids, attention_mask=SOURCES.mask.long(), max_length=max_tokens, do_sample=False,
        num_beams=decoding.k if decoding.strategy == "beam" else 1, early_stopping=decoding.strategy == "beam",
        length_penalty=1.0, suppress_tokens=[BOS, PAD, UNK], renormalize_logits=True,
    )  # fmt: skip
    return ours, [[token for token in row[1:] if token != PAD] for row in theirs.tolist()]


@pytest.mark.parametrize("seed", range(5))
def test_greedy_decoding_is_transformers_generate(seed: int) -> None:
    ours, theirs = generate(build(seed=seed), Decoding(strategy="greedy"), 14)
    assert ours == theirs


@pytest.mark.parametrize("beams", [2, 4])
def test_beam_search_without_an_end_is_transformers_generate(beams: int) -> None:
    """EOS is made hopeless: all hypotheses have one length, and no rule of when to stop decides."""
    for seed in range(5):
        backbone = build(seed=seed)
        with torch.no_grad():
            backbone.transformer.decoder.layers[-1].final_layer_norm.bias[0] = 20.0
            backbone.transformer.shared.weight[:, 0] = 0.0
            backbone.transformer.shared.weight[EOS, 0] = -10.0
        ours, theirs = generate(backbone, Decoding(strategy="beam", k=beams), 9)
        assert ours == theirs
        assert all(len(row) == 8 and EOS not in row for row in ours)


@pytest.mark.parametrize("beams", [2, 4])
def test_beam_search_is_transformers_generate(beams: int) -> None:
    """Where hypotheses end at any length; early_stopping=True is the rule that ``beams`` finished ones are enough."""
    for seed in range(12, 18):
        ours, theirs = generate(build(seed=seed), Decoding(strategy="beam", k=beams), 14)
        assert ours == theirs


def test_made_from_a_suite_for_conditions_alone() -> None:
    size = Backbone(layers=2, width=WIDTH, heads=HEADS, vocabulary=260, max_tokens=8, max_source_tokens=12)
    assert make(size, conditional=True).config.max_position_embeddings == 12
    with pytest.raises(BenchError, match="an unconditional dataset has none"):
        make(size, conditional=False)
