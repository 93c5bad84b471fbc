"""Tiny pretrained models with random weights, made on the spot: a BERT, a RoBERTa, a Llama and a GPT-2.

And whether the real one that is a package is here.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
)

from bench.metrics.pretrained import PACKAGED

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGED["encoder"]["minilm"].module) is None,
    reason="the packaged MiniLM encoder is not installed",
)
CORPUS = ["the cat sat on the mat", "a dog ran over the hill", "prices rose 3 % in october , the board said"]
SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}


def bert(directory: Path) -> Path:
    """WordPiece; [CLS] and [SEP] around a text."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for text in CORPUS for word in text.split()})]
    letters = [piece for letter in "abcdefghijklmnopqrstuvwxyz0123456789%,." for piece in (letter, f"##{letter}")]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*words, *letters]))}
    tokeniser = BertTokenizer(vocab=vocabulary, model_max_length=512)
    return _save(directory, tokeniser, BertModel(BertConfig(vocab_size=len(vocabulary), **SHAPE, **_big())))


def roberta(directory: Path) -> Path:
    """Bytes; <s> and </s> around a text."""
    vocabulary, merges = _bytes(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokeniser = RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=512)
    config = RobertaConfig(vocab_size=len(tokeniser), max_position_embeddings=514, **SHAPE, **_big())
    return _save(directory, tokeniser, RobertaModel(config))


def gpt2(directory: Path) -> Path:
    """Bytes; one token both begins and ends a text, and the tokeniser adds neither."""
    vocabulary, merges = _bytes(["<|endoftext|>"])
    tokeniser = GPT2Tokenizer(vocab=vocabulary, merges=merges)
    config = GPT2Config(
        vocab_size=len(tokeniser), n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0,
        **_big(),
    )  # fmt: skip
    return _save(directory, tokeniser, GPT2LMHeadModel(config))


def llama(directory: Path, tied: bool = False) -> Path:
    """Bytes; grouped heads, rotary positions."""
    vocabulary, merges = _bytes(["<|endoftext|>"])
    tokeniser = GPT2Tokenizer(vocab=vocabulary, merges=merges)
    config = LlamaConfig(
        vocab_size=len(tokeniser), max_position_embeddings=64, num_key_value_heads=1, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=tied, **SHAPE, **_big(),
    )  # fmt: skip
    return _save(directory, tokeniser, LlamaForCausalLM(config))


def _big() -> dict[str, float]:
    """Weights large enough that hidden states, and so scores, differ much."""
    torch.manual_seed(0)
    return {"initializer_range": 0.5}


def _bytes(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokeniser = Tokenizer(models.BPE())
    tokeniser.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokeniser.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    model = json.loads(tokeniser.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _save(directory: Path, tokeniser: object, model: torch.nn.Module) -> Path:
    tokeniser.save_pretrained(directory)  # type: ignore[attr-defined]
    model.save_pretrained(directory)
    return directory
