"""Matches of pairs are Counter intersections; tokens made chunk by chunk are sacrebleu's and rouge-score's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from bench.errors import BenchError
from bench.metrics import rouge
from bench.metrics.corpus_bleu import pair_statistics, tokenise
from bench.metrics.pair_ngrams import Tokens, matches, token_ids

# What 13a looks at: digits beside punctuation, entities, line breaks; and white space of every kind.
PIECES = [
    "a", "B", "7", ".", ",", "-", "'", '"', "&", ";", "&quot;", "&amp;", "&lt;", "<skipped>", "-\n", "\n", " ", "\t",
    "\x1c", "\x85", "\u00a0", "\u2028", "\r", "\0", "é", "İ", "Σ", "K", "日", "🙂", "~", "@", "/", "\\", "_",
]  # fmt: skip
raw_text = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)
tokens = st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=5)


def vocabulary_of(tokenised: list[list[str]]) -> Tokens:
    known = {token: i for i, token in enumerate(dict.fromkeys(token for text in tokenised for token in text))}
    return [[known[token] for token in text] for text in tokenised]


@settings(deadline=None, max_examples=500)
@given(st.lists(raw_text, min_size=1, max_size=4))
@example(["self-\nish. ,5 .5 3. 4 7-8"])
def test_tokens_are_the_peers(texts: list[str]) -> None:
    tokenizer, default = Tokenizer13a(), DefaultTokenizer()
    theirs = [tokenizer(text.rstrip()).split() for text in texts]
    assert token_ids(tokenise, texts) == [vocabulary_of(theirs)]
    assert token_ids(rouge.tokenise, texts) == [vocabulary_of([default.tokenize(text) for text in texts])]


def grams(text: list[int], n: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))


@settings(deadline=None, max_examples=300)
@given(tokens, tokens, st.integers(1, 5))
def test_matches_are_intersections(xs: Tokens, ys: Tokens, orders: int) -> None:
    n = min(len(xs), len(ys))
    theirs = [[(grams(x, k) & grams(y, k)).total() for k in range(1, orders + 1)] for x, y in zip(xs, ys, strict=False)]
    np.testing.assert_array_equal(matches(xs[:n], ys[:n], orders), theirs)


@pytest.mark.parametrize("n", [1, 3])
def test_empty_texts_match_nothing(n: int) -> None:
    np.testing.assert_array_equal(matches([[]] * n, [[]] * n, 2), np.zeros((n, 2)))


@pytest.mark.parametrize("scores", [rouge.rouge_scores, pair_statistics])
@pytest.mark.parametrize(("generated", "references"), [(["a", "b"], ["a"]), (["a"], ["a", "b"])])
def test_pairs_are_complete(scores: Callable[..., object], generated: list[str], references: list[str]) -> None:
    with pytest.raises(BenchError, match="pairs need equally many texts on both sides, got"):
        scores(generated, references)
