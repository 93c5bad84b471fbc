"""Importance-weighted NLL and perplexity of the exact protocol, its curve over K, and its effective sample size.

    log w_k = log p(x|z_k) + sum_g [log p(z_g) - log q(z_g)],  NLL_K = -(logsumexp_k log w_k - log K)

NLL_K is an upper bound of -log p(x) for every K and decreases with K to it: a finite K is a bound, not the value.
A plain language model has one weight, which is exact, so its NLL_K is -log p(x) for every K.
Burda et al. 2016, Eq. 8; DELLA A.3, Eq. 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bench.metrics.base import Metric, Quantity, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap, Examples, Measured
from bench.metrics.likelihood_file import Floats, LikelihoodFile, disjoint_blocks, importance_weighted_nll

INFINITY = float("inf")
CURVE = (1, 10, 100, 1000)


def effective_sample_size(log_w: Floats, k: int | None = None) -> Floats:
    """(sum_k w_k)^2 / sum_k w_k^2 of each example, [M], between 1 and K; of fewer weights as the NLL, by blocks."""
    blocks = disjoint_blocks(log_w, k)
    return np.exp(2 * logsumexp(blocks, axis=2) - logsumexp(2 * blocks, axis=2)).mean(axis=1)


def perplexity(nll: Floats, tokens: Floats) -> float:
    """exp(sum NLL / sum tokens): over the corpus, not a mean over examples."""
    return float(np.exp(nll.sum() / tokens.sum()))


def measured_perplexity(nll: Floats, tokens: Floats, bootstrap: Bootstrap) -> Measured:
    """Perplexity with its interval: NLL and token count of an example are drawn together."""
    examples = Examples(np.stack([nll, tokens], axis=1), lambda means: np.exp(means[..., 0] / means[..., 1]))
    (measured,) = bootstrap.measure(np.array([perplexity(nll, tokens)]), lambda: [examples])
    return measured


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("iw", options)
    m, nll = stats.importance_examples, stats.nll
    tokens: Floats = stats.predicted[:m].astype(np.float64)
    words: Floats = stats.words[:m].astype(np.float64) + 1  # and EOS
    note = f"K = {stats.samples}" if stats.groups else "exact: no latent variable"
    values = {
        "ppl": measured_perplexity(nll, tokens, bootstrap).signed(
            m, _signature("ppl", stats, per="token", tokens="x+eos"), note
        ),
        "ppl_word": measured_perplexity(nll, words, bootstrap).signed(
            m, _signature("ppl", stats, per="word", tokens="words+eos"), note
        ),
        "nll": _mean("nll", nll, stats, bootstrap, note),
    }
    if stats.groups:
        values["ess"] = _mean("ess", effective_sample_size(stats.log_w), stats, bootstrap, note)
        for k in CURVE:
            if k <= stats.samples:
                at_k = importance_weighted_nll(stats.log_w, k)
                values[f"nll@{k}"] = _mean("nll", at_k, stats, bootstrap, f"K = {k}", k)
            if 1 < k <= stats.samples:
                at_k = effective_sample_size(stats.log_w, k)
                values[f"ess@{k}"] = _mean("ess", at_k, stats, bootstrap, f"K = {k}", k)
    return values


def _mean(
    key: str, column: Floats, stats: LikelihoodFile, bootstrap: Bootstrap, note: str, k: int | None = None
) -> Value:
    (measured,) = bootstrap.means(column[:, None])
    return measured.signed(len(column), _signature(key, stats, k), note)


def _signature(key: str, stats: LikelihoodFile, k: int | None = None, **parts: str) -> str:
    # K is the suite's even where there is no latent variable: an exact NLL is its own bound at every K
    return signature(
        key, METRIC.version, protocol="exact", groups="sum", K=k or stats.samples, **parts, N=stats.importance_examples
    )


METRIC = Metric(
    name="iw",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("ppl", "PPL", "down", "exp(sum_i NLL_K(x_i) / sum_i (|x_i| + 1))", "1/token", (1, INFINITY),
                 "DELLA Eq. 13; Burda et al. 2016 Eq. 8"),
        Quantity("ppl_word", "PPL/word", "down", "exp(sum_i NLL_K(x_i) / sum_i (words_i + 1))", "1/word", (1, INFINITY),
                 "as ppl, over words and EOS: comparable across tokenisers"),
        Quantity("nll", "NLL", "down", "mean_i NLL_K(x_i)", "nats/example", (0, INFINITY), "Burda et al. 2016 Eq. 8"),
        Quantity("ess", "ESS", "none", "mean_i (sum_k w_k)^2 / sum_k w_k^2", "samples", (1, INFINITY),
                 "Kong 1992, effective sample size"),
        *(Quantity(f"nll@{k}", f"NLL K={k}", "down", "NLL_K over disjoint blocks of K weights", "nats/example",
                   (0, INFINITY), "Burda et al. 2016 Eq. 8") for k in CURVE),
        *(Quantity(f"ess@{k}", f"ESS K={k}", "none", "ESS over disjoint blocks of K weights", "samples", (1, k),
                   "Kong 1992, effective sample size") for k in CURVE if k > 1),
    ),
    compute=_compute,
    signatures=(
        "<nll or ess>|protocol:exact|groups:sum|K:<samples>|N:<examples>|v:1",
        "ppl|protocol:exact|groups:sum|K:<samples>|per:token|tokens:x+eos|N:<examples>|v:1",
        "ppl|protocol:exact|groups:sum|K:<samples>|per:word|tokens:words+eos|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
