"""Intervals and p-values of a difference: against scipy, closed forms and each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.metrics.bootstrap import percentile_interval, resample_counts
from bench.metrics.seeds import Estimate
from bench.report.collect import Measured
from bench.report.compare.difference import RESAMPLES, SEED, combined, paired, welch


def test_pairing_is_sharper_than_what_it_replaces() -> None:
    shared = np.random.default_rng(0).normal(100, 20, 400)
    noise = np.random.default_rng(1).normal(0.5, 1, 400)
    found = paired("nelbo", [{"nelbo": (shared + noise).tolist()}], [{"nelbo": shared.tolist()}])
    assert found is not None
    low, high = stats.t.interval(0.95, 399, loc=noise.mean(), scale=stats.sem(noise))
    assert found.interval == pytest.approx((low, high), abs=0.03)
    alone = 1.96 * shared.std() / 20
    apart = combined(measured(shared.mean() + 0.5, alone), measured(shared.mean(), alone))
    assert apart is not None and apart.interval[1] - apart.interval[0] > 10 * (high - low)
    assert found.p < 0.01 < 0.5 < apart.p


def measured(mean: float, half: float) -> Measured:
    return Measured(Estimate(mean, None, 1), (mean - half, mean + half), 400, "s", "d")


def test_paired_ppl_is_a_ratio_of_sums() -> None:
    tokens = np.full(50, 10.0)
    side = [{"nll": (tokens * 2.0).tolist(), "predicted": tokens.tolist()}]
    other = [{"nll": (tokens * 1.0).tolist(), "predicted": [*tokens.tolist(), 99]}]  # more examples than have an NLL
    found = paired("ppl", side, other)
    assert found is not None and found.interval == pytest.approx((math.exp(2) - math.e,) * 2)


def test_paired_ppl_averages_its_seeds() -> None:
    """Against a loop over the same resamples: the PPL of each seed, then their mean."""
    rng = np.random.default_rng(0)
    n, tokens = 60, rng.integers(5, 30, 60).astype(float)
    nll = {side: [tokens * (rate + rng.normal(0, 0.3, n)) for rate in rates] for side, rates in
           {"new": (2.0, 3.0), "frozen": (2.1, 3.2)}.items()}  # fmt: skip
    new, frozen = ([{"nll": of.tolist(), "predicted": tokens.tolist()} for of in nll[side]] for side in nll)
    found = paired("ppl", new, frozen)
    differences = []
    for counts in np.concatenate(list(resample_counts(n, RESAMPLES, SEED))):
        ppl = {side: np.mean([math.exp(counts @ of / (counts @ tokens)) for of in nll[side]]) for side in nll}
        differences.append(ppl["new"] - ppl["frozen"])
    assert found is not None and found.interval == pytest.approx(percentile_interval(np.array(differences)), rel=1e-6)
    alone = paired("ppl", new[:1], frozen[:1])
    assert alone is not None and alone.interval != pytest.approx(found.interval, rel=0.05)


def test_pairing_needs_the_same_examples() -> None:
    side = [{"nelbo": [1.0, 2.0, 3.0]}]
    assert paired("nelbo", side, [{"nelbo": [1.0, 2.0]}]) is None
    assert paired("nelbo", side, [{}]) is None and paired("bleu4", side, side) is None


def test_what_diverged_is_not_paired() -> None:
    side = [{"nll": [1.0, 2.0, 3.0], "predicted": [1.0, 1.0, 1.0]}]
    for value in (math.inf, 1e4):  # of which exp is not finite
        assert paired("ppl", side, [{"nll": [1.0, 2.0, value], "predicted": [1.0, 1.0, 1.0]}]) is None


def test_paired_p_is_uniform_where_nothing_differs() -> None:
    drawn = [np.random.default_rng(seed).normal(0, 1, (2, 60)) for seed in range(200)]
    p = [paired("nelbo", [{"nelbo": a.tolist()}], [{"nelbo": b.tolist()}]).p for a, b in drawn]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_welch_is_scipys() -> None:
    a, b = [1.0, 2.0, 4.0], [0.5, 0.7]
    found = welch(a, b)
    test = stats.ttest_ind(a, b, equal_var=False)
    interval = test.confidence_interval()
    assert found is not None and found.interval == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(test.pvalue)
    assert welch([1.0], b) is None and welch([1.0, 1.0], [2.0, 2.0]) is None


def test_combined_needs_two_intervals() -> None:
    one = measured(5.0, 3.0)
    found = combined(one, measured(1.0, 4.0))
    assert found is not None and found.interval == pytest.approx((-1.0, 9.0))
    assert combined(one, replace(one, ci95=None)) is None


def test_combined_of_symmetric_intervals_is_a_z_test() -> None:
    found = combined(measured(5.0, 3.0), measured(1.0, 4.0))
    assert found is not None and found.p == pytest.approx(2 * stats.norm.sf(4 / (5 / stats.norm.ppf(0.975))))


halves = st.floats(0.01, 3)


@given(st.floats(-5, 5), *[halves] * 4)
def test_combined_p_and_interval_agree(value: float, a: float, b: float, c: float, d: float) -> None:
    new = replace(measured(value, 1), ci95=(value - a, value + b))
    found = combined(new, replace(measured(0.0, 1), ci95=(-c, d)))
    assert found is not None
    low, high = found.interval
    end = low if value > 0 else high
    if abs(end) > 1e-9:
        assert (found.p < 0.05) == (low > 0 or high < 0)
    mirrored = combined(replace(measured(0.0, 1), ci95=(-c, d)), new)
    assert mirrored is not None and mirrored.p == pytest.approx(found.p)
