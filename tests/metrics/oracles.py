"""Texts to test with, and the n-gram metrics once more as plain loops over Python tuples, sets and Counters."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from hypothesis import strategies as st

from bench.metrics.tokenise import tokenise

# Few words, so that repeats, shared n-grams and duplicate texts are common; some need care in tokenising.
WORDS = ["a", "b", "c", "A", "the", "don't", "é", "e\u0301", "日本", "<unk>", ".", "x\0y", "\0", "\u2028", "🙂", "b,c"]
WORDS += [
    "eightlet",
    "ninelette",
    "eightlette",
    "'s",
    "\x01",
    "\ud800",
]  # at and over the eight bytes of a key; no text

text = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)


def long_text(n_words: int, seed: int) -> str:
    """Words at random, few of them often: counts pass 255 in texts of a few thousand."""
    return " ".join(random.Random(seed).choices(WORDS, [1 / (i + 1) ** 2 for i in range(len(WORDS))], k=n_words))


def text_sets(least: int) -> st.SearchStrategy[list[str]]:
    """Lists of at least ``least`` texts, among them empty ones, one-token ones and duplicates; or all the same."""
    some = st.lists(st.one_of(text, st.sampled_from(["", "a", "a b a b a", "the the the"])), min_size=least, max_size=8)
    same = st.builds(lambda text, n: [text] * n, text, st.integers(least, max(least, 4)))
    return st.one_of(some, same)


def unlike_texts(least: int) -> st.SearchStrategy[list[str]]:
    """Lists of at least ``least`` texts whose lengths differ by orders of magnitude."""
    of_length = st.builds(long_text, st.sampled_from([0, 1, 6, 200, 3000]), st.integers(0, 5))
    return st.lists(of_length, min_size=least, max_size=4)


def zipf_texts(rng: np.random.Generator, n: int) -> list[str]:
    """Texts of 3..24 words, which follow Zipf's law: they differ in how much they contribute."""
    p = 1 / np.arange(1, 301)
    return [" ".join(map(str, rng.choice(300, rng.integers(3, 25), p=p / p.sum()))) for _ in range(n)]


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """All n-grams of a text, in order."""
    tokens = tokenise(text)
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def corpus_counts(texts: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram occurs over all texts."""
    return Counter(gram for text in texts for gram in ngrams(text, n))


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct over total n-grams."""
    counts = corpus_counts(texts, n)
    return len(counts) / max(1, counts.total())


def entropy(texts: Sequence[str], n: int) -> float:
    """Entropy of the n-gram distribution, nats."""
    counts = corpus_counts(texts, n)
    return -math.fsum(c / counts.total() * math.log(c / counts.total()) for c in counts.values())


def cnd(generated: Sequence[str], references: Sequence[str], n: int) -> dict[str, float]:
    """All forms of CND (reconstructed); the references must hold an n-gram."""
    g, p = corpus_counts(generated, n), corpus_counts(references, n)
    total_g, total_p = max(1, g.total()), p.total()
    grams = set(g) | set(p)
    raw = math.fsum((p[w] / total_p - g[w] / total_g) ** 2 for w in grams)
    pp, gg = math.fsum((c / total_p) ** 2 for c in p.values()), math.fsum((c / total_g) ** 2 for c in g.values())
    cr = math.fsum(p[w] / total_p * g[w] / total_g for w in grams)
    cr_or_half = cr or 0.5 / (total_g * total_p)
    logcos = -math.log(cr_or_half**2 / (pp * (gg or 1)))
    return {"cr": cr, "nrr": -gg, "raw": raw, "norm": raw / pp, "logcos": logcos}


def jaccard(a: str, b: str, n: int) -> float:
    """Jaccard similarity of two texts' n-gram sets; 0 where both are empty."""
    left, right = set(ngrams(a, n)), set(ngrams(b, n))
    return len(left & right) / len(left | right) if left | right else 0.0


def mean_jaccard(texts: Sequence[str], n: int) -> float:
    """Mean over all pairs."""
    pairs = [jaccard(a, b, n) for a, b in combinations(texts, 2)]
    return math.fsum(pairs) / len(pairs)


def max_jaccard(texts: Sequence[str], n: int) -> float:
    """Mean over texts of the similarity to the most similar other text."""
    best = [max(jaccard(a, b, n) for j, b in enumerate(texts) if j != i) for i, a in enumerate(texts)]
    return math.fsum(best) / len(best)


def without_each(texts: Sequence[str]) -> list[list[str]]:
    """The N lists that lack one text."""
    return [[*texts[:i], *texts[i + 1 :]] for i in range(len(texts))]
