"""CND (reconstructed): a divergence between the n-gram distributions of the generated and the reference texts.

    P(w), G(w): relative frequency of n-gram w over all reference / all generated texts
    CR   = sum_w P(w) G(w)                                   coverage
    NRR  = - sum_w G(w)^2                                    negative repetition
    raw  = sum_w P(w)^2 - 2 CR - NRR = sum_w (P(w) - G(w))^2
    norm = raw / sum_w P(w)^2
    logcos = - log( CR^2 / (sum P^2 sum G^2) ) = - log cos^2(P, G)       (Cauchy-Schwarz divergence, nats)

DELLA and TRACE print a "CND" of Li et al. (2020) without a formula, and its text is not available to us: everything
here is our reconstruction, and is labelled so wherever it is shown. The column ``cnd`` is **logcos with n = 3**:

* the printed values lie in 0.13-1.95. On PTB, SNLI and Yahoo ``raw`` is 1e-5 to 1e-3; ``norm`` and ``logcos`` stay
  below 0.02 with n = 1 and 0.1 with n = 2 even for samples of a bigram model; with n = 4 human text is at 0.9-2.5;
* with n = 3 (test set against the validation set, then against samples of a bigram model) ``logcos`` is 0.56 and 1.55
  on PTB, 0.64 and 0.93 on SNLI, 0.35 and 1.17 on Yahoo: the printed range, with human text better than the model;
* ``norm`` cannot exceed 1 + sum G^2 / sum P^2, so that among sets which share little it ranks by how peaked G is, not
  by what is shared; ``logcos`` has no such ceiling and is symmetric.

An order of which the references hold no n-gram has no value. All forms are estimated with a bias that shrinks with N
and M: both are in the signature. Where the two sets share no n-gram, logcos is infinite; so that it can be averaged,
stored and bounded, CR counts as half of one shared occurrence there, and the value's note says so. Generated texts
all shorter than n have G = 0 (and sum G^2 = 1 within logcos).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.base import Metric, Quantity, TextInputs, Undefined, Value, signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.ngrams import NgramIndex, TextCounts
from bench.metrics.tokenise import TOKENISATION

Floats = NDArray[np.float64]

ORDERS = range(1, 5)
COLUMN_ORDER = 3  # of the quantity "cnd"
HALF_AN_OCCURRENCE = 0.5
NOTHING_SHARED = "no n-gram is shared (infinite): half an occurrence assumed"


@dataclass(frozen=True)
class Cnd:
    """The five forms at one order, all of one shape."""

    cr: Floats
    nrr: Floats
    raw: Floats
    norm: Floats
    logcos: Floats


def cnd(index: NgramIndex, n: int) -> Cnd:
    """CND (reconstructed) at order n, each form a scalar [].

    >>> value = cnd(NgramIndex(["a a", "b c"], ["a b"]), 1)  # G = 1/2, 1/4, 1/4; P = 1/2, 1/2
    >>> [round(float(x), 3) for x in (value.cr, value.nrr, value.raw, value.norm, value.logcos)]
    [0.375, -0.375, 0.125, 0.25, 0.288]
    """
    order = index.order(n)
    ours, theirs = order.generated, order.references
    return _forms(_inner(ours.corpus, theirs.corpus), _sum_of_squares(ours), ours.total, theirs)


def cnd_without_each(index: NgramIndex, n: int) -> Cnd:
    """The same without each generated text in turn, each form [N]."""
    order = index.order(n)
    ours, theirs = order.generated, order.references
    corpus = ours.per_row(ours.corpus)
    cross = _inner(ours.corpus, theirs.corpus) - ours.per_text(ours.count * ours.per_row(theirs.corpus))
    squares = _sum_of_squares(ours) - ours.per_text(corpus**2 - (corpus - ours.count) ** 2) - ours.singletons
    return _forms(cross, squares, ours.total - ours.windows, theirs)


def _inner(a: Floats, b: Floats) -> float:
    return float((a * b).sum())  # whole numbers, so exact; a @ b would wait for BLAS's threads


def _sum_of_squares(counts: TextCounts) -> float:
    return _inner(counts.corpus, counts.corpus) + float(counts.singletons.sum())


def _forms(
    cross: float | Floats, squares: float | Floats, total: int | NDArray[np.int64], references: TextCounts
) -> Cnd:
    """From sum_w c(w) d(w), sum_w c(w)^2 and sum_w c(w), c and d being the counts of the two sets."""
    total = np.maximum(1, total)
    cr = np.asarray(cross / (total * float(references.total)))
    gg = np.asarray(squares / total**2.0)
    pp = _sum_of_squares(references) / references.total**2
    log_cr = np.log(np.maximum(cross, HALF_AN_OCCURRENCE) / (total * float(references.total)))
    log_gg = np.log(np.where(gg > 0, gg, 1.0))
    # Both divergences are >= 0 but for rounding.
    raw = np.maximum(0.0, pp - 2 * cr + gg)
    logcos = np.maximum(0.0, np.log(pp) + log_gg - 2 * log_cr)
    return Cnd(cr, -gg, raw, raw / pp, logcos)


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    bootstrap = Bootstrap.of("cnd", options)
    inputs.require("cnd", references=1)
    n_texts, m_texts = len(inputs.generated), len(inputs.references)
    orders = [n for n in ORDERS if inputs.index.order(n).references.total]
    if not orders:
        raise Undefined("cnd: no reference text has a token, so there is no n-gram to compare with")
    columns = [(n, form) for n in orders for form in _FORMULAS]
    estimates = np.concatenate([astuple(cnd(inputs.index, n)) for n in orders])
    made = bootstrap.whole_set(
        estimates,
        lambda: np.concatenate([astuple(cnd_without_each(inputs.index, n)) for n in orders]).T,
        bounds=tuple(np.array([_RANGES[form] for _, form in columns]).T),
    )
    values: dict[str, Value] = {}
    for (n, form), measured in zip(columns, made, strict=True):
        signed = signature("cnd", METRIC.version, form=form, n=n, N=n_texts, refs=m_texts, tok=TOKENISATION)
        if form == "logcos" and values[f"cnd_cr{n}"].value == 0:
            # what an n-gram shared by chance would change is not seen in texts that share none
            nothing = replace(measured, ci95=None, interval="none: no n-gram is shared", examples=None)
            values[f"cnd_{form}{n}"] = nothing.signed(n_texts, signed, NOTHING_SHARED)
        else:
            values[f"cnd_{form}{n}"] = measured.signed(n_texts, signed)
    return {**({"cnd": values[f"cnd_logcos{COLUMN_ORDER}"]} if COLUMN_ORDER in orders else {}), **values}


_FORMULAS = {  # in the order of Cnd's fields
    "cr": "sum_w P(w) G(w)",
    "nrr": "- sum_w G(w)^2",
    "raw": "sum_w (P(w) - G(w))^2",
    "norm": "sum_w (P(w) - G(w))^2 / sum_w P(w)^2",
    "logcos": "- log( (sum_w P G)^2 / (sum_w P^2 sum_w G^2) )",
}
_INFINITY = float("inf")
_RANGES = {
    "cr": (0.0, 1.0),
    "nrr": (-1.0, 0.0),
    "raw": (0.0, 2.0),
    "norm": (0.0, _INFINITY),
    "logcos": (0.0, _INFINITY),
}


def _quantity(key: str, label: str, form: str, n: int, detail: bool = True) -> Quantity:
    return Quantity(
        key=key,
        label=label,
        direction="up" if form in ("cr", "nrr") else "down",
        formula=f"{_FORMULAS[form]} over {n}-grams; P: references, G: generated",
        unit="nats" if form == "logcos" else "1",
        range=_RANGES[form],
        source="our reconstruction of Li et al. 2020 (CR, NRR); text not available",
        detail=detail,
    )


METRIC = Metric(
    name="cnd",
    family="ngrams",
    needs="references",
    quantities=(
        _quantity("cnd", "CND (reconstructed)", "logcos", COLUMN_ORDER, detail=False),
        *(
            _quantity(f"cnd_{form}{n}", f"CND (reconstructed) {form}, n={n}", form, n)
            for n in ORDERS
            for form in _FORMULAS
        ),
    ),
    compute=_compute,
    signatures=("cnd|form:<form>|n:<1-4>|N:<texts>|refs:<references>|tok:regex|v:1",),
    defaults=DEFAULTS,
)
