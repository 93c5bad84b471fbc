"""JS equals loops over pairs of Python sets, on both ways of taking the products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.metrics import jaccard as module
from bench.metrics.base import TextInputs, Undefined
from bench.metrics.bootstrap import mean_ci
from bench.metrics.ngrams import NgramIndex
from tests.metrics import oracles


@pytest.fixture(params=[module._dense_tiles, module._sparse_rows], ids=["dense", "sparse"])
def one_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Force one of the two ways, with tiles small enough that there are several."""
    monkeypatch.setattr(module, "_TILE", 3)
    monkeypatch.setattr(module, "_dense_tiles", request.param)
    monkeypatch.setattr(module, "_sparse_rows", request.param)
    return request.param


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(oracles.text_sets(2), oracles.text_sets(0), st.integers(1, 4))
@example(["", "", "a"], [], 1)
@example(["a b", "a b"], [], 2)
def test_against_sets(one_way: Callable, generated: list[str], references: list[str], n: int) -> None:
    ours = module.jaccard(NgramIndex(generated, references), n)
    pairs = np.array([[oracles.jaccard(a, b, n) for b in generated] for a in generated])
    np.fill_diagonal(pairs, 0)
    np.testing.assert_allclose(ours.mean, pairs.sum(axis=1) / (len(generated) - 1), rtol=1e-13)
    np.testing.assert_allclose(ours.maximum, pairs.max(axis=1), rtol=1e-15)


def test_sets_too_large_for_narrow_integers(one_way: Callable) -> None:
    """Intersections of 300 n-grams must not wrap at 256."""
    long = " ".join(f"w{i}" for i in range(300))
    ours = module.jaccard(NgramIndex([long, long + " x", "y"], []), 1)
    np.testing.assert_allclose(ours.maximum, [300 / 301, 300 / 301, 0])


def test_values() -> None:
    generated = ["a b c d e", "a b c d f", "b c d e f g", "x", "a b c d e"]
    values = module.METRIC.compute(TextInputs(generated, ["z"]), {})
    assert set(values) == {q.key for q in module.METRIC.quantities}
    by_order = [100 * oracles.mean_jaccard(generated, n) for n in range(1, 5)]
    assert [values[f"js{n}"].value for n in range(1, 5)] == pytest.approx(by_order)
    assert values["js"].value == pytest.approx(np.mean(by_order[1:]))
    maxima = [100 * oracles.max_jaccard(generated, n) for n in range(2, 5)]
    assert values["js_max"].value == pytest.approx(np.mean(maxima))
    assert values["js"].signature == "jaccard|form:mean|n:2-4|tok:regex|v:1"
    assert values["js_max"].signature == "jaccard|form:max|n:2-4|N:5|tok:regex|v:1"


def test_leave_one_out_is_the_mean_over_the_remaining_pairs() -> None:
    generated = ["a b c", "b c d", "a b c d", "e", "c d"]
    means = module.jaccard(NgramIndex(generated, []), 2).mean[:, None]
    rest = [oracles.mean_jaccard(texts, 2) for texts in oracles.without_each(generated)]
    np.testing.assert_allclose(module._without_each(means)[:, 0], rest)


def test_the_interval_is_that_of_twice_the_projection() -> None:
    """A U-statistic of degree two varies as twice its per-text projection does."""
    rng = np.random.default_rng(0)
    generated = [" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(300)]
    low, high = module.METRIC.compute(TextInputs(generated, ["z"]), {})["js1"].ci95 or (0, 0)
    projection = mean_ci(200 * module.jaccard(NgramIndex(generated, []), 1).mean)
    assert high - low == pytest.approx(projection[1] - projection[0], rel=0.02)


def test_two_texts_have_a_value_but_no_interval_and_one_text_has_neither() -> None:
    value = module.METRIC.compute(TextInputs(["a b", "a b"], ["z"]), {})["js1"]
    assert value.value == 100 and value.ci95 is None
    with pytest.raises(Undefined, match="jaccard: needs at least 2 generated texts, got 1"):
        module.METRIC.compute(TextInputs(["a b"], ["z"]), {})
