"""MAUVE: the area under the divergence curve of generated and reference texts, in encoder feature space.

    r_w = w P + (1 - w) Q,    curve: { (exp(-c KL(Q || r_w)), exp(-c KL(P || r_w))) : 0 < w < 1 }

with P and Q the histograms of generated and reference features over the clusters of a joint k-means (after L2
normalisation and a PCA that keeps 90 % of the variance), c the scaling factor. 1: the same distribution; 0: disjoint.
``mauve_star`` adds 1/2 to every histogram count (Krichevsky-Trofimov), which lessens its dependence on N.

Computed by mauve-text's ``compute_mauve`` from features of :mod:`bench.metrics.features`. The value moves with the
encoder, N, M, the number of clusters (``buckets: auto`` is mauve-text's rule, max(2, round(min(N, M) / 10))), c and the
seed: all are in the signature, and none of its values means anything without the same number on human text beside it.
k-means runs in one thread, so that a seed determines the value of texts in their order: it starts from some of them,
and the same texts in another order move the value as another seed does.

No interval: MAUVE is no mean over examples, and a resample with duplicates fills clusters that the sample does not: its
values are far below the estimate. Leaving out one example at a time moves k-means, not just that example's share.

Pillutla et al. (2021), "MAUVE", section 2; smoothing: Pillutla et al. (2023), JMLR 24.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.metrics.base import Metric, Quantity, TextInputs, Undefined, Value, signature
from bench.metrics.bootstrap import resolve_options, whole_number
from bench.metrics.features import POOLINGS, Encoder, Features, features
from bench.metrics.pretrained import MACHINE, Machine, find

DEFAULTS: Mapping[str, Any] = {
    "model": "minilm",
    "pooling": "mean",
    "max_length": 256,
    "batch_size": 64,
    **MACHINE,
    "seed": 25,
    "buckets": "auto",
    "scaling": 5.0,
}
LARGEST_SEED = 2**31 - 100  # mauve-text adds a few to it, and faiss takes a C int


def mauve(generated: Features, references: Features, buckets: int, scaling: float, seed: int) -> tuple[float, float]:
    """(MAUVE, MAUVE*) in 0..1 of features [N, d] and [M, d]; N + M >= buckets >= 2.

    Histograms that are equal to the last digit give 1: of them mauve-text makes 0.75, losing a corner of the curve.
    """
    from mauve import compute_mauve
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), _quiet():
        result = compute_mauve(
            p_features=generated,
            q_features=references,
            num_buckets=buckets,
            mauve_scaling_factor=scaling,
            seed=seed,
        )
    equal = np.array_equal(result.p_hist, result.q_hist)
    smoothed_too = equal and len(generated) == len(references)
    both = 1.0 if equal else result.mauve, 1.0 if smoothed_too else result.mauve_star
    return min(1.0, float(both[0])), min(1.0, float(both[1]))  # above 1 only by rounding


def auto_buckets(n: int, m: int) -> int:
    """mauve-text's rule for the number of clusters, for N generated and M reference texts.

    >>> auto_buckets(3000, 2500), auto_buckets(7, 3)
    (250, 2)
    """
    return max(2, round(min(n, m) / 10))


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what faiss's C++ writes to file descriptors 1 and 2: it wants more points a cluster than MAUVE gives."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(fd, os.dup(fd)) for fd in (1, 2)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for fd, _ in kept:
            os.dup2(null, fd)
        yield
    finally:
        for fd, copy in kept:
            os.dup2(copy, fd)
            os.close(copy)
        os.close(null)


def _compute(inputs: TextInputs, options: Mapping[str, Any]) -> dict[str, Value]:
    checked = resolve_options("mauve", options, DEFAULTS)
    encoder = _encoder(checked)
    seed = whole_number("mauve", checked, "seed", 0)
    if seed > LARGEST_SEED:
        raise BenchError(f"mauve: option 'seed' must be at most {LARGEST_SEED}, not {seed}")
    scaling = _scaling(checked["scaling"])
    inputs.require("mauve", references=1)
    n, m = len(inputs.generated), len(inputs.references)
    buckets = auto_buckets(n, m) if checked["buckets"] == "auto" else whole_number("mauve", checked, "buckets", 2)
    if buckets > n + m:
        raise Undefined(f"mauve: option 'buckets' is {buckets}, more than the {n + m} texts there are")

    ours = features(inputs.generated, encoder)
    theirs = features(inputs.references, encoder, inputs.cache)
    parts: dict[str, object] = {
        "model": encoder.checkpoint.label,
        "pool": encoder.pooling,
        "layer": "last",
        "len": encoder.max_length,
        "batch": encoder.batch_size,
        "N": n,
        "refs": m,
        "buckets": buckets,
        "scale": scaling,
        "seed": seed,
        "mauve-text": metadata.version("mauve-text"),
    }
    note = "no interval: neither a bootstrap nor a jackknife by example is valid for MAUVE"
    return {
        key: Value(value, None, n, signature("mauve", METRIC.version, form=form, **parts), "none", note)
        for (key, form), value in zip(_FORMS.items(), mauve(ours, theirs, buckets, scaling, seed), strict=True)
    }


def _encoder(checked: Mapping[str, Any]) -> Encoder:
    pooling = checked["pooling"]
    if pooling not in POOLINGS:
        raise BenchError(f"mauve: option 'pooling' must be one of {', '.join(POOLINGS)}, not {pooling!r}")
    numbers = {key: whole_number("mauve", checked, key, 1) for key in ("max_length", "batch_size")}
    machine = Machine.of("mauve", checked)
    return Encoder(find(checked["model"], "encoder", "mauve"), pooling, **numbers, machine=machine)


def _scaling(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise BenchError(f"mauve: option 'scaling' must be a positive number, not {value!r}")
    return float(value)


_FORMS = {"mauve": "plain", "mauve_star": "smoothed"}  # quantity key -> as named in signatures

METRIC = Metric(
    name="mauve",
    family="mauve",
    needs="references",
    quantities=(
        Quantity(
            key="mauve",
            label="MAUVE",
            direction="up",
            formula="area under { (exp(-c KL(Q||r_w)), exp(-c KL(P||r_w))) }, r_w = w P + (1-w) Q",
            unit="1",
            range=(0.0, 1.0),
            source="Pillutla et al. 2021, section 2; mauve-text",
        ),
        Quantity(
            key="mauve_star",
            label="MAUVE*",
            direction="up",
            formula="MAUVE of histograms with 1/2 added to every count",
            unit="1",
            range=(0.0, 1.0),
            source="Pillutla et al. 2023, JMLR 24; mauve-text",
        ),
    ),
    compute=_compute,
    signatures=(
        "mauve|form:<plain or smoothed>|model:<name-hash>|pool:<pooling>|layer:last|len:<max_length>|batch:<size>"
        "|N:<texts>|refs:<references>|buckets:<buckets>|scale:<scaling>|seed:<seed>|mauve-text:<version>|v:1",
    ),
    defaults=DEFAULTS,
)
