"""Mutual information of x and z under the aggregated posterior, over the whole test set and over small batches.

    MI = mean_i [ log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j) ],   z_i ~ q(z|x_i)

It can never exceed log N, whatever the model: N and the cap are printed with it. Slightly negative values are noise
around 0 and are not clipped. DELLA Eq. 14 (Alemi et al. 2016); ``mi_batch`` is what He et al. 2019's code reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.likelihood_file import LikelihoodFile

INFINITY = float("inf")


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("mi", options)
    if not stats.groups:
        return {}
    n = len(stats.log_q)
    full, batch = stats.log_q - stats.log_q_full, stats.log_q - stats.log_q_batch
    ends_full, ends_batch = bootstrap.means(np.stack([full, batch], axis=1))
    return {
        "mi": Value(float(full.mean()), ends_full, n, _signature("mi", n, n, bootstrap), _cap(n)),
        "mi_batch": Value(
            float(batch.mean()), ends_batch, n, _signature("mi_batch", n, stats.mi_batch, bootstrap),
            _cap(min(n, stats.mi_batch)),
        ),
    }  # fmt: skip


def _cap(n: int) -> str:
    return f"cannot exceed log {n} = {math.log(n):.2f}"


def _signature(key: str, n: int, mixture: int, bootstrap: Bootstrap) -> str:
    return signature(
        key, METRIC.version, protocol="exact", groups="sum", mixture=mixture, N=n, ci=bootstrap.signature()
    )


METRIC = Metric(
    name="mi",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("mi", "MI", "none", "mean_i [log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j)], cap log N", "nats",
                 (-INFINITY, INFINITY), "DELLA Eq. 14"),
        Quantity("mi_batch", "MI@batch", "none", "as mi, the mixture over batches of 32 examples: cap log 32", "nats",
                 (-INFINITY, INFINITY), "He et al. 2019, released code"),
    ),
    compute=_compute,
    defaults=DEFAULTS,
)  # fmt: skip
