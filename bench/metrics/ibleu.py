"""iBLEU of paraphrase generation: near the reference, but not by copying the source.

    source_bleu = BLEU(generated, sources)
    iBLEU = alpha BLEU(generated, references) - (1 - alpha) BLEU(generated, sources)

with BLEU sacrebleu's default corpus BLEU (:mod:`bench.metrics.corpus_bleu`), one reference a text, in percent; some
papers average sentence BLEU instead. ``alpha`` is in the signature; 0.9 is the common choice. iBLEU lies in
[-100 (1 - alpha), 100 alpha]; copying every source gives alpha BLEU(sources, references) - 100 (1 - alpha).

Intervals: bootstrap over triples, from the sums that both BLEUs need.

Sun & Zhou (2012), "Joint learning of a dual SMT system for paraphrase generation", section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS as BOOTSTRAP
from bench.metrics.bootstrap import Bootstrap, Examples, resolve_options
from bench.metrics.corpus_bleu import COLUMNS, bleu_of_means, pair_statistics, peer_signature

Floats = NDArray[np.float64]

DEFAULTS: Mapping[str, Any] = {"alpha": 0.9, **BOOTSTRAP}


def ibleu_of_means(means: Floats, n: int, alpha: float) -> Floats:
    """iBLEU [...] from means [..., 20] over ``n`` triples of the statistics against references, then sources.

    >>> texts = ["the cat sat down"], ["a cat sat down"], ["the cat sat down"]
    >>> rows = np.hstack([pair_statistics(texts[0], others) for others in texts[1:]])
    >>> ibleu_of_means(rows.mean(axis=0), n=1, alpha=0.5).round(2)  # BLEU 59.46 and 100
    np.float64(-20.27)
    """
    near, copied = (bleu_of_means(half, n) for half in (means[..., :COLUMNS], means[..., COLUMNS:]))
    return alpha * near - (1 - alpha) * copied


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    checked = resolve_options("ibleu", options, DEFAULTS)
    alpha = _alpha(checked.pop("alpha"))
    bootstrap = Bootstrap.of("ibleu", checked)
    inputs.require_pairs("ibleu", sources=True)
    copied = pair_statistics(inputs.generated, inputs.sources or [])
    both = np.hstack([pair_statistics(inputs.generated, inputs.references), copied])
    n = len(both)
    examples = [
        Examples(both, partial(ibleu_of_means, n=n, alpha=alpha)),
        Examples(copied, partial(bleu_of_means, n=n)),
    ]
    estimates = np.array([e.statistic(e.rows.mean(axis=0)) for e in examples])
    ibleu, source_bleu = bootstrap.measure(estimates, lambda: examples, "triples")
    signed = partial(signature, "ibleu", METRIC.version)
    return {
        "ibleu": ibleu.signed(n, signed(alpha=alpha, sacrebleu=peer_signature())),
        "source_bleu": source_bleu.signed(n, signed(against="sources", sacrebleu=peer_signature())),
    }


def _alpha(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BenchError(f"ibleu: option 'alpha' must be a number in 0..1, not {value!r}")
    return float(value)


METRIC = Metric(
    name="ibleu",
    family="pairs",
    needs="sources",
    quantities=(
        Quantity(
            key="ibleu",
            label="iBLEU",
            direction="up",
            formula="alpha BLEU(generated, references) - (1 - alpha) BLEU(generated, sources)",
            unit="percent",
            range=(-100.0, 100.0),
            source="Sun & Zhou 2012",
        ),
        Quantity(
            key="source_bleu",
            label="BLEU with source",
            direction="none",  # less is less copied, but 0 is unrelated to the source
            formula="BLEU(generated, sources), corpus BLEU-4: how much is copied",
            unit="percent",
            range=(0.0, 100.0),
            source="Sun & Zhou 2012; sacrebleu's default BLEU",
        ),
    ),
    compute=_compute,
    signatures=(
        "ibleu|alpha:<alpha>|sacrebleu:<its signature>|v:1",
        "ibleu|against:sources|sacrebleu:<its signature>|v:1",
    ),
    defaults=DEFAULTS,
)
