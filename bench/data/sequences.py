"""A prepared split as the token ids that models read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.batch import Sequences
from bench.data.prepare import read_split
from bench.data.sentences import token_breaks
from bench.vocabulary import encode, load_tokenizer

if TYPE_CHECKING:
    from bench.schema import Backbone


def read_sequences(folder: Path, part: str, backbone: Backbone) -> Sequences:
    """One split of a prepared dataset, texts and sources cut at the backbone's limits."""
    split, tokenizer = read_split(folder, part), load_tokenizer(folder / "tokenizer.json")
    texts = encode(tokenizer, split.texts, backbone.max_tokens)
    sources = None if split.sources is None else encode(tokenizer, split.sources, backbone.max_source_tokens)
    if split.sentences is None:
        return Sequences(texts, sources)
    return Sequences(texts, sources, token_breaks(tokenizer, split.texts, split.sentences, backbone.max_tokens))
