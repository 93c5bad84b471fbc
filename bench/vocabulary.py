"""The ids every tokenizer of the suite shares, and text <-> ids. Light: no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS = ("<bos>", "<eos>", "<pad>", "<unk>")
BOS, EOS, PAD, UNK = range(4)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """A tokenizer.json of the data stage."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception
        raise BenchError(f"tokenizer {path}: {error}") from None
    tokenizer.encode_special_tokens = True  # an <eos> or <unk> that a text has is text; the file does not keep this
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Each text as ``BOS x EOS``; x is cut so that the whole has at most ``max_tokens`` ids."""
    return [[BOS, *e.ids[: max_tokens - 2], EOS] for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def decode(tokenizer: Tokenizer, ids: Sequence[Sequence[int]]) -> list[str]:
    """Ids (with or without BOS, EOS, PAD) back to text, white space folded to one line; a word may be ``<unk>``."""
    inner = [[token for token in row if token not in (BOS, EOS, PAD)] for row in ids]
    return [" ".join(text.split()) for text in tokenizer.decode_batch(inner)]
