"""BLEU of conditional generation: sacrebleu's corpus BLEU of generated texts, each against its one reference.

    BLEU-n = 100 BP exp( (1/n) sum_{k=1..n} log p_k ),    p_k = C_k / T_k
    C_k = sum over pairs of clipped k-gram matches,  T_k = sum of k-grams of the generated texts,
    BP  = min(1, exp(1 - R / S)),  S and R: tokens of all generated texts, of all references

The j-th order without a match counts p_k = 2^-j / T_k (smoothing "exp"); the value is 0 where nothing matches or some
order has no k-gram at all. ``sacrebleu`` is sacrebleu's default (n = 4) under sacrebleu's own signature, ``cbleu1`` to
``cbleu4`` are the same with ``max_ngram_order`` n. Papers that print a conditional "BLEU" close to their ROUGE-1 most
likely mean BLEU-1.

Tokens are sacrebleu's (13a, cased); counting is ours. The sums over pairs are all that BLEU needs, so its interval, a
bootstrap over pairs, scores no text again: Koehn (2004), "Statistical significance tests for machine translation".

Papineni et al. (2002), "BLEU"; Post (2018), "A call for clarity in reporting BLEU scores"; smoothing: Chen & Cherry
(2014), method 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap, Examples
from bench.metrics.pair_ngrams import lengths, matches, token_ids, windows

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

Floats = NDArray[np.float64]

MAX_ORDER = 4
ORDERS = range(1, MAX_ORDER + 1)
COLUMNS = 2 + 2 * MAX_ORDER  # S, R, C_1..C_4, T_1..T_4


def pair_statistics(generated: Sequence[str], others: Sequence[str]) -> Floats:
    """S, R, C_1..C_4 and T_1..T_4 of each pair: [N, 10]; their sums are all that corpus BLEU needs.

    >>> pair_statistics(["The cat sat."], ["The cat is here."])
    array([[4., 5., 3., 1., 0., 0., 4., 3., 2., 1.]])
    """
    xs, ys = token_ids(tokenise, generated, others)
    sizes = lengths(xs)
    return np.column_stack([sizes, lengths(ys), matches(xs, ys, MAX_ORDER), windows(sizes, MAX_ORDER)])


def tokenise(text: str) -> list[str]:
    """Tokens as sacrebleu's default makes them: 13a, case kept.

    >>> tokenise("Don't pay 3.50, Bob.")
    ["Don't", 'pay', '3.50', ',', 'Bob', '.']
    """
    return sacrebleu_metric().tokenizer(text.rstrip()).split()


def bleu_of_sums(sums: Floats, order: int = MAX_ORDER) -> Floats:
    """BLEU-``order`` in percent [...] from sums [..., 10] of :func:`pair_statistics` over pairs.

    >>> bleu_of_sums(np.array([4.0, 5, 3, 1, 0, 0, 4, 3, 2, 1])).round(2)  # p = 3/4, 1/3, 1/4, 1/4
    np.float64(27.53)
    """
    generated, others = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + order], sums[..., 2 + MAX_ORDER : 2 + MAX_ORDER + order]
    defined = (matched > 0).any(axis=-1) & (total > 0).all(axis=-1)
    smoothed = np.where(matched > 0, matched, 0.5 ** np.cumsum(matched == 0, axis=-1))
    log_precision = np.log(smoothed / np.where(total > 0, total, 1)).mean(axis=-1)
    log_brevity = np.minimum(0, 1 - others / np.where(generated > 0, generated, 1))
    return np.where(defined, 100 * np.exp(log_brevity + log_precision), 0.0)[()]


def bleu_of_means(means: Floats, n: int, order: int = MAX_ORDER) -> Floats:
    """The same from means over ``n`` pairs: smoothing needs the counts themselves, not their ratios alone."""
    return bleu_of_sums(n * means, order)


def peer_signature() -> str:
    """sacrebleu's own signature, in a form that fits into one part of ours: ``"nrefs=1,case=mixed,..."``."""
    return str(sacrebleu_metric().get_signature()).replace(":", "=").replace("|", ",")


@cache
def sacrebleu_metric() -> BLEU:
    """sacrebleu's BLEU with its defaults: one object, so that what it tokenised is cached. Imported when asked for."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(references=[[""]])  # one reference a text, which its signature says


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("corpus_bleu", options)
    inputs.require_pairs("corpus_bleu")
    rows = pair_statistics(inputs.generated, inputs.references)
    n, orders = len(rows), [MAX_ORDER, *ORDERS]
    measured = bootstrap.measure(
        np.array([bleu_of_sums(rows.sum(axis=0), order) for order in orders]),
        lambda: [Examples(rows, partial(bleu_of_means, n=n, order=order)) for order in orders],
        "pairs",
    )
    signed = partial(signature, "corpus_bleu", METRIC.version)
    signatures = [signed(sacrebleu=peer_signature()), *(signed(n=k, sacrebleu=peer_signature()) for k in ORDERS)]
    return {
        quantity.key: value.signed(n, text)
        for quantity, value, text in zip(METRIC.quantities, measured, signatures, strict=True)
    }


def _quantity(key: str, label: str, n: int, source: str) -> Quantity:
    formula = f"100 BP exp(1/{n} sum_k=1..{n} log p_k), counts summed over pairs, smoothing exp"
    return Quantity(key, label, "up", formula, "percent", (0.0, 100.0), source)


METRIC = Metric(
    name="corpus_bleu",
    family="pairs",
    needs="pairs",
    quantities=(
        _quantity("sacrebleu", "sacreBLEU", MAX_ORDER, "Papineni et al. 2002; Post 2018, sacrebleu's default"),
        *(
            _quantity(f"cbleu{n}", f"BLEU-{n} (corpus)", n, f"Papineni et al. 2002; sacrebleu, max_ngram_order {n}")
            for n in ORDERS
        ),
    ),
    compute=_compute,
    signatures=(
        "corpus_bleu|sacrebleu:<its signature>|v:1",
        "corpus_bleu|n:<1-4>|sacrebleu:<its signature>|v:1",
    ),
    defaults=DEFAULTS,
)
