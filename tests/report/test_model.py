"""Numbers, ranking, seeds and signatures: the arithmetic under every table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.metrics import signatures
from bench.metrics.seeds import over_seeds
from bench.report.model import Footnotes, number, rank


@pytest.mark.parametrize("n", [2, 3, 10])
def test_seed_interval_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(20, 3, n)
    found = over_seeds(values.tolist())
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high), rel=1e-12)
    assert found.n == n


def test_one_seed_has_no_interval() -> None:
    assert over_seeds([4.0]).half_width is None


def test_infinite_values_have_no_interval() -> None:
    found = over_seeds([math.inf, 1.0])
    assert (found.mean, found.half_width, found.n) == (math.inf, None, 2)


@pytest.mark.parametrize("values", [[1e200, 1.0], [1e308, 1e308], [-1e308, 1e308], [1e308]])
def test_values_whose_squares_are_no_numbers_have_no_interval(values: list[float]) -> None:
    found = over_seeds(values)
    assert found.half_width is None and found.mean == pytest.approx(sum(v / len(values) for v in values))


def test_direction_decides_the_best() -> None:
    assert rank([3.0, 1.0, 2.0], "up", 2) == ["best", "", "second"]
    assert rank([3.0, 1.0, 2.0], "down", 2) == ["", "best", "second"]
    assert rank([3.0, 1.0, 2.0], "none", 2) == ["", "", ""]


def test_ties_are_judged_as_shown() -> None:
    assert rank([1.001, 1.004, 2.0], "down", 2) == ["best", "best", ""]
    assert rank([1.0, 2.001, 2.004, 3.0], "down", 2) == ["best", "second", "second", ""]
    assert rank([1.0, 1.0], "down", 2) == ["", ""], "all equal: nobody is best"


def test_missing_values_take_no_part() -> None:
    assert rank([None, 5.0, None], "down", 2) == ["", "", ""]
    assert rank([None, 5.0, 4.0, math.inf], "down", 2) == ["", "second", "best", ""]


def test_numbers_stay_narrow() -> None:
    assert [number(v, 1) for v in (0.04, -0.04, 12345.6, -math.inf)] == ["0.0", "0.0", "12346", "-∞"]


def test_footnotes_repeat_their_mark() -> None:
    notes = Footnotes()
    assert [notes.mark(t) for t in ("x", "y", "x")] == ["a", "b", "a"]
    for i in range(30):
        notes.mark(str(i))
    assert notes.listed()[25][0] == "z" and notes.listed()[26][0] == "aa"


def test_signatures_agree_in_every_part() -> None:
    assert signatures.difference("bleu|n:4|v:1", "bleu|n:4|v:1") == ""
    assert signatures.difference("bleu|n:4|v:1", "bleu|n:4|v:2") == "v is 1, not 2"
    assert signatures.difference("bleu|v:1", "bleu|n:4|v:1") == "n is absent, not 4"
    assert signatures.difference("mauve|v:1", "mauve_star|v:1") == "the metric is mauve, not mauve_star"
