"""Self-BLEU-n: BLEU-n of every generated text against all *other* generated texts. Lower is more diverse.

Definition, smoothing and brevity penalty as in :mod:`bench.metrics.bleu`, with leave-one-out references: the clipping
count of an n-gram in text i is its largest count in any text j != i, that is the largest over all texts unless text i
alone attains it, and then the second largest. (Texygen's own default lets a text be its own reference, which makes
exact matches certain; that is not what its paper defines and not computed here.)

It grows with N, the number of generated texts: N is part of the signature. A resample of texts would hold duplicates,
whose Self-BLEU is 100, and a bootstrap of the per-text scores alone forgets that the texts are each other's references
(in simulations its 95 % interval covers 85 %). So the interval comes from the mean without each text in turn, as a
scored text *and* as a reference; only the closest reference lengths are held as they are with all texts.

Zhu et al. (2018), "Texygen", section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bleu import ORDERS, SMOOTHING, bleu_from_matches
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import NgramIndex, TextCounts
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]

_PAIRS_AT_ONCE = 1 << 18  # pairs of texts rescored at a time: bounds memory


def self_bleu_scores(index: NgramIndex) -> Floats:
    """Sentence BLEU-1..5 of each generated text against the N-1 others: [N >= 2, 5] in 0..1.

    >>> self_bleu_scores(NgramIndex(["a b c", "a b d", "e"], [])).round(3)
    array([[0.667, 0.577, 0.322, 0.24 , 0.202],
           [0.667, 0.577, 0.322, 0.24 , 0.202],
           [0.   , 0.   , 0.   , 0.   , 0.   ]])
    """
    matches = np.stack([_matches(index, n) for n in ORDERS], axis=1)
    return bleu_from_matches(matches, index.lengths, closest_other_lengths(index.lengths))


def self_bleu_without_each(index: NgramIndex) -> Floats:
    """Mean Self-BLEU-1..5 of the N-1 texts that remain without each text: [N, 5] in 0..1, NaN where N = 2.

    Let c1 >= c2 >= c3 be the three largest counts of an n-gram. Leaving out a text lowers the clipping count of another
    only where those two hold c1 and c2: from c2 to c3. So few pairs of texts are affected, and only those are rescored.
    """
    n_texts = len(index.lengths)
    if n_texts < 3:
        return np.full((n_texts, len(ORDERS)), np.nan)
    matches = np.stack([_matches(index, n) for n in ORDERS], axis=1)
    closest = closest_other_lengths(index.lengths)
    scores = bleu_from_matches(matches, index.lengths, closest)

    pairs, losses = zip(*(_losses(index.order(n).generated, n_texts) for n in ORDERS), strict=True)
    columns = np.repeat(np.arange(len(ORDERS), dtype=np.int8), [len(pair) for pair in pairs])
    pair, loss = np.concatenate(pairs), np.concatenate(losses)
    order = np.argsort(pair, kind="stable")
    pair, loss, columns = pair[order], loss[order], columns[order]
    sums = scores.sum(axis=0) - scores
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    for begin, end in pairwise([*first[::_PAIRS_AT_ONCE].tolist(), len(pair)]):
        affected, which = np.unique(pair[begin:end], return_inverse=True)
        shape = (len(affected), len(ORDERS))
        lost = np.bincount(which * shape[1] + columns[begin:end], loss[begin:end], shape[0] * shape[1]).reshape(shape)
        a, b = np.divmod(affected, n_texts)
        for left_out, text in ((a, b), (b, a)):
            rescored = bleu_from_matches(matches[text] - lost, index.lengths[text], closest[text])
            np.subtract.at(sums, left_out, scores[text] - rescored)
    return sums / (n_texts - 1)


def _losses(counts: TextCounts, n_texts: int) -> tuple[NDArray[np.int64], Floats]:
    """(text a x N + text b, matches that each loses without the other) [E], of every n-gram with c2 > c3."""
    largest = counts.maximum(counts.count)
    is_largest = counts.count == counts.per_row(largest)
    rest = np.where(is_largest, 0, counts.count)
    second = counts.maximum(rest)
    is_second = (rest == counts.per_row(second)) & (rest > 0)
    third = counts.maximum(np.where(is_second, 0, rest))
    # c2 > c3: two texts share the largest count, or one has the largest and one the second largest.
    shared = counts.total_of(is_largest) == 2
    apart = (counts.total_of(is_largest) == 1) & (counts.total_of(is_second) == 1)
    rows = np.flatnonzero((is_largest & counts.per_row(shared | apart)) | (is_second & counts.per_row(apart)))
    loss = np.where(shared, largest - second, second - third)[shared | apart].astype(np.float64)
    a, b = counts.text[rows].astype(np.int64).reshape(-1, 2).T
    return a * n_texts + b, loss


def closest_other_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each text the length nearest to its own among the N-1 others, ties to the shorter: [N >= 2] -> [N]."""
    distinct, which, multiplicity = np.unique(lengths, return_inverse=True, return_counts=True)
    far = np.iinfo(np.int64).max // 2
    below = np.concatenate([[-far], distinct[:-1]])
    above = np.concatenate([distinct[1:], [far]])
    nearest = np.where(distinct - below <= above - distinct, below, above)
    return np.where(multiplicity > 1, distinct, nearest)[which]


def _matches(index: NgramIndex, n: int) -> Floats:
    """[N]: n-gram matches of each generated text, clipped by the maximum over the other generated texts."""
    counts = index.order(n).generated
    largest = counts.maximum(counts.count)
    is_largest = counts.count == counts.per_row(largest)
    alone = np.flatnonzero(is_largest & counts.per_row(counts.total_of(is_largest) == 1))
    second = counts.maximum(np.where(is_largest, 0, counts.count))
    return counts.indexed - counts.per_text(counts.count[alone] - counts.per_row(second)[alone], alone)


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("self_bleu", options)
    inputs.require("self_bleu", generated=2)
    n = len(inputs.generated)
    estimates = 100 * self_bleu_scores(inputs.index).mean(axis=0)
    made = bootstrap.whole_set(estimates, lambda: 100 * self_bleu_without_each(inputs.index), bounds=(0.0, 100.0))
    return {
        f"self_bleu{order}": measured.signed(
            n, signature("self_bleu", METRIC.version, n=order, N=n, tok=TOKENISATION, smooth=SMOOTHING)
        )
        for order, measured in zip(ORDERS, made, strict=True)
    }


METRIC = Metric(
    name="self_bleu",
    family="ngrams",
    needs="generated",
    quantities=tuple(
        Quantity(
            key=f"self_bleu{n}",
            label=f"SB-{n}",
            direction="down",
            formula=f"100 mean_i BLEU-{n}(x_i; references x_j, j != i)",
            unit="percent",
            range=(0.0, 100.0),
            source="Zhu et al. 2018 (Texygen), section 3.2; leave-one-out",
        )
        for n in ORDERS
    ),
    compute=_compute,
    signatures=("self_bleu|n:<1-5>|N:<texts>|tok:regex|smooth:method1|v:1",),
    defaults=DEFAULTS,
)
