"""What a generated text is most like: a training text, or another text of its set. Exact, over all pairs.

Likeness is the Jaccard similarity of their sets of bigrams, as in the metric JS-2: 1 where the bigrams are the same, 0
where there is none in common. A text much liker a training text than human texts are was remembered, not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.jaccard import jaccard
from bench.metrics.ngrams import NgramIndex, TextCounts

ORDER = 2
AT_ONCE = 1 << 22  # pairs of texts: bounds memory


@dataclass(frozen=True)
class Nearest:
    """Of each of N texts the one it is most like, the first of equals, and how like, in 0..1: both [N]."""

    text: NDArray[np.int64]
    likeness: NDArray[np.float64]


def nearest(texts: Sequence[str], training: Sequence[str]) -> tuple[Nearest, Nearest]:
    """The nearest training text and the nearest other text of each text.

    >>> train, other = nearest(["a b c", "a b d", "x"], ["x y", "a b c d"])
    >>> train.text.tolist(), train.likeness.round(2).tolist()
    ([1, 1, 0], [0.67, 0.25, 0.0])
    >>> other.text.tolist(), other.likeness.round(2).tolist()
    ([1, 0, 0], [0.33, 0.33, 0.0])
    """
    index = NgramIndex(texts, training)
    order = index.order(ORDER)
    ours, sizes = _members(order.generated)
    theirs, training_sizes = _members(order.references)
    train = Nearest(np.zeros(len(texts), np.int64), np.zeros(len(texts)))
    step = max(1, AT_ONCE // len(training))
    for rows in (slice(start, start + step) for start in range(0, len(texts), step)):
        common = (ours[rows] @ theirs.T).toarray()
        likeness = common / np.maximum(1, sizes[rows, None] + training_sizes - common)
        train.text[rows], train.likeness[rows] = likeness.argmax(axis=1), likeness.max(axis=1)
    if len(texts) < 2:
        return train, Nearest(np.zeros(len(texts), np.int64), np.zeros(len(texts)))
    others = jaccard(index, ORDER)
    return train, Nearest(others.nearest, others.maximum)


def _members(counts: TextCounts) -> tuple[NDArray, NDArray]:
    """Which text holds which indexed bigram, a sparse 0/1 matrix [N, bigrams]; how many distinct ones each has, [N]."""
    from scipy.sparse import csc_matrix

    ones = np.ones(len(counts.text), np.int32)
    members = csc_matrix((ones, counts.text, counts.starts), (len(counts.lengths), counts.n_grams)).tocsr()
    return members, counts.per_text(ones) + counts.singletons
