"""Active units: latent dimensions whose posterior mean varies over examples by more than a threshold.

    AU(delta) = #{ (g, d) : Var_i E_q[z_gd | x_i] > delta },   unbiased variance over the N test examples

Where groups depend on each other E_q is an average over S draws of the lower ones, and the variance of such averages is
larger by what draws vary of a text, divided by S. That is subtracted: noise is no activity.
Where texts have conditions c, the means counted are those of q(z|x, c) minus those of p(z|c): a posterior that follows
its prior is not active, however much both vary with c. Counted over all dimensions of all groups; a group's variance
is over the examples that use it. Where priors depend on the text before a segment (TRACE, CGD), that text is part of x,
and a z that follows it is active by this definition. Burda et al. 2016, Sec. 5.1 (delta = 0.01); DELLA A.3 uses 0.2,
TRACE 0.1.
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

THRESHOLDS = (0.01, 0.1, 0.2)


def active_units(stats: LikelihoodFile, threshold: float) -> np.ndarray:
    """Active dims of each group, [G]; a group that fewer than two examples use has none.

    nan where a variance of the group is not defined: the model diverged.
    """
    counts = np.zeros(stats.groups)
    for group in range(stats.groups):
        means = stats.mean[stats.used > group, group].astype(np.float64)
        if len(means) > 1:
            with np.errstate(invalid="ignore", over="ignore"):
                variances = means.var(axis=0, ddof=1) - stats.noise[group]
            counts[group] = np.nan if np.isnan(variances).any() else (variances > threshold).sum()
    return counts


def means(stats: LikelihoodFile) -> dict[str, object]:
    """Which means are counted, as parts of a signature."""
    return {"draws": stats.draws, "noise": "subtracted", **({"means": "q-p"} if stats.conditional else {})}


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    Bootstrap.of("au", options)  # checked, though a count has no interval
    require_examples("au", stats)
    if not stats.groups:
        return {}
    n, groups, dims = stats.mean.shape
    return {
        f"au_{threshold:g}": Value(
            float(active_units(stats, threshold).sum()), None, n,
            signature("au", METRIC.version, protocol="exact", groups="sum", delta=threshold, **means(stats), N=n),
            "none",
            f"of {groups * dims} dims; no interval: a count of thresholded variances has no useful bootstrap",
        )
        for threshold in THRESHOLDS
    }  # fmt: skip


METRIC = Metric(
    name="au",
    family="likelihood",
    needs="likelihood",
    quantities=tuple(
        Quantity(f"au_{t:g}", f"AU {t:g}", "none", f"#{{(g,d): Var_i E[z_gd|x_i] > {t:g}}}", "dims",
                 (0, inf), "Burda et al. 2016 Sec. 5.1; DELLA A.3")
        for t in THRESHOLDS
    ),
    compute=_compute,
    signatures=(
        "au|protocol:exact|groups:sum|delta:<delta>|draws:<draws>|noise:subtracted|N:<examples>|v:1",
        "au|protocol:exact|groups:sum|delta:<delta>|draws:<draws>|noise:subtracted|means:q-p|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
