"""Intervals cover what they should, do not depend on chance or block sizes, and options are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics import bootstrap as module
from bench.metrics import cnd, distinct, entropy, jaccard, self_bleu
from bench.metrics.base import Metric, TextInputs
from bench.metrics.bootstrap import Bootstrap, Examples, mean_ci, resample_counts, resolve_options, whole_number
from tests.metrics import oracles


def coverage(interval: Callable[[np.random.Generator], tuple[float, float]], truth: float, trials: int) -> float:
    rng = np.random.default_rng(7)
    return float(np.mean([low <= truth <= high for low, high in (interval(rng) for _ in range(trials))]))


def test_mean_ci_covers_a_skewed_mean_about_as_often_as_it_says() -> None:
    covered = coverage(lambda rng: mean_ci(rng.exponential(2.0, 200), resamples=300), 2.0, trials=400)
    assert 0.90 <= covered <= 0.98


def test_mean_ci_has_the_width_of_the_central_limit() -> None:
    values = np.random.default_rng(0).normal(5.0, 3.0, 2000)
    low, high = mean_ci(values, resamples=4000)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 2000**0.5, rel=0.05)


def test_the_same_seed_gives_the_same_interval_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    first = mean_ci(values, seed=3)
    assert first == mean_ci(values, seed=3) != mean_ci(values, seed=4)
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 170)
    module._kept.cache_clear()
    assert mean_ci(values, seed=3) == pytest.approx(first, rel=1e-14)
    monkeypatch.setattr(module, "_DRAWS_KEPT", 0)
    assert mean_ci(values, seed=3) == pytest.approx(first, rel=1e-14)


def test_resample_counts_are_multinomial() -> None:
    counts = np.concatenate(list(resample_counts(30, 4000, seed=0)))
    assert counts.shape == (4000, 30) and (counts.sum(axis=1) == 30).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(counts.var(axis=0), 29 / 30, atol=0.12)


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(0).normal(size=40)
    one, same, shifted = (m.ci95 for m in Bootstrap().means(np.stack([values, values, values + 1], axis=1)))
    assert one == same and one is not None and shifted == pytest.approx((one[0] + 1, one[1] + 1))


def test_where_there_is_no_interval() -> None:
    values = np.array([[1.0, np.inf], [2.0, 3.0]])
    finite, infinite = Bootstrap().means(values)
    assert finite.ci95 is not None and infinite.ci95 is None
    assert infinite.interval == "none: not finite"
    one = Bootstrap().means(values[:1])
    assert [(m.ci95, m.interval) for m in one] == [(None, "none: fewer than 2 examples")] * 2
    (none,) = Bootstrap(resamples=0).means(values[:, :1])
    assert (none.value, none.ci95, none.interval) == (1.5, None, "none: no resamples are asked for")
    assert [m.ci95 for m in Bootstrap(resamples=0).whole_set(values[0], pytest.fail)] == [None, None]


def test_resamples_that_do_not_differ_give_no_interval() -> None:
    """Neither exactly nor but for rounding; of a statistic, whatever its rows do."""
    rng = np.random.default_rng(0)
    told = (None, "none: the resamples do not differ")
    for values in (np.zeros(50), np.full(50, 0.1), 100 - 1e-14 * rng.random(50)):
        (measured,) = Bootstrap().means(values[:, None])
        assert (measured.ci95, measured.interval) == told and measured.value == values.mean()
        assert measured.examples is not None
    without_each = 100 * (1 + 2**-52 * rng.integers(-1, 2, (5000, 1)))
    (measured,) = Bootstrap(50).whole_set(np.array([100.0]), lambda: without_each)
    assert (measured.ci95, measured.interval) == told
    rows = np.repeat(rng.random((30, 1)), 2, axis=1)
    ratio = Examples(rows, lambda means: means[..., 0] / means[..., 1])
    (measured,) = Bootstrap().measure(np.ones(1), lambda: [ratio])
    assert (measured.ci95, measured.interval) == told
    (least,) = Bootstrap().means(np.append(np.zeros(1000), 1e-6)[:, None])
    assert least.ci95 is not None and least.ci95[0] == 0 < least.ci95[1]


def test_new_4_grams_alone_give_no_interval_of_distinct_4() -> None:
    values = distinct.METRIC.compute(TextInputs([f"the {i} cat{' sat' * (i % 3)}" for i in range(40)]), {})
    assert (values["dist4"].value, values["dist4"].ci95) == (100, None)
    assert values["dist4"].interval == "none: the resamples do not differ" and values["dist1"].ci95 is not None


@pytest.mark.parametrize(
    ("scores", "options", "error"),
    [
        ([1.0], {}, "mean_ci: needs at least 2 values, all finite; got 1"),
        ([], {}, "mean_ci: needs at least 2 values, all finite; got 0"),
        ([1.0, np.nan], {}, "mean_ci: needs at least 2 values, all finite; got 2"),
        ([0.1] * 9, {}, "mean_ci: the 9 values do not differ"),
        (3.0, {}, r"mean_ci: needs a list of numbers \[N\], not an array of shape \(\)"),
        ([[1.0, 2.0]], {}, r"mean_ci: needs a list of numbers \[N\], not an array of shape \(1, 2\)"),
        ([1.0, 2.0], {"resamples": 0}, "mean_ci: option 'resamples' must be a whole number >= 1, not 0"),
        ([1.0, 2.0], {"resamples": 10.5}, "mean_ci: option 'resamples' must be a whole number >= 1, not 10.5"),
        ([1.0, 2.0], {"seed": -1}, "mean_ci: option 'seed' must be a whole number >= 0, not -1"),
    ],
)
def test_mistakes_in_mean_ci(scores: Any, options: dict[str, Any], error: str) -> None:
    with pytest.raises(BenchError, match=f"^{error}"):
        mean_ci(scores, **options)


def test_a_mean_taken_as_a_statistic_of_the_whole_set_has_the_same_interval_and_stays_in_bounds() -> None:
    values = np.random.default_rng(0).uniform(size=60)
    without = (values.sum() - values) / 59
    (ours,) = Bootstrap().whole_set(values.mean(keepdims=True), lambda: without[:, None])
    assert ours.value == values.mean() and ours.ci95 == pytest.approx(mean_ci(values), rel=1e-9)
    (bounded,) = Bootstrap().whole_set(values.mean(keepdims=True), lambda: without[:, None], bounds=(0.0, 0.5))
    assert bounded.ci95 == pytest.approx((mean_ci(values)[0], 0.5), rel=1e-9)


def test_the_interval_of_a_ratio_draws_both_parts_of_an_example_together() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(1, 5, (80, 2))
    ratio = Examples(rows, lambda means: means[..., 0] / means[..., 1])
    (interval,) = Bootstrap(300).intervals([ratio])
    counts = np.concatenate(list(resample_counts(80, 300, 0)))
    resampled = [(row[:, None] * rows).sum(axis=0) for row in counts]
    low, high = np.percentile([above / below for above, below in resampled], [2.5, 97.5])
    assert interval == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "keys"),
    [
        (distinct.METRIC, ["dist1", "dist2", "dist3"]),
        (entropy.METRIC, ["ent1", "ent2"]),
        (cnd.METRIC, ["cnd_logcos1", "cnd_norm2", "cnd_cr3"]),
        (jaccard.METRIC, ["js1", "js2", "js_max"]),
        (self_bleu.METRIC, ["self_bleu2", "self_bleu4"]),
    ],
    ids=lambda parameter: getattr(parameter, "name", ""),
)
def test_intervals_of_whole_set_metrics_cover_the_expectation_at_this_n(metric: Metric, keys: list[str]) -> None:
    """Nominal 95 %; 120 samples of 100 texts, the expectation taken as their mean."""
    rng = np.random.default_rng(11)
    references = oracles.zipf_texts(rng, 100)
    samples = [TextInputs(oracles.zipf_texts(rng, 100), references) for _ in range(120)]
    results = [metric.compute(sample, {"resamples": 300}) for sample in samples]
    for key in keys:
        expectation = np.mean([values[key].value for values in results])
        ends = [values[key].ci95 or (np.inf, np.inf) for values in results]
        covered = np.mean([low <= expectation <= high for low, high in ends])
        assert 0.85 <= covered <= 0.995, (key, covered)


def test_how_an_interval_was_made_says_where_it_is_too_short() -> None:
    made = {n: Bootstrap(200, 5).means(np.arange(n, dtype=float)[:, None])[0].interval for n in (5, 19, 20)}
    assert made[20] == "bootstrap of 200 resamples of 20 examples, seed 5"
    for n in (5, 19):
        assert made[n] == (f"bootstrap of 200 resamples of {n} examples, seed 5 (too short: fewer than 20 examples)")


def test_options() -> None:
    assert Bootstrap.of("bleu", {}) == Bootstrap(1000, 0)
    assert Bootstrap.of("bleu", {"resamples": np.int64(200), "seed": 5}) == Bootstrap(200, 5)
    with pytest.raises(BenchError, match="bleu: unknown option 'resample'; did you mean 'resamples'"):
        resolve_options("bleu", {"resample": 1}, module.DEFAULTS)
    for bad in (-1, 1.5, True, "many"):
        with pytest.raises(BenchError, match="bleu: option 'seed' must be a whole number >= 0, not"):
            whole_number("bleu", {"seed": bad}, "seed", 0)
