"""rec, KL and -ELBO of the exact protocol: the KL is summed over latent groups, as the bound needs.

Where the number of groups is a part of z (the latent sequences of DAVAM) its price is in it: -log p(G_i), or that of an
end code after the others, whose part in the price of the number is then in the groups' KL. Elsewhere it is 0.
The KL a group is reported beside it: the mean over the groups an example uses, and in its note every group's own, each
over the examples that use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.likelihood_file import LikelihoodFile
from bench.metrics.likelihood_values import require_examples


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("elbo", options)
    require_examples("elbo", stats)
    columns = {"rec": stats.rec, "nelbo": stats.nelbo}
    if stats.groups:
        columns |= {"kl": stats.kl_total, "kl_per_group": stats.kl_averaged}
    if stats.length.any():
        columns["length"] = stats.length
    n = len(stats.rec)
    values = {}
    for key, measured in zip(columns, bootstrap.means(np.stack(list(columns.values()), axis=1)), strict=True):
        each = key == "kl_per_group"
        name, groups = ("kl", "mean") if each else (key, "sum")
        signed = signature(name, METRIC.version, protocol="exact", groups=groups, N=n)
        values[key] = measured.signed(n, signed, _by_group(stats) if each else "")
    return values


def _by_group(stats: LikelihoodFile) -> str:
    """``"by group: 0.31 1.20"``, nats: sums over examples, divided by how many use the group."""
    users = (stats.used[:, None] > np.arange(stats.groups)).sum(axis=0)
    return "by group: " + " ".join(f"{kl:.4g}" for kl in stats.kl.sum(axis=0) / np.maximum(users, 1))


METRIC = Metric(
    name="elbo",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("rec", "Rec", "down", "mean_i -log p(x_i|z_i), z_i ~ q(z|x_i)", "nats/example", (0, inf),
                 "DELLA Eq. 3"),
        Quantity("kl", "KL", "none", "mean_i [sum_g KL(q(z_g|z_<g,x_i) || p(z_g|z_<g)) - log p(G_i)]", "nats/example",
                 (0, inf), "DELLA Eq. 6"),
        Quantity("kl_per_group", "KL/group", "none", "mean_i (1/G_i) sum_g KL(q(z_g|z_<g,x_i) || p(z_g|z_<g))",
                 "nats/example/group", (0, inf), "as kl, over the G_i groups of an example"),
        Quantity("length", "Length", "none", "mean_i -log p(G_i), or of an end code -log p(end|z_i)",
                 "nats/example", (0, inf), "the part of kl that no group has"),
        Quantity("nelbo", "-ELBO", "down", "rec + kl", "nats/example", (0, inf), "DELLA Eq. 2"),
    ),
    compute=_compute,
    signatures=(
        "<rec, kl, length or nelbo>|protocol:exact|groups:sum|N:<examples>|v:1",
        "kl|protocol:exact|groups:mean|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
