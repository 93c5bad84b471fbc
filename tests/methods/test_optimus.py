"""Optimus' encoder against transformers' BERT; its two injections are compared in test_transformers.py."""

from __future__ import annotations

import pytest
import torch
from transformers import BertModel

from bench import model as models
from bench.errors import BenchError
from bench.methods.optimus import Optimus
from bench.schema import MethodSpec
from bench.vocabulary import PAD

from .conftest import SEQUENCES, TASKS, TINY, UNCONDITIONAL, build


@pytest.fixture
def optimus() -> Optimus:
    method = build("optimus")
    assert isinstance(method, Optimus)
    return method


def test_the_posterior_is_a_map_of_bert_pooled_output(optimus: Optimus) -> None:
    """transformers' BERT on each text alone, without any mask."""
    theirs = BertModel(optimus.encoder.config).eval()
    theirs.load_state_dict(optimus.encoder.state_dict())
    posterior = optimus.posterior(UNCONDITIONAL.batch())
    for row, sequence in enumerate(SEQUENCES):
        pooled = theirs(torch.tensor([sequence])).pooler_output[0]
        mean, logvar = (optimus.to_latent.weight @ pooled).split(32)
        torch.testing.assert_close(posterior.mean[row, 0], mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(posterior.logvar[row, 0], logvar, atol=1e-5, rtol=1e-5)


def test_the_encoder_has_the_size_of_the_decoder(optimus: Optimus) -> None:
    config = optimus.encoder.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 16, 2)
    assert (config.intermediate_size, config.vocab_size) == (64, TINY.vocabulary)
    assert config.max_position_embeddings == TINY.max_tokens and config.pad_token_id == PAD
    shared = {id(p) for p in optimus.encoder.parameters()} & {id(p) for p in optimus.backbone.parameters()}
    assert not shared
    dropping = models.build(MethodSpec(use="optimus"), TINY.model_copy(update={"dropout": 0.3}), 0)
    rates = {module.p for module in dropping.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.3}


def test_maps_of_the_latent_variable_have_no_bias(optimus: Optimus) -> None:
    maps = [optimus.to_latent, optimus.to_embedding, *optimus.to_memory]
    assert len(maps) == 2 + 3 and all(layer.bias is None for layer in maps)
    assert (optimus.options.free_bits, optimus.options.annealing) == (0.5, "one_cycle")


@pytest.mark.parametrize(
    ("task", "reason"),
    [("gpt2-prompt", "it is unconditional"), ("bart", "its backbone is gpt2, not bart"), ("lstm", "not lstm")],
)
def test_what_it_is_not_for(task: str, reason: str) -> None:
    with pytest.raises(BenchError, match=f"method 'optimus': .*{reason}"):
        build("optimus", TASKS[task])
