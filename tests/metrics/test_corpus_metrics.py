"""Dist, Ent and CND equal plain Counters, and so do their values without each text in turn."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bench.metrics import cnd, distinct, entropy
from bench.metrics.base import TextInputs, Undefined
from bench.metrics.ngrams import NgramIndex
from tests.metrics import oracles

orders = st.integers(1, 4)


@settings(deadline=None, max_examples=150)
@given(oracles.text_sets(1), oracles.text_sets(0), orders)
def test_distinct(generated: list[str], references: list[str], n: int) -> None:
    index = NgramIndex(generated, references)
    without = distinct.distinct_without_each(index, n)
    assert distinct.distinct(index, n) == pytest.approx(oracles.distinct(generated, n), rel=1e-14)
    np.testing.assert_allclose(without, [oracles.distinct(rest, n) for rest in oracles.without_each(generated)])


@settings(deadline=None, max_examples=150)
@given(oracles.text_sets(1), oracles.text_sets(0), orders)
def test_entropy(generated: list[str], references: list[str], n: int) -> None:
    index = NgramIndex(generated, references)
    without = entropy.entropy_without_each(index, n)
    assert entropy.entropy(index, n) == pytest.approx(oracles.entropy(generated, n), rel=1e-12, abs=1e-14)
    rest = [oracles.entropy(texts, n) for texts in oracles.without_each(generated)]
    np.testing.assert_allclose(without, rest, rtol=1e-12, atol=1e-14)


@settings(deadline=None, max_examples=150)
@given(oracles.text_sets(1), oracles.text_sets(1), orders)
def test_cnd(generated: list[str], references: list[str], n: int) -> None:
    assume(oracles.corpus_counts(references, n))
    index = NgramIndex(generated, references)
    value, without = cnd.cnd(index, n), cnd.cnd_without_each(index, n)
    expected = oracles.cnd(generated, references, n)
    for form, number in asdict(value).items():
        assert number == pytest.approx(expected[form], rel=1e-12, abs=1e-14), form
    rest = [oracles.cnd(texts, references, n) for texts in oracles.without_each(generated)]
    for form, numbers in asdict(without).items():
        np.testing.assert_allclose(numbers, [r[form] for r in rest], rtol=1e-9, atol=1e-13, err_msg=form)


@settings(deadline=None, max_examples=20)
@given(oracles.unlike_texts(1), oracles.unlike_texts(1), orders)
@example([oracles.long_text(5000, 0)], ["a b c", oracles.long_text(8000, 1)], 2)
@example(["the " * 70_000], ["the " * 300], 1)
def test_long_texts_beside_short_ones(generated: list[str], references: list[str], n: int) -> None:
    index = NgramIndex(generated, references)
    assert distinct.distinct(index, n) == pytest.approx(oracles.distinct(generated, n), rel=1e-14)
    assert entropy.entropy(index, n) == pytest.approx(oracles.entropy(generated, n), rel=1e-12, abs=1e-14)
    if oracles.corpus_counts(references, n):
        expected = oracles.cnd(generated, references, n)
        for form, number in asdict(cnd.cnd(index, n)).items():
            assert number == pytest.approx(expected[form], rel=1e-12, abs=1e-13), form


def test_cnd_of_equal_sets_is_zero_and_its_column_is_the_trigram_logcos() -> None:
    texts = ["a b c d", "b c d e f", "a b c"]
    values = cnd.METRIC.compute(TextInputs(texts, texts[::-1]), {})
    assert list(values) == [q.key for q in cnd.METRIC.quantities]
    assert values["cnd"] is values["cnd_logcos3"]
    for key in ("cnd", "cnd_raw1", "cnd_norm4"):
        assert values[key].value == pytest.approx(0, abs=1e-15)
    assert values["cnd_cr2"].value == pytest.approx(-values["cnd_nrr2"].value)
    assert values["cnd"].signature == "cnd|form:logcos|n:3|N:3|refs:3|tok:regex|v:1"


def test_cnd_of_disjoint_sets_is_finite_and_says_so() -> None:
    values = cnd.METRIC.compute(TextInputs(["a b c d", "e f g h"], ["p q r s"]), {})
    assert values["cnd_logcos1"].value == pytest.approx(-math.log((0.5 / (8 * 4)) ** 2 / (1 / 8 * 1 / 4)))
    assert "infinite" in values["cnd_logcos1"].note and not values["cnd_raw1"].note
    assert values["cnd_raw1"].value == pytest.approx(1 / 8 + 1 / 4)
    one_shared = cnd.METRIC.compute(TextInputs(["a b c d", "e f g h"], ["p q r a"]), {})
    assert one_shared["cnd_logcos1"].value < values["cnd_logcos1"].value and not one_shared["cnd_logcos1"].note


def test_cnd_is_called_reconstructed_wherever_it_is_shown() -> None:
    assert all(q.label.startswith("CND (reconstructed)") for q in cnd.METRIC.quantities)


def test_cnd_of_sets_that_share_nothing_says_so_and_has_no_interval() -> None:
    values = cnd.METRIC.compute(TextInputs(["a b", "c a", "b"], ["x y", "y"]), {})
    assert math.isfinite(values["cnd_logcos1"].value) and values["cnd_logcos1"].note == cnd.NOTHING_SHARED
    assert (values["cnd_logcos1"].ci95, values["cnd_logcos1"].interval) == (None, "none: no n-gram is shared")
    assert values["cnd_nrr1"].ci95 is not None and values["cnd_nrr1"].note == ""


def test_cnd_has_the_orders_that_the_references_have() -> None:
    values = cnd.METRIC.compute(TextInputs(["a b"], ["a b", "b"]), {})
    assert {key[-1] for key in values} == {"1", "2"} and len(values) == 10
    with pytest.raises(Undefined, match="cnd: no reference text has a token"):
        cnd.METRIC.compute(TextInputs(["a b"], ["", " "]), {})


def test_values() -> None:
    inputs = TextInputs(["a b a", "a c"], ["z"])
    dist, ent = distinct.METRIC.compute(inputs, {}), entropy.METRIC.compute(inputs, {})
    assert dist["dist1"].value == pytest.approx(60) and dist["dist2"].value == 100 and dist["dist4"].value == 0
    assert ent["ent2"].value == pytest.approx(math.log(3))
    assert dist["dist2"].signature == "distinct|n:2|N:2|tok:regex|v:1"
    assert ent["ent2"].signature == "entropy|n:2|N:2|tok:regex|v:1"


@pytest.mark.parametrize("metric", [distinct.METRIC, entropy.METRIC, cnd.METRIC])
def test_no_texts(metric) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Undefined, match="needs at least 1 generated text"):
        metric.compute(TextInputs([], ["a b c d e"]), {})
