"""Importance-weighted NLL and perplexity of the exact protocol, its curve over K, and its effective sample size.

    log w_k = log p(x|z_k) + sum_g [log p(z_g) - log q(z_g)],  NLL_K = -(logsumexp_k log w_k - log K)

NLL_K is an upper bound of -log p(x) for every K and decreases with K to it: a finite K is a bound, not the value.
A plain language model has one weight, which is exact, so its NLL_K is -log p(x) for every K; so has a model whose z can
all be listed. A posterior of one point has one weight too, which is its ELBO: more would be the same.
Burda et al. 2016, Eq. 8; DELLA A.3, Eq. 13.

A point of the curve averages over disjoint blocks of K weights, so its signature holds K and of how many weights.
Whose tokens PPL counts is not in its signature: a record holds the checksum of its data, the tokenizer's included, and
tables refuse to mix data. Values of a model that diverged are infinite, or nan where they are not defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.likelihood_file import Floats, LikelihoodFile, disjoint_blocks, importance_weighted_nll
from bench.metrics.likelihood_values import measured_perplexity, require_examples

CURVE = (1, 10, 100, 1000)


def effective_sample_size(log_w: Floats, k: int | None = None) -> Floats:
    """(sum_k w_k)^2 / sum_k w_k^2 of each example, [M], between 1 and K; of fewer weights as the NLL, by blocks.

    A block whose weights are all 0 counts as 0: no sample carries anything.
    """
    blocks = disjoint_blocks(log_w, k)
    with np.errstate(invalid="ignore"):  # -inf - -inf, which is replaced
        effective = np.exp(2 * logsumexp(blocks, axis=2) - logsumexp(2 * blocks, axis=2))
    effective = np.clip(effective, 1, blocks.shape[2])  # rounding grows with -log w
    return np.where(np.isneginf(blocks.max(axis=2)), 0.0, effective).mean(axis=1)


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("iw", options)
    require_examples("iw", stats)
    m, nll = stats.importance_examples, stats.nll
    tokens: Floats = stats.predicted[:m].astype(np.float64)
    words: Floats = stats.words[:m].astype(np.float64) + 1  # and EOS
    note = stats.counted(stats.samples)
    if stats.log_w.shape[1] < stats.samples and not stats.exact:
        note = f"a bound: {note}"
    values = {
        "ppl": measured_perplexity(nll, tokens, bootstrap).signed(
            m, _signature("ppl", stats, stats.samples, per="token", tokens="x+eos"), note
        ),
        "ppl_word": measured_perplexity(nll, words, bootstrap).signed(
            m, _signature("ppl", stats, stats.samples, per="word", tokens="words_read+eos"), note
        ),
        "nll": _mean("nll", nll, stats, bootstrap, note, stats.samples),
    }
    if stats.groups and stats.log_w.shape[1] == stats.samples:  # of a posterior of one point there is one weight
        values["ess"] = _mean("ess", effective_sample_size(stats.log_w), stats, bootstrap, note, stats.samples)
        for k in CURVE:
            if k <= stats.log_w.shape[1]:
                at_k = importance_weighted_nll(stats.log_w, k)
                values[f"nll@{k}"] = _mean("nll", at_k, stats, bootstrap, f"K = {k}", k)
            if 1 < k <= stats.log_w.shape[1]:
                at_k = effective_sample_size(stats.log_w, k)
                values[f"ess@{k}"] = _mean("ess", at_k, stats, bootstrap, f"K = {k}", k)
    return values


def _mean(key: str, column: Floats, stats: LikelihoodFile, bootstrap: Bootstrap, note: str, k: int) -> Value:
    (measured,) = bootstrap.means(column[:, None])
    weights = stats.samples // k * k  # a rest that fills no block is not looked at
    return measured.signed(len(column), _signature(key, stats, k, of=weights), note)


def _signature(key: str, stats: LikelihoodFile, k: int, **parts: object) -> str:
    # K is the suite's even where there is no latent variable: an exact NLL is its own bound at every K
    return signature(key, METRIC.version, protocol="exact", groups="sum", K=k, **parts, N=stats.importance_examples)


METRIC = Metric(
    name="iw",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("ppl", "PPL", "down", "exp(sum_i NLL_K(x_i) / sum_i (|x_i| + 1))", "1/token", (1, inf),
                 "DELLA Eq. 13; Burda et al. 2016 Eq. 8"),
        Quantity("ppl_word", "PPL/word", "down", "exp(sum_i NLL_K(x_i) / sum_i (words_i + 1))", "1/word", (1, inf),
                 "as ppl, over the words that are read and EOS: comparable across tokenisers"),
        Quantity("nll", "NLL", "down", "mean_i NLL_K(x_i)", "nats/example", (0, inf), "Burda et al. 2016 Eq. 8"),
        Quantity("ess", "ESS", "none", "mean_i (sum_k w_k)^2 / sum_k w_k^2", "samples", (0, inf),
                 "Kong 1992, effective sample size"),
        *(Quantity(f"nll@{k}", f"NLL K={k}", "down", "NLL_K over disjoint blocks of K weights", "nats/example",
                   (0, inf), "Burda et al. 2016 Eq. 8") for k in CURVE),
        *(Quantity(f"ess@{k}", f"ESS K={k}", "none", "ESS over disjoint blocks of K weights", "samples", (0, k),
                   "Kong 1992, effective sample size") for k in CURVE if k > 1),
    ),
    compute=_compute,
    signatures=(
        "<nll or ess>|protocol:exact|groups:sum|K:<samples a block>|of:<samples in all blocks>|N:<examples>|v:1",
        "ppl|protocol:exact|groups:sum|K:<samples>|per:token|tokens:x+eos|N:<examples>|v:1",
        "ppl|protocol:exact|groups:sum|K:<samples>|per:word|tokens:words_read+eos|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
