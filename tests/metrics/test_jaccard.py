"""JS equals loops over pairs of Python sets, on both ways of taking the products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

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


def pairwise(texts: list[str], n: int) -> np.ndarray:
    """[N, N], 0 on the diagonal."""
    pairs = np.array([[oracles.jaccard(a, b, n) for b in texts] for a in texts])
    np.fill_diagonal(pairs, 0)
    return pairs


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(oracles.text_sets(2), oracles.text_sets(0), st.integers(1, 4))
@example(["", "", "a"], [], 1)
@example(["a b", "a b"], [], 2)
def test_against_sets(one_way: Callable, generated: list[str], references: list[str], n: int) -> None:
    ours = module.jaccard(NgramIndex(generated, references), n)
    pairs = pairwise(generated, n)
    np.testing.assert_allclose(ours.mean, pairs.sum(axis=1) / (len(generated) - 1), rtol=1e-13)
    np.testing.assert_allclose(ours.maximum, pairs.max(axis=1), rtol=1e-15)
    np.testing.assert_allclose(ours.second, np.sort(pairs, axis=1)[:, -2], rtol=1e-15)
    np.testing.assert_allclose(pairs[np.arange(len(pairs)), ours.nearest], ours.maximum, rtol=1e-15)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(oracles.text_sets(3), st.integers(1, 3))
@example(["a b", "a c", "a b c"], 1)
@example(["a b c", "a b c", "a b d", "x"], 1)  # two duplicates are each other's nearest, and a third one's both
def test_leave_one_out_is_the_metric_of_the_remaining_texts(one_way: Callable, generated: list[str], n: int) -> None:
    similarity = module.jaccard(NgramIndex(generated, []), n)
    rest = oracles.without_each(generated)
    means = module.mean_without_each(similarity.mean[:, None])[:, 0]
    np.testing.assert_allclose(means, [oracles.mean_jaccard(texts, n) for texts in rest], rtol=1e-12, atol=1e-15)
    maxima = module.maximum_without_each(similarity)
    np.testing.assert_allclose(maxima, [oracles.max_jaccard(texts, n) for texts in rest], rtol=1e-12, atol=1e-15)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILE", 16)
    index = NgramIndex(oracles.zipf_texts(np.random.default_rng(0), 200), [])
    for way in (module._dense_tiles, module._sparse_rows):
        monkeypatch.setattr(module, "_dense_tiles", way)
        monkeypatch.setattr(module, "_sparse_rows", way)
        results = []
        for threads in (1, 3):
            monkeypatch.setattr(module, "_MOST_THREADS", threads)
            results.append([column.tobytes() for column in astuple(module.jaccard(index, 1))])
        assert results[0] == results[1]


@pytest.mark.parametrize("size", [126, 127, 255, 300, 40_000])
def test_sets_too_large_for_narrow_integers(one_way: Callable, size: int) -> None:
    """Neither intersections nor the sums of two sizes may wrap."""
    long = " ".join(f"w{i}" for i in range(size))
    ours = module.jaccard(NgramIndex([long, long + " x", "y", long + " z"], []), 1)
    expected = [size / (size + 1), size / (size + 1), 0, size / (size + 1)]
    np.testing.assert_allclose(ours.maximum, expected, rtol=1e-15)
    assert ours.second[1] == size / (size + 2)


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
    assert module.METRIC.compute(TextInputs(["a b c", "a b c"], []), {})["js_max"].ci95 is None
    with pytest.raises(Undefined, match="jaccard: needs at least 2 generated texts, got 1"):
        module.METRIC.compute(TextInputs(["a b"], ["z"]), {})
