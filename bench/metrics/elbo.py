"""rec, KL and -ELBO of the exact protocol: the KL is summed over latent groups, as the bound needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.likelihood_file import LikelihoodFile

INFINITY = float("inf")


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("elbo", options)
    columns = {"rec": stats.rec, "nelbo": stats.nelbo}
    if stats.groups:
        columns["kl"] = stats.kl.sum(axis=1)
    n = len(stats.rec)
    made = bootstrap.means(np.stack(list(columns.values()), axis=1))
    return {
        key: measured.signed(n, signature(key, METRIC.version, protocol="exact", groups="sum", N=n))
        for key, measured in zip(columns, made, strict=True)
    }


METRIC = Metric(
    name="elbo",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("rec", "Rec", "down", "mean_i -log p(x_i|z_i), z_i ~ q(z|x_i)", "nats/example", (0, INFINITY),
                 "DELLA Eq. 3"),
        Quantity("kl", "KL", "none", "mean_i sum_g KL(q(z_g|z_<g,x_i) || p(z_g|z_<g))", "nats/example", (0, INFINITY),
                 "DELLA Eq. 6"),
        Quantity("nelbo", "-ELBO", "down", "rec + kl", "nats/example", (0, INFINITY), "DELLA Eq. 2"),
    ),
    compute=_compute,
    defaults=DEFAULTS,
)  # fmt: skip
