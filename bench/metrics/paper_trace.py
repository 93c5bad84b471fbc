"""``paper:trace``: TRACE's arithmetic, inferred: no code was ever released. No bound where there are several segments.

    KL'    = (1/T_i) sum_t KL_t                                                over the T_i segments of x_i
    -ELBO' = rec + KL'
    w'_k   = log p(x|z_k) + (1/T_i) sum_t [log p(z_t) - log q(z_t|x)]
    PPL'   = exp( sum_i -log (1/100) sum_k exp w'_k / sum_i (|x_i| + 1 + separators_i) )
    AU'    = (1/T) sum_t #{ d : Var_i E[z_td|x_i] > 0.1 }                      T the most segments of any text

Inferred from Table 2. Means over segments: DELLA's code, by the same authors, averages over layers, and the KL of 3.5
is far below the 144 nats that the paper's own bound (gamma = 3, l = 32) asks of z_1 alone. Separators: -ELBO / log PPL
of IND, CGD and TRACE is 1.03 to 1.10 times that of No Recurrence, as if they had that many more tokens, and there is
a [SEP], nearly free to predict, every 10. n = 100 samples and delta = 0.1 are stated (A.1, Sec. 5.4). Nothing printed
decides whether BOS is counted: it is not. MI is left out: the printed 43.20 is above log 10,000 = 9.21, the most that
Eq. 16 can give on that test set, so what was computed cannot be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from bench.metrics.base import Metric, Quantity, Value
from bench.metrics.bootstrap import DEFAULTS
from bench.metrics.likelihood_file import LikelihoodFile
from bench.metrics.paper import Paper

SAMPLES = 100  # importance samples, A.1
THRESHOLD = 0.1  # of active units, Sec. 5.4


def _compute(stats: LikelihoodFile, options: Mapping[str, Any]) -> dict[str, Value]:
    m = stats.importance_examples
    tokens = stats.predicted[:m] + stats.separators[:m]
    paper = Paper.of(METRIC, stats, options)
    return paper.averaged(stats, SAMPLES, THRESHOLD, tokens, "x+sep+eos", "exact NLL")


METRIC = Metric(
    name="paper:trace",
    family="likelihood",
    needs="likelihood",
    quantities=(
        Quantity("paper:trace/ppl", "PPL", "down",
                 "exp(sum_i NLL'(x_i) / sum_i (|x_i| + 1 + separators_i)), segments averaged, K = 100", "1/token",
                 (0, inf), "TRACE Table 2, inferred"),
        Quantity("paper:trace/nelbo", "-ELBO", "down", "rec + mean over segments of KL", "nats/example", (0, inf),
                 "TRACE Table 2, inferred"),
        Quantity("paper:trace/kl", "KL", "none", "mean_i (1/T_i) sum_t KL_t", "nats/example/segment", (0, inf),
                 "TRACE Table 2, inferred"),
        Quantity("paper:trace/au_0.1", "AU 0.1", "none", "mean over segments of #{d: Var_i E[z_td|x_i] > 0.1}", "dims",
                 (0, inf), "TRACE Sec. 5.4; the mean is inferred"),
    ),
    compute=_compute,
    signatures=(
        "<nelbo or kl>|protocol:paper:trace|groups:mean|N:<examples>|v:1",
        "ppl|protocol:paper:trace|groups:mean|K:<at most 100>|tokens:x+sep+eos|N:<examples>|v:1",
        "au|protocol:paper:trace|groups:mean|delta:0.1|draws:<draws>|noise:subtracted|N:<examples>|v:1",
        "au|protocol:paper:trace|groups:mean|delta:0.1|draws:<draws>|noise:subtracted|means:q-p|N:<examples>|v:1",
    ),
    defaults=DEFAULTS,
)  # fmt: skip
