"""Ent-n: entropy of the n-gram distribution of the generated set, in nats. Higher is more diverse.

    Ent-n = - sum_g G(g) log G(g) = log T - (1/T) sum_g c(g) log c(g),    G = c / T,  T = sum_g c(g)

(the plug-in estimate, which grows with N: N is part of the signature). 0 where there is no n-gram.

Zhang et al. (2018), "Generating informative and diverse conversational responses via adversarial information
maximization", section 4.1.
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


def entropy(index: NgramIndex, n: int) -> float:
    """Ent-n of all generated texts, in nats.

    >>> round(entropy(NgramIndex(["a b", "a c"], []), 1), 6)  # 1/2, 1/4, 1/4: 1.5 log 2
    1.039721
    """
    counts = index.order(n).generated
    return float(_entropy(counts.total, _sum_count_log_count(counts)))


def entropy_without_each(index: NgramIndex, n: int) -> Floats:
    """[N]: Ent-n without each generated text in turn, in nats.

    >>> entropy_without_each(NgramIndex(["a b", "a c"], []), 1)  # 1/2, 1/2 either way: log 2
    array([0.69314718, 0.69314718])
    """
    counts = index.order(n).generated
    remaining = counts.per_row(counts.corpus)
    remaining -= counts.count
    lost = counts.per_row(_x_log_x(counts.corpus))
    lost -= _x_log_x(remaining)
    return _entropy(counts.total - counts.windows, _sum_count_log_count(counts) - counts.per_text(lost))


def _sum_count_log_count(counts: TextCounts) -> float:
    return float(_x_log_x(counts.corpus).sum())  # singletons add 1 log 1 = 0


def _entropy(total: int | NDArray[np.int64], sum_count_log_count: float | Floats) -> Floats:
    total = np.maximum(1, total)
    return np.maximum(0.0, np.log(total) - sum_count_log_count / total)  # never below 0 but by rounding


def _x_log_x(x: Floats) -> Floats:
    logs = np.maximum(1, x)  # x is a count: 0, 1, 2, ...
    np.log(logs, out=logs)
    logs *= x
    return logs


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("entropy", options)
    inputs.require("entropy")
    n_texts = len(inputs.generated)
    estimates = np.array([entropy(inputs.index, n) for n in ORDERS])
    made = bootstrap.whole_set(
        estimates,
        lambda: np.stack([entropy_without_each(inputs.index, n) for n in ORDERS], axis=1),
        bounds=(0.0, np.inf),
    )
    return {
        f"ent{n}": measured.signed(n_texts, signature("entropy", METRIC.version, n=n, N=n_texts, tok=TOKENISATION))
        for n, measured in zip(ORDERS, made, strict=True)
    }


METRIC = Metric(
    name="entropy",
    family="ngrams",
    needs="generated",
    quantities=tuple(
        Quantity(
            key=f"ent{n}",
            label=f"Ent-{n}",
            direction="up",
            formula=f"- sum_g G(g) log G(g), G: distribution of the {n}-grams of all generated texts",
            unit="nats",
            range=(0.0, float("inf")),
            source="Zhang et al. 2018, section 4.1",
        )
        for n in ORDERS
    ),
    compute=_compute,
    signatures=("entropy|n:<1-4>|N:<texts>|tok:regex|v:1",),
    defaults=DEFAULTS,
)
