"""The tokeniser: what it promises, on every code point."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.metrics import tokenise as module
from bench.metrics.tokenise import dense_ids, token_ids, tokenise
from tests.metrics import oracles


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n\u2028\0 ", []),
        ("Don't stop-now, she's 3.5!", ["Don't", "stop", "-", "now", ",", "she's", "3", ".", "5", "!"]),
        ("<unk> n't 's", ["<unk>", "n't", "'", "s"]),
        ("<a b> <> ''", ["<", "a", "b", ">", "<", ">", "'", "'"]),
        ("naïve l’été", ["naïve", "l’été"]),
    ],
)
def test_examples(text: str, tokens: list[str]) -> None:
    assert tokenise(text) == tokens


def test_no_token_holds_white_space_as_str_split_understands_it() -> None:
    """Ids are made from chunks between white space instead of texts; this is why they may."""
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if character.isspace():
            assert tokenise(character) == [] and not re.match(r"\w", character)


@given(st.text(max_size=40))
def test_only_white_space_and_nul_are_dropped(text: str) -> None:
    assert "".join(tokenise(text)) == "".join(text.replace("\0", " ").split())


def assert_same_tokens(texts: list[str]) -> None:
    """Separators stand around every text, and ids are equal exactly where tokens are."""
    ids = token_ids(texts)
    assert ids.dtype == np.int32 and ids[0] == ids[-1] == 0
    of_texts = [part.tolist()[1:] for part in np.split(ids, np.flatnonzero(ids == 0))[1:-1]]
    expected = [tokenise(text) for text in texts]
    assert list(map(len, of_texts)) == list(map(len, expected))
    pairs = {pair for tokens, found in zip(expected, of_texts, strict=True) for pair in zip(tokens, found, strict=True)}
    assert len(pairs) == len({token for token, _ in pairs}) == len({found for _, found in pairs})


@given(st.lists(st.text(st.characters(codec=None), max_size=30), max_size=6))  # any code point, surrogates too
@example([])
@example(["", "\0", " \0 ", "\0\0"])
@example(["\ud800 a", "a\ud800", "\x01\x1c\x1d \x85 \xa0\u3000a"])
@example(["12345678 123456789", "123456789", "1234567", "12345678,", "123456789, ,"])
def test_ids_of_any_text(texts: list[str]) -> None:
    assert_same_tokens(texts)


@settings(deadline=None)
@given(oracles.text_sets(0))
def test_blocks_do_not_matter(texts: list[str]) -> None:
    whole = token_ids(texts).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 2)
        patch.setattr(module, "_KEYS_AT_ONCE", 3)
        assert token_ids(texts).tolist() == whole
        assert_same_tokens(texts)


@given(
    st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**64 - 1))),
    st.sampled_from([(1,), (1, 3), (2**56 + 1,), module._MULTIPLIERS]),  # from nothing told apart to everything
)
def test_dense_ids_whether_hashes_collide_or_not(values: list[int], multipliers: tuple[int, ...]) -> None:
    keys = np.array([*values, 0], np.uint64)
    ids, distinct = dense_ids(keys, multipliers)
    assert len(distinct) == len(set(values) - {0}) == ids.max()
    assert [([0, *distinct.tolist()])[i] for i in ids] == keys.tolist()
