"""``paper:davam``: the arithmetic behind DAVAM's Table II, on the same file. No bound where there are several steps.

    Rec = mean_i rec_i,    KL' = mean_i (1/T_i) sum_t KL_it
    PPL' = exp( sum_i (rec_i + (1/T_i) sum_t KL_it) / sum_i (words_i + 1) )

One posterior sample, no importance weights ("we cannot use" them: Sec. IV-A); "we average the KL divergence along the
latent sequence" (Sec. IV-B). The printed rows of DAVAM (K = 128, 512) satisfy it: on PTB, whose test set has 78,669
words in 3,761 lines, and on SNLI, where both imply one sentence length. The rest of Table II does not: DAVAM-q (PTB,
SNLI) and GAVAM (SNLI) fit exp(sum_i rec_i / sum_i (words_i + 1)), their KL left out; and the baselines with a KL are
below the formula, as their public code's importance weights would make them: the exact ``ppl_word`` is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from bench.metrics.base import Metric, Quantity, Value
from bench.metrics.bootstrap import DEFAULTS
from bench.metrics.likelihood_file import LikelihoodFile
from bench.metrics.paper import Paper


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    paper = Paper.of(METRIC, stats, options)
    columns = {"rec": stats.rec, **({"kl": stats.kl_averaged} if stats.groups else {})}
    perplexity = paper.perplexity(stats.rec + stats.kl_averaged, stats.words + 1, tokens="words_read+eos")
    return {**paper.means(columns), **perplexity}


METRIC = Metric(
    name="paper:davam",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("paper:davam/rec", "Rec", "down", "mean_i rec_i", "nats/example", (0, inf), "DAVAM Table II"),
        Quantity("paper:davam/ppl", "PPL", "down", "exp(sum_i (rec_i + mean_t KL_it) / sum_i (words_i + 1))", "1/word",
                 (0, inf), "DAVAM Table II"),
        Quantity("paper:davam/kl", "KL", "none", "mean_i (1/T_i) sum_t KL_it", "nats/example/step", (0, inf),
                 "DAVAM Table II"),
    ),
    compute=_compute,
    signatures=(
        "<rec or kl>|protocol:paper:davam|groups:mean|N:<examples>|v:1",
        "ppl|protocol:paper:davam|groups:mean|tokens:words_read+eos|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
