"""BLEU-n of unconditional generation: every generated text against all references.

    BLEU-n(x) = BP(x) exp( (1/n) sum_{k=1..n} log p_k(x) )
    p_k = sum_g min(count_x(g), max_r count_r(g)) / max(1, |x| - k + 1),    a zero numerator is replaced by 0.1
    BP  = 1 if |x| > r else exp(1 - r/|x|),    r: the reference length closest to |x|, ties to the shorter

and 0 where not even a unigram matches. The number reported is the mean over generated texts, in percent. These are
the semantics of NLTK's ``sentence_bleu(..., smoothing_function=SmoothingFunction().method1)``; the maxima over
references are taken once for all texts, so the cost is linear where the oracle's is quadratic. As in NLTK, a text
without tokens scores 0 and a reference without tokens counts as one of length 0; without any reference NLTK fails, and
this metric is undefined.

The interval is that of a mean over generated texts, the references held fixed.

Papineni et al. (2002), "BLEU"; Chen & Cherry (2014), smoothing method 1; the protocol (all test texts as references):
Zhu et al. (2018), "Texygen"; Hu et al. (2022), "DELLA", appendix A.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import MAX_ORDER, NgramIndex
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]

ORDERS = range(1, MAX_ORDER + 1)
SMOOTHING = "method1"
EPSILON = 0.1  # Chen & Cherry's method 1, as in NLTK


def bleu_scores(index: NgramIndex) -> Floats:
    """Sentence BLEU-1..5 of each generated text against all references: [N, 5] in 0..1.

    >>> bleu_scores(NgramIndex(["the cat sat", "no"], ["the cat ran", "a cat sat"])).round(3)
    array([[1.   , 1.   , 0.464, 0.316, 0.251],
           [0.   , 0.   , 0.   , 0.   , 0.   ]])
    """
    matches = np.stack([_matches(index, n) for n in ORDERS], axis=1)
    return bleu_from_matches(matches, index.lengths, closest_lengths(index.lengths, index.reference_lengths))


def bleu_from_matches(matches: Floats, lengths: NDArray[np.int64], closest: NDArray[np.int64]) -> Floats:
    """BLEU-1..K from clipped matches [N, K], text lengths [N] and closest reference lengths [N]: [N, K] in 0..1."""
    orders = np.arange(1, matches.shape[1] + 1)
    windows = np.maximum(1, lengths[:, None] - orders + 1)
    log_precision = np.log(np.where(matches > 0, matches, EPSILON) / windows)
    log_brevity = np.minimum(0, 1 - closest / np.maximum(1, lengths))
    scores = np.exp(log_brevity[:, None] + np.cumsum(log_precision, axis=1) / orders)
    return np.where(matches[:, :1] > 0, scores, 0.0)


def closest_lengths(lengths: NDArray[np.int64], reference_lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The reference length nearest to each length, ties to the shorter: [N] from [N] and [M >= 1]."""
    allowed = np.unique(reference_lengths)
    right = np.searchsorted(allowed, lengths)
    above = allowed[np.minimum(right, len(allowed) - 1)]
    below = allowed[np.maximum(right - 1, 0)]
    return np.where(np.abs(below - lengths) <= np.abs(above - lengths), below, above)


def _matches(index: NgramIndex, n: int) -> Floats:
    """[N]: n-gram matches of each generated text, clipped by the maximum over references."""
    order = index.order(n)
    counts, references = order.generated, order.references
    ceiling = counts.per_row(references.maximum(references.count))
    clipped = np.flatnonzero(counts.count > ceiling)
    return counts.indexed - counts.per_text(counts.count[clipped] - ceiling[clipped], clipped)


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("bleu", options)
    inputs.require("bleu", references=1)
    n, refs = len(inputs.generated), f"all{len(inputs.references)}"
    return {
        f"bleu{order}": measured.signed(
            n, signature("bleu", METRIC.version, n=order, tok=TOKENISATION, smooth=SMOOTHING, refs=refs)
        )
        for order, measured in zip(ORDERS, bootstrap.means(100 * bleu_scores(inputs.index)), strict=True)
    }


METRIC = Metric(
    name="bleu",
    family="ngrams",
    needs="references",
    quantities=tuple(
        Quantity(
            key=f"bleu{n}",
            label=f"BLEU-{n}",
            direction="up",
            formula=f"100 mean_x BP(x) exp(1/{n} sum_k=1..{n} log p_k(x)), all references",
            unit="percent",
            range=(0.0, 100.0),
            source="Papineni et al. 2002; NLTK sentence_bleu with smoothing method1",
        )
        for n in ORDERS
    ),
    compute=_compute,
    signatures=("bleu|n:<1-5>|tok:regex|smooth:method1|refs:all<references>|v:1",),
    defaults=DEFAULTS,
)
