"""A prepared split as the token ids that models read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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


def words_kept(folder: Path, part: str, backbone: Backbone) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Words of each text of which ``max_tokens`` leaves a token, those whose nats its likelihood has: [N]."""
    texts, tokenizer = read_split(folder, part).texts, load_tokenizer(folder / "tokenizer.json")
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    spans = [encoding.offsets[: backbone.max_tokens - 2] for encoding in encodings]
    ends = [of_text[-1][1] if of_text else 0 for of_text in spans]
    return np.array([len(text[:end].split()) for text, end in zip(texts, ends, strict=True)], dtype=np.int64)
