"""Intervals and p-values agree with scipy's, exact and resampled, t-tests, and sacrebleu's; nulls are uniform."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats

from bench.errors import BenchError
from bench.metrics import bootstrap, corpus_bleu, distinct, significance
from bench.metrics.base import TextInputs, Undefined
from bench.metrics.bootstrap import Bootstrap, Examples
from bench.metrics.significance import (
    approximate_randomisation,
    holm,
    independent_bootstrap,
    paired_bootstrap,
    permutation,
)

P_VALUES: dict[str, Callable[..., float]] = {
    "paired_bootstrap": lambda *args: paired_bootstrap(*args).p,
    "independent_bootstrap": lambda *args: independent_bootstrap(*args).p,
    "approximate_randomisation": approximate_randomisation,
    "permutation": permutation,
}
p_values = pytest.mark.parametrize("p_value", P_VALUES.values(), ids=P_VALUES)


def mean_of(values: np.ndarray) -> Examples:
    return Examples.of_means(np.asarray(values, dtype=float)[:, None])[0]


def ratio(means: np.ndarray) -> np.ndarray:
    return means[..., 0] / means[..., 1]


def ratio_examples(seed: int, n: int) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(np.stack([rng.exponential(size=n), rng.uniform(1, 2, n)], axis=1), ratio)


def mean_examples(seed: int, n: int) -> Examples:
    return mean_of(np.random.default_rng(seed).exponential(size=n) + 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["samples", "independent"])
@pytest.mark.parametrize("make", [ratio_examples, mean_examples])
def test_randomisation_is_near_scipys_exact_enumeration(
    make: Callable[[int, int], Examples], kind: str, seed: int
) -> None:
    """Of a ratio of means, which is not linear, and of a mean, which knows its N; scipy permutes row numbers."""
    a, b = make(seed, 8), make(seed + 100, 8 if kind == "samples" else 5)
    rows = np.concatenate([a.rows, b.rows])

    def apart(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        assert axis == -1
        return np.abs(a.statistic(rows[x.astype(int)].mean(axis=-2)) - b.statistic(rows[y.astype(int)].mean(axis=-2)))

    numbers = np.split(np.arange(len(rows)), [len(a.rows)])
    exact = stats.permutation_test(
        numbers, apart, permutation_type=kind, vectorized=True, n_resamples=np.inf, alternative="greater"
    )
    ours = (approximate_randomisation if kind == "samples" else permutation)(a, b, 20_000)
    assert ours == pytest.approx(exact.pvalue, abs=5 * (exact.pvalue * (1 - exact.pvalue) / 20_000) ** 0.5 + 1e-4)


def test_ties_count_whatever_the_order_of_summation() -> None:
    """Of 2^4 exchanges only two are as extreme: all or none; in sevenths, which floating point cannot hold."""
    a, b = mean_of(np.array([1, 2, 4, 8]) / 7), mean_of(np.zeros(4))
    assert approximate_randomisation(a, b, 20_000) == pytest.approx(2 / 16, abs=0.01)


def test_ties_count_where_large_values_cancel() -> None:
    """Rounding is that of what is summed, not that of a mean near 0: no exchange makes the difference less extreme."""
    large = np.random.default_rng(0).uniform(50, 100, 3)
    a, b = mean_of(np.concatenate([large, -large, [0.001]])), mean_of(np.zeros(7))
    assert approximate_randomisation(a, b) == 1


@pytest.mark.parametrize("paired", [True, False])
def test_the_bootstraps_p_is_that_of_differences_about_their_mean(paired: bool) -> None:
    """By its formula, of a skewed statistic: its resamples lie above the estimate."""
    a, b = (
        Examples(e.rows - 1, lambda means: means[..., 0] ** 2) for e in (mean_examples(3, 30), mean_examples(4, 30))
    )
    b = Examples(b.rows, lambda means: 0 * means[..., 0])
    found = (paired_bootstrap if paired else independent_bootstrap)(a, b, 2000, 7)
    seed = 7 if paired else int(np.random.SeedSequence(7).generate_state(2)[0])
    resampled = a.statistic(Bootstrap(2000, seed).resample(a.rows))
    estimate = float(a.rows.mean() ** 2)
    assert resampled.mean() > estimate + 0.005
    by_formula = (1 + np.sum(np.abs(resampled - resampled.mean()) >= estimate)) / 2001
    about_the_estimate = (1 + np.sum(np.abs(resampled - estimate) >= estimate)) / 2001
    assert found.p == by_formula != about_the_estimate


@pytest.mark.parametrize("paired", [True, False])
def test_bootstrap_intervals_are_scipys(paired: bool) -> None:
    a, b = ratio_examples(1, 120), ratio_examples(2, 120 if paired else 80)
    rows = np.concatenate([a.rows, b.rows])

    def apart(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return ratio(rows[x.astype(int)].mean(axis=-2)) - ratio(rows[y.astype(int)].mean(axis=-2))

    numbers = np.split(np.arange(len(rows)), [len(a.rows)])
    theirs = stats.bootstrap(
        numbers, apart, paired=paired, vectorized=True, method="percentile", n_resamples=9999, rng=0
    ).confidence_interval
    ours = (paired_bootstrap if paired else independent_bootstrap)(a, b, 9999)
    assert ours.value == pytest.approx(ratio(a.rows.mean(axis=0)) - ratio(b.rows.mean(axis=0)))
    assert ours.ci95 == pytest.approx((theirs.low, theirs.high), abs=0.04 * (theirs.high - theirs.low))


@p_values
@pytest.mark.parametrize("shift", [0.03, 0.1, 0.2])
def test_p_is_near_the_t_tests(p_value: Callable[..., float], shift: float) -> None:
    rng = np.random.default_rng(5)
    common = rng.normal(size=500)
    x, y = common + rng.normal(size=500), common + rng.normal(size=500) + shift
    is_paired = p_value in (P_VALUES["paired_bootstrap"], P_VALUES["approximate_randomisation"])
    t_test = stats.ttest_rel if is_paired else stats.ttest_ind
    assert p_value(mean_of(x), mean_of(y), 10_000) == pytest.approx(t_test(x, y).pvalue, abs=0.02)


def bleu_systems() -> tuple[list[list[str]], list[str], list[Examples]]:
    """Two noisy copies of 200 references, the second a little noisier, with their BLEU statistics."""
    rng = np.random.default_rng(3)
    words = [f"w{i}" for i in range(30)]
    references = [" ".join(rng.choice(words, 10)) for _ in range(200)]
    systems = [
        [" ".join(w if rng.random() > noise else rng.choice(words) for w in text.split()) for text in references]
        for noise in (0.30, 0.36)
    ]
    examples = [
        corpus_bleu.METRIC.compute(TextInputs(texts, references), {"resamples": 1})["sacrebleu"].examples
        for texts in systems
    ]
    return systems, references, [e for e in examples if e is not None]


@pytest.mark.parametrize("kind", ["ar", "bs"])
def test_p_is_near_sacrebleus(kind: str) -> None:
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    systems, references, (a, b) = bleu_systems()
    test = PairedTest(list(zip("ab", systems, strict=True)), {"BLEU": BLEU()}, [references], kind, n_samples=3000)
    found = test()[1]["BLEU"]
    ours = paired_bootstrap(a, b, 3000)
    assert ours.value == pytest.approx(found[0].score - found[1].score, abs=1e-10)
    if kind == "ar":
        assert approximate_randomisation(a, b, 3000) == pytest.approx(found[1].p_value, abs=0.025)
    else:  # sacrebleu shifts |d*|, so only the tail on the side of d counts: half of a two-sided p
        assert ours.p / 2 == pytest.approx(found[1].p_value, abs=0.01)
    assert 0.02 < ours.p < 0.2  # or the comparison would show nothing


@p_values
def test_p_is_uniform_under_the_null(p_value: Callable[..., float]) -> None:
    rng = np.random.default_rng(11)
    found = [p_value(*(mean_of(rng.exponential(size=80)) for _ in "ab"), 199, i) for i in range(500)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_permutation_of_pseudo_values_keeps_its_level() -> None:
    """Distinct-2 of samples of one model: a statistic of the whole set, so an approximation."""
    rng = np.random.default_rng(4)

    def sample() -> Examples:
        texts = [" ".join(f"w{i}" for i in rng.zipf(1.6, 8) % 200) for _ in range(100)]
        examples = distinct.METRIC.compute(TextInputs(texts), {"resamples": 1})["dist2"].examples
        assert examples is not None
        return examples

    found = np.array([permutation(sample(), sample(), 199, i) for i in range(200)])
    assert np.mean(found <= 0.05) <= 0.10 and np.mean(found <= 0.5) == pytest.approx(0.5, abs=0.15)


values = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=6, max_size=6)


@p_values
@settings(deadline=None, max_examples=60)
@given(x=values, y=values)
def test_exchanging_the_systems_changes_the_sign_alone(
    p_value: Callable[..., float], x: list[float], y: list[float]
) -> None:
    a, b = mean_of(np.array(x)), mean_of(np.array(y))
    assert p_value(a, b, 99) == p_value(b, a, 99)
    for resampled in (paired_bootstrap, independent_bootstrap):
        one, other = resampled(a, b, 99), resampled(b, a, 99)
        assert one.value == -other.value
        if one.value:
            assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=1e-9)


@pytest.mark.parametrize("sizes", [(6, 6), (7, 4)])
def test_exchanging_systems_of_equal_value_changes_the_sign_alone(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-9, 10, n) for n in sizes)
    a, b = mean_of(np.append(x, -x.sum())), mean_of(np.append(y, -y.sum()))
    assert permutation(a, b, 99) == permutation(b, a, 99) == 1
    one, other = independent_bootstrap(a, b, 99), independent_bootstrap(b, a, 99)
    assert (one.value, one.p) == (other.value, other.p) == (0, 1)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=1e-12)


@p_values
def test_identical_systems(p_value: Callable[..., float]) -> None:
    _, _, (a, _) = bleu_systems()
    for examples in (a, ratio_examples(0, 50), mean_of(np.random.default_rng(0).normal(size=33))):
        assert p_value(examples, examples) == 1
    assert paired_bootstrap(a, a).value == 0 and paired_bootstrap(a, a).ci95 == pytest.approx((0, 0), abs=1e-12)


@p_values
def test_systems_far_apart_get_the_least_p(p_value: Callable[..., float]) -> None:
    x = np.random.default_rng(0).normal(size=100)
    assert p_value(mean_of(x), mean_of(x + 9), 99) == 0.01


@p_values
def test_the_seed_decides_and_blocks_do_not_matter(
    p_value: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    a, b = mean_of(rng.normal(size=40)), mean_of(rng.normal(0.2, 1, size=40))
    first = p_value(a, b, 500, 3)
    assert first == p_value(a, b, 500, 3) and first != p_value(a, b, 500, 4)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 170)
    for kept in (1 << 25, 0):
        monkeypatch.setattr(bootstrap, "_DRAWS_KEPT", kept)
        monkeypatch.setattr(significance, "_DRAWS_KEPT", kept)
        bootstrap._kept.cache_clear()
        significance._kept_deals.cache_clear()
        assert p_value(a, b, 500, 3) == first


def test_pairing_cancels_what_makes_examples_hard() -> None:
    rng = np.random.default_rng(0)
    hard = 10 * rng.normal(size=200)
    a, b = mean_of(hard + rng.normal(size=200)), mean_of(hard + rng.normal(size=200) + 0.5)
    assert approximate_randomisation(a, b) < 0.01 < 0.3 < permutation(a, b)


@p_values
def test_mistakes(p_value: Callable[..., float]) -> None:
    three = mean_of(np.arange(3))
    for resamples in (0, 10.5):
        with pytest.raises(BenchError, match=f"comparison: option 'resamples' must be .* >= 1, not {resamples}"):
            p_value(three, three, resamples)
    with pytest.raises(BenchError, match=r"comparison: option 'seed' must be .* >= 0, not -1"):
        p_value(three, three, 10, -1)
    with pytest.raises(Undefined, match="needs at least 2 examples of each system, got 1 and 1"):
        p_value(mean_of(np.ones(1)), mean_of(np.ones(1)))
    with pytest.raises(Undefined, match="statistics of some examples are not finite"):
        p_value(three, mean_of(np.array([1, 2, np.inf])))
    sometimes = Examples(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), ratio)  # on a resample, or half of the rows
    never = Examples(np.array([[1.0, 0.0]] * 3), ratio)
    with pytest.raises(Undefined, match="no finite value"), np.errstate(divide="ignore", invalid="ignore"):
        p_value(sometimes, never)


@pytest.mark.parametrize("paired", [paired_bootstrap, approximate_randomisation])
def test_pairs_need_as_many_examples(paired: Callable[..., object]) -> None:
    with pytest.raises(BenchError, match="pairs examples, but there are 3 of one system and 4 of the other"):
        paired(mean_of(np.arange(3)), mean_of(np.arange(4)))


@pytest.mark.parametrize("randomised", [approximate_randomisation, permutation])
def test_only_examples_of_one_quantity_are_exchanged(randomised: Callable[..., object]) -> None:
    with pytest.raises(BenchError, match="different quantities"):
        randomised(mean_of(np.arange(3)), Examples(np.ones((3, 2)), ratio))


def test_statistics_may_depend_on_their_number_of_examples() -> None:
    """As corpus BLEU's smoothing does: each side keeps its own."""
    a, b = (Examples(np.ones((n, 1)), partial(lambda means, n: n * means[..., 0], n=n)) for n in (5, 3))
    assert independent_bootstrap(a, b).value == 2 and permutation(a, b) == 1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_its_definition(p: list[float]) -> None:
    """The i-th smallest of m is multiplied by m - i + 1, and none is below a smaller one."""
    ordered = sorted(p)
    scaled = [min(1.0, (len(p) - i) * value) for i, value in enumerate(ordered)]
    assert sorted(holm(p)) == [max(scaled[: i + 1]) for i in range(len(p))]
