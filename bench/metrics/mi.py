"""Mutual information of x and z under the aggregated posterior, over the whole test set and over small batches.

    MI = mean_i [ log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j) ],   z_i ~ q(z|x_i)

It can never exceed log N, whatever the model: N and the cap are printed with it. Slightly negative values are noise
around 0 and are not clipped. There is none where texts have conditions: q(z|x, c) varies with c too, and a mixture over
examples would count that as information about x. Where priors depend on the text before a segment (TRACE, CGD), MI may
exceed KL: z then tells of that text even where q = p. Texts with fewer segments than others have N(0, I) in place of
the rest. DELLA Eq. 14 (Alemi et al. 2016); ``mi_batch`` estimates what He et al. 2019's code does, over batches in the
order of the test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log
from typing import Any

import numpy as np

from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.likelihood_file import LikelihoodFile
from bench.metrics.likelihood_values import require_examples


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("mi", options)
    require_examples("mi", stats)
    if not stats.groups or stats.conditional:
        return {}
    n = len(stats.log_q)
    with np.errstate(invalid="ignore"):  # of a model that diverged: nan
        full, batch = stats.log_q - stats.log_q_full, stats.log_q - stats.log_q_batch
    mixtures = {"mi": n, "mi_batch": min(n, stats.mi_batch)}
    made = bootstrap.means(np.stack([full, batch], axis=1))
    return {
        key: measured.signed(
            n, signature(key, METRIC.version, protocol="exact", groups="sum", mixture=mixture, N=n), _cap(mixture)
        )
        for (key, mixture), measured in zip(mixtures.items(), made, strict=True)
    }


def _cap(n: int) -> str:
    return f"cannot exceed log {n} = {log(n):.2f}"


METRIC = Metric(
    name="mi",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("mi", "MI", "none", "mean_i [log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j)], cap log N", "nats",
                 (-inf, inf), "DELLA Eq. 14"),
        Quantity("mi_batch", "MI@batch", "none", "as mi, the mixture over a batch: cap log of its size", "nats",
                 (-inf, inf), "He et al. 2019, released code"),
    ),
    compute=_compute,
    signatures=("<mi or mi_batch>|protocol:exact|groups:sum|mixture:<examples in it>|N:<examples>|v:1",),
    defaults=DEFAULTS,
)  # fmt: skip
