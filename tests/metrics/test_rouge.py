"""ROUGE equals rouge-score's, pair by pair, to 1e-12."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from bench.errors import BenchError
from bench.metrics import rouge
from bench.metrics.base import TextInputs
from tests.metrics import oracles
from tests.metrics.test_pair_ngrams import raw_text

SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"])
PAIRS = st.lists(st.tuples(st.one_of(oracles.text, raw_text), oracles.text), min_size=1, max_size=6)


def theirs(generated: list[str], references: list[str]) -> np.ndarray:
    return np.array(
        [
            [(s.fmeasure, s.precision, s.recall) for s in SCORER.score(target, prediction).values()]
            for prediction, target in zip(generated, references, strict=True)
        ]
    )


@settings(deadline=None, max_examples=400)
@given(PAIRS)
@example([("", ""), ("", "a"), ("a", "")])
@example([("a", "a"), ("a", "b"), ("A b", "a B")])
@example([("the cat the cat", "the the cat cat")] * 3)
@example([("日本 🙂", "日本 🙂"), ("Cafés", "caf s"), ("İK", "ik")])  # other scripts are dropped, not matched
def test_rouge_is_rouge_scores(pairs: list[tuple[str, str]]) -> None:
    generated, references = map(list, zip(*pairs, strict=True))
    np.testing.assert_allclose(
        rouge.rouge_scores(generated, references), theirs(generated, references), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(("n", "m"), [(1, 900), (900, 1), (700, 800)])
def test_long_texts(n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    x, y = (" ".join(f"w{i}" for i in rng.zipf(1.5, size) % 50) for size in (n, m))
    np.testing.assert_allclose(rouge.rouge_scores([x], [y]), theirs([x], [y]), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 3), max_size=90), st.lists(st.integers(0, 3), max_size=90))
def test_lcs_is_the_dynamic_programmes(xs: list[int], ys: list[int]) -> None:
    row = [0] * (len(ys) + 1)
    for x in xs:
        above = row[:]
        for j, y in enumerate(ys, 1):
            row[j] = above[j - 1] + 1 if x == y else max(above[j], row[j - 1])
    assert rouge.lcs_length(xs, ys) == row[-1] == rouge.lcs_length(ys, xs)


def test_values() -> None:
    generated = ["the cat sat on the mat", "", "a dog"]
    references = ["a cat sat on a mat", "a bird", "a dog"]
    values = rouge.METRIC.compute(TextInputs(generated, references), {})
    assert list(values) == [quantity.key for quantity in rouge.METRIC.quantities]
    means = 100 * theirs(generated, references).mean(axis=0)
    assert [values[key].value for key in ("rouge1", "rouge2", "rougeL")] == pytest.approx(means[:, 0].tolist())
    assert [values[key].value for key in ("rouge1_p", "rougeL_r")] == pytest.approx([means[0, 1], means[2, 2]])
    assert values["rougeL"].signature == "rouge|n:L|form:f1|tok:rouge-score|stem:no|v:1"
    assert len({value.signature for value in values.values()}) == len(values)
    for value in values.values():
        assert value.n == 3 and value.examples is not None and value.ci95 is not None
        assert 0 <= value.ci95[0] <= value.value <= value.ci95[1] <= 100
        json.dumps(value.as_dict(), allow_nan=False)
    assert values == rouge.METRIC.compute(TextInputs(generated, references), dict(rouge.METRIC.defaults))


def test_identical_texts_score_100_and_one_pair_has_no_interval() -> None:
    values = rouge.METRIC.compute(TextInputs(["one two three"], ["one two three"]), {})
    told = (100.0, None, "none: fewer than 2 examples")
    assert {(value.value, value.ci95, value.interval) for value in values.values()} == {told}


@pytest.mark.parametrize(
    ("generated", "references", "error"),
    [
        ([], [], "rouge: needs at least 1 generated text and 1 reference text, got 0 and 0"),
        (["a", "b"], ["a"], "rouge: pairs each generated text with its reference, but there are 2 .* and 1 references"),
    ],
)
def test_texts_are_pairs(generated: list[str], references: list[str], error: str) -> None:
    with pytest.raises(BenchError, match=error):
        rouge.METRIC.compute(TextInputs(generated, references), {})


def test_options_are_checked() -> None:
    with pytest.raises(BenchError, match="rouge: unknown option 'sed'; did you mean 'seed'"):
        rouge.METRIC.compute(TextInputs(["a"], ["a"]), {"sed": 1})
