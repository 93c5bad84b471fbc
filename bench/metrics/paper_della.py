"""``paper:della``: the arithmetic of DELLA's released code, on the same file. No bound where there are several groups.

Averaged over layers where the bound sums: the KL, and log p(z) and log q(z) inside the importance weights; 30 samples;
tokens counted with BOS; active units averaged over layers (A.3). With one group (embed, memory, softmax) the averages
change nothing, which is why the printed rows favour the one method that has many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.metrics.au import active_units
from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.iw import measured_perplexity
from bench.metrics.likelihood_file import Floats, LikelihoodFile, importance_weighted_nll

INFINITY = float("inf")
SAMPLES = 30  # importance samples in the released code
THRESHOLD = 0.2  # of active units


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("paper:della", options)
    n, m, groups = len(stats.rec), stats.importance_examples, max(1, stats.groups)
    k = min(SAMPLES, stats.samples)
    nll = importance_weighted_nll((stats.log_px + stats.log_pz_qz / groups)[:, :k])
    tokens: Floats = stats.predicted[:m].astype(np.float64) + 1  # with BOS
    columns = {"nelbo": stats.rec + stats.kl.sum(axis=1) / groups}
    if stats.groups:
        columns["kl"] = stats.kl.mean(axis=1)
    made = bootstrap.means(np.stack(list(columns.values()), axis=1))
    values = {
        f"paper:della/{key}": measured.signed(n, _signature(key, N=n))
        for key, measured in zip(columns, made, strict=True)
    }
    values["paper:della/ppl"] = measured_perplexity(nll, tokens, bootstrap).signed(
        m, _signature("ppl", K=k, tokens="bos+x+eos", N=m), f"K = {k}" if stats.groups else "exact NLL, BOS counted"
    )
    if stats.groups:
        active = float(active_units(stats.mean, THRESHOLD).mean())
        values["paper:della/au_0.2"] = Value(active, None, n, _signature("au", delta=THRESHOLD, N=n), "none")
    return values


def _signature(key: str, **parts: object) -> str:
    return signature(key, METRIC.version, protocol="paper:della", groups="mean", **parts)


METRIC = Metric(
    name="paper:della",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("paper:della/ppl", "PPL", "down", "exp(sum_i NLL'(x_i) / sum_i (|x_i| + 2)), groups averaged, K = 30",
                 "1/token", (0, INFINITY), "DELLA, released code"),
        Quantity("paper:della/nelbo", "-ELBO", "down", "rec + mean over groups of KL", "nats/example", (0, INFINITY),
                 "DELLA, released code"),
        Quantity("paper:della/kl", "KL", "none", "mean over examples and groups of KL", "nats/example/group",
                 (0, INFINITY), "DELLA, released code"),
        Quantity("paper:della/au_0.2", "AU 0.2", "none", "mean over groups of #{d: Var_i E[z_gd|x_i] > 0.2}", "dims",
                 (0, INFINITY), "DELLA A.3"),
    ),
    compute=_compute,
    defaults=DEFAULTS,
)  # fmt: skip
