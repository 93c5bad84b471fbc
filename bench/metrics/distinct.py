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

from bench.errors import BenchError
from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import NgramIndex
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]

ORDERS = range(1, 5)


def distinct(index: NgramIndex, n: int) -> tuple[float, Floats]:
    """Dist-n in 0..1 of all generated texts, and [N] its value without each text in turn.

    >>> distinct(NgramIndex(["a b a", "a c"], []), 1)  # 3/5; without x_1 2/2; without x_2 2/3
    (0.6, array([1.        , 0.66666667]))
    """
    counts = index.order(n).generated
    # A text's own n-grams, which vanish with it: the singletons, and those whose every occurrence is in this text.
    own = counts.singletons + counts.per_text(counts.count == counts.corpus[counts.gram])
    total = counts.total
    n_distinct = np.count_nonzero(counts.corpus) + counts.singletons.sum()
    return float(n_distinct / max(1, total)), (n_distinct - own) / np.maximum(1, total - counts.windows)


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("distinct", options)
    n_texts = len(inputs.generated)
    if not n_texts:
        raise BenchError("distinct: needs at least one generated text, got 0")
    estimates, without = zip(*(distinct(inputs.index, n) for n in ORDERS), strict=True)
    percent = 100 * np.array(estimates)
    intervals = bootstrap.jackknife(percent, 100 * np.stack(without, axis=1), (0.0, 100.0))
    return {
        f"dist{n}": Value(value, interval, n_texts, _signature(n, n_texts, bootstrap))
        for n, value, interval in zip(ORDERS, percent.tolist(), intervals, strict=True)
    }


def _signature(n: int, n_texts: int, bootstrap: Bootstrap) -> str:
    return signature("distinct", METRIC.version, n=n, N=n_texts, tok=TOKENISATION, ci=bootstrap.signature("jack"))


METRIC = Metric(
    name="distinct",
    family="ngrams",
    needs="texts",
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
    defaults=DEFAULTS,
)
