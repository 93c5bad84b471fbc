"""``paper:della``: the arithmetic of DELLA's released code, on the same file. No bound where there are several groups.

    KL'    = (1/G) sum_g KL_g
    -ELBO' = rec + KL'
    w'_k   = log p(x|z_k) + (1/G) sum_g [log p(z_g) - log q(z_g|x)]
    PPL'   = exp( sum_i -log (1/30) sum_k exp w'_k / sum_i (|x_i| + 2) )       BOS and EOS are counted
    AU'    = (1/G) sum_g #{ d : Var_i E[z_gd|x_i] > 0.2 }                      (A.3)

With one group (embed, memory, softmax) the averages change nothing, which is why the printed rows favour the one method
that has many. No MI is given: the released code holds only its first term, log q(z|x) (averaged over layers, 30 draws),
and no log q(z); and the printed 10.78 and 12.31 are above log 10,000 = 9.21, the most that Eq. 14 estimated on these
test sets can reach, so what was computed cannot be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from bench.metrics.base import Metric, Quantity, Value
from bench.metrics.bootstrap import DEFAULTS
from bench.metrics.likelihood_file import LikelihoodFile
from bench.metrics.paper import Paper

SAMPLES = 30  # importance samples in the released code
THRESHOLD = 0.2  # of active units


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    tokens = stats.predicted[: stats.importance_examples] + 1  # with BOS
    paper = Paper.of(METRIC, stats, options)
    return paper.averaged(stats, SAMPLES, THRESHOLD, tokens, "bos+x+eos", "exact NLL, BOS counted")


METRIC = Metric(
    name="paper:della",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("paper:della/ppl", "PPL", "down", "exp(sum_i NLL'(x_i) / sum_i (|x_i| + 2)), groups averaged, K = 30",
                 "1/token", (0, inf), "DELLA, released code"),
        Quantity("paper:della/nelbo", "-ELBO", "down", "rec + mean over groups of KL", "nats/example", (0, inf),
                 "DELLA, released code"),
        Quantity("paper:della/kl", "KL", "none", "mean over examples and groups of KL", "nats/example/group",
                 (0, inf), "DELLA, released code"),
        Quantity("paper:della/au_0.2", "AU 0.2", "none", "mean over groups of #{d: Var_i E[z_gd|x_i] > 0.2}", "dims",
                 (0, inf), "DELLA A.3"),
    ),
    compute=_compute,
    signatures=(
        "<nelbo or kl>|protocol:paper:della|groups:mean|N:<examples>|v:1",
        "ppl|protocol:paper:della|groups:mean|K:<at most 30>|tokens:bos+x+eos|N:<examples>|v:1",
        "au|protocol:paper:della|groups:mean|delta:0.2|draws:<draws>|noise:subtracted|N:<examples>|v:1",
        "au|protocol:paper:della|groups:mean|delta:0.2|draws:<draws>|noise:subtracted|means:q-p|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
