"""n-gram matches of paired texts, each generated text against its own one: what ROUGE-N and corpus BLEU count.

    matches_n(x, y) = sum over n-grams g of min(count_x(g), count_y(g))

All pairs are counted at once: an n-gram of a pair is ``dense rank of (pair, its first n-1 tokens) x vocabulary + last
token``, so one sort an order finds which n-grams are equal, in time and memory linear in tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError

Floats = NDArray[np.float64]
Tokens = list[list[int]]  # token ids of texts, over one vocabulary


class _ChunkIds(dict[str, list[int]]):
    """White-space delimited chunk -> its token ids: there are far fewer distinct chunks than tokens to tokenise."""

    def __init__(self, tokenise: Callable[[str], list[str]]) -> None:
        super().__init__()
        self.tokenise = tokenise
        self.vocabulary: defaultdict[str, int] = defaultdict(count().__next__)

    def __missing__(self, chunk: str) -> list[int]:
        ids = self[chunk] = [self.vocabulary[token] for token in self.tokenise(chunk)]
        return ids


def token_ids(tokenise: Callable[[str], list[str]], *sets: Sequence[str]) -> list[Tokens]:
    """Token ids of every text of every set, over one vocabulary.

    ``tokenise`` must give the same tokens for a text as for its white-space delimited chunks one by one. A text with a
    line break is given to it whole, since sacrebleu's 13a joins words that are hyphenated across lines.

    >>> token_ids(str.split, ["a b a", ""], ["b c"])
    [[[0, 1, 0], []], [[1, 2]]]
    """
    ids = _ChunkIds(tokenise)
    return [
        [list(chain.from_iterable(map(ids.__getitem__, [text] if "\n" in text else text.split()))) for text in texts]
        for texts in sets
    ]


def lengths(texts: Tokens) -> Floats:
    """Tokens of each text: [N]."""
    return np.fromiter(map(len, texts), np.float64, len(texts))


def windows(lengths: Floats, orders: int) -> Floats:
    """How many n-grams texts of these lengths [N] have, n = 1..orders: [N, orders].

    >>> windows(np.array([3.0, 0.0]), 2)
    array([[3., 2.],
           [0., 0.]])
    """
    return np.maximum(lengths[:, None] - np.arange(orders), 0)


def matches(generated: Tokens, others: Tokens, orders: int) -> Floats:
    """Clipped n-gram matches of N pairs over one vocabulary, n = 1..orders: [N, orders].

    :class:`BenchError` where there are not equally many texts.

    >>> matches([[0, 1, 0, 1], [2]], [[0, 1, 1], []], orders=3)
    array([[3., 1., 0.],
           [0., 0., 0.]])
    """
    n_pairs = len(generated)
    if n_pairs != len(others):
        raise BenchError(f"pairs need equally many texts on both sides, got {n_pairs} and {len(others)}")
    sizes = np.fromiter(map(len, chain(generated, others)), np.int64, 2 * n_pairs)
    ids = np.fromiter(chain.from_iterable(chain(generated, others)), np.int64, int(sizes.sum()))
    vocabulary = int(ids.max(initial=0)) + 1
    pair = np.repeat(np.tile(np.arange(n_pairs), 2), sizes)
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(ids))  # tokens from here to the end of the text
    boundary = int(sizes[:n_pairs].sum())  # positions from here on belong to the others

    found = np.zeros((n_pairs, orders))
    position, rank = np.arange(len(ids)), pair
    for n in range(1, orders + 1):
        fits = left[position] >= n
        position = position[fits]
        keys, rank = np.unique(rank[fits] * vocabulary + ids[position + n - 1], return_inverse=True)
        ours = position < boundary
        shared = np.minimum(*(np.bincount(rank[side], minlength=len(keys)) for side in (ours, ~ours)))
        pair_of = np.empty(len(keys), np.int64)
        pair_of[rank] = pair[position]
        found[:, n - 1] = np.bincount(pair_of, shared, n_pairs)
    return found
