"""The tokeniser: what it promises, on every code point."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.tokenise import tokenise


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
    """The index tokenises white-space chunks instead of texts; this is why it may."""
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if character.isspace():
            assert tokenise(character) == [] and not re.match(r"\w", character)


@given(st.text(max_size=40))
def test_only_white_space_and_nul_are_dropped(text: str) -> None:
    assert "".join(tokenise(text)) == "".join(text.replace("\0", " ").split())
