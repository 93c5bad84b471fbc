"""Dist-n: distinct n-grams over all n-grams of the generated set, in percent. Higher is more diverse.

    Dist-n = |{g : c(g) > 0}| / sum_g c(g),    c(g): occurrences of n-gram g over all generated texts

0 where no text is long enough to hold an n-gram. It falls as N grows: N is part of the signature.

Li et al. (2016), "A diversity-promoting objective function for neural conversation models", section 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import NgramIndex, TextCounts
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]

ORDERS = range(1, 5)


def distinct(index: NgramIndex, n: int) -> float:
    """Dist-n of all generated texts, in 0..1.

    >>> distinct(NgramIndex(["a b a", "a c"], []), 1)  # a, b, c over 5
    0.6
    """
    counts = index.order(n).generated
    return _n_distinct(counts) / max(1, counts.total)


def distinct_without_each(index: NgramIndex, n: int) -> Floats:
    """[N]: Dist-n without each generated text in turn, in 0..1.

    >>> distinct_without_each(NgramIndex(["a b a", "a c"], []), 1)  # a, c over 2; a, b over 3
    array([1.        , 0.66666667])
    """
    counts = index.order(n).generated
    # A text's own n-grams, which vanish with it: the singletons, and those whose every occurrence is in this text.
    own = counts.singletons + counts.per_text(counts.count == counts.per_row(counts.corpus))
    return (_n_distinct(counts) - own) / np.maximum(1, counts.total - counts.windows)


def _n_distinct(counts: TextCounts) -> float:
    return float(np.count_nonzero(counts.corpus) + counts.singletons.sum())


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("distinct", options)
    inputs.require("distinct")
    n_texts = len(inputs.generated)
    percent = 100 * np.array([distinct(inputs.index, n) for n in ORDERS])
    made = bootstrap.whole_set(
        percent,
        lambda: 100 * np.stack([distinct_without_each(inputs.index, n) for n in ORDERS], axis=1),
        bounds=(0.0, 100.0),
    )
    return {
        f"dist{n}": measured.signed(n_texts, signature("distinct", METRIC.version, n=n, N=n_texts, tok=TOKENISATION))
        for n, measured in zip(ORDERS, made, strict=True)
    }


METRIC = Metric(
    name="distinct",
    family="ngrams",
    needs="generated",
    quantities=tuple(
        Quantity(
            key=f"dist{n}",
            label=f"Dist-{n}",
            direction="up",
            formula=f"100 (distinct {n}-grams) / ({n}-grams), over all generated texts",
            unit="percent",
            range=(0.0, 100.0),
            source="Li et al. 2016, section 5.1",
        )
        for n in ORDERS
    ),
    compute=_compute,
    signatures=("distinct|n:<1-4>|N:<texts>|tok:regex|v:1",),
    defaults=DEFAULTS,
)
