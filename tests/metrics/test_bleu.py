"""BLEU and Self-BLEU equal NLTK's sentence_bleu (method 1), text by text, to 1e-12 relative."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from bench.metrics import bleu, self_bleu
from bench.metrics.base import TextInputs, Undefined
from bench.metrics.ngrams import NgramIndex
from bench.metrics.tokenise import tokenise
from tests.metrics import oracles

WEIGHTS = [(1 / n,) * n for n in range(1, 6)]


def nltk_bleu(references: list[str], text: str) -> list[float]:
    method1 = SmoothingFunction().method1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sentence_bleu([tokenise(r) for r in references], tokenise(text), WEIGHTS, smoothing_function=method1)


@settings(deadline=None, max_examples=200)
@given(oracles.text_sets(1), oracles.text_sets(1))
@example([""], [""])
@example(["a"], ["a"])
@example(["a b c d"], ["a b", "a b c d e f"])  # equally far: the shorter reference, so no brevity penalty
def test_bleu_is_nltks(generated: list[str], references: list[str]) -> None:
    ours = bleu.bleu_scores(NgramIndex(generated, references))
    theirs = np.array([nltk_bleu(references, text) for text in generated], dtype=float)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=0)


@settings(deadline=None, max_examples=200)
@given(oracles.text_sets(2), oracles.text_sets(0))
@example(["", ""], [])
@example(["a a a", "a a", "a b"], ["a a a a"])  # only one text attains the largest count: the second largest clips it
@example(["a b c", "a b", "a b c d e"], [])
def test_self_bleu_is_nltks_without_the_text_itself(generated: list[str], references: list[str]) -> None:
    ours = self_bleu.self_bleu_scores(NgramIndex(generated, references))
    others = oracles.without_each(generated)
    theirs = np.array([nltk_bleu(rest, text) for rest, text in zip(others, generated, strict=True)], dtype=float)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=0)


@settings(deadline=None, max_examples=20)
@given(oracles.unlike_texts(2), oracles.unlike_texts(1))
@example([oracles.long_text(5000, 0), "a", "", "a b c"], ["a", oracles.long_text(8000, 1)])
@example(["the " * 300, "the " * 1000, "the " * 70_000], ["the " * 500])  # counts of one, two and four bytes
def test_long_texts_beside_short_ones(generated: list[str], references: list[str]) -> None:
    """Relative to 1: the brevity penalty exp(1 - r / c) of a text a thousand times too short has few true digits."""
    index = NgramIndex(generated, references)
    ours = [bleu.bleu_scores(index), self_bleu.self_bleu_scores(index)]
    references_of = [[references] * len(generated), oracles.without_each(generated)]
    for scores, of_each in zip(ours, references_of, strict=True):
        theirs = np.array([nltk_bleu(refs, text) for refs, text in zip(of_each, generated, strict=True)], dtype=float)
        np.testing.assert_allclose(scores, theirs, rtol=1e-12, atol=1e-13)


@settings(deadline=None, max_examples=150)
@given(oracles.text_sets(3), st.sampled_from([1, 2, 1 << 18]))
def test_self_bleu_without_each_text(generated: list[str], at_once: int) -> None:
    """With every text of one length, so that leaving one out changes no closest length, it is Self-BLEU of the rest."""
    same_length = [" ".join(([*tokenise(text), "x", "y", "x", "z", "z"])[:5]) for text in generated]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_bleu, "_PAIRS_AT_ONCE", at_once)
        without = self_bleu.self_bleu_without_each(NgramIndex(same_length, []))
    indices = [NgramIndex(texts, []) for texts in oracles.without_each(same_length)]
    rest = [self_bleu.self_bleu_scores(index).mean(axis=0) for index in indices]
    np.testing.assert_allclose(without, rest, rtol=1e-12, atol=1e-14)


def test_values() -> None:
    inputs = TextInputs(["the cat sat on the mat", "a dog"], ["the cat sat on a mat", "the dog"])
    values = bleu.METRIC.compute(inputs, {})
    assert list(values) == [q.key for q in bleu.METRIC.quantities] == [f"bleu{n}" for n in range(1, 6)]
    theirs = np.mean([nltk_bleu(inputs.references, text) for text in inputs.generated], axis=0)
    assert values["bleu4"].value == pytest.approx(100 * theirs[3], rel=1e-12)
    assert values["bleu4"].signature == "bleu|n:4|tok:regex|smooth:method1|refs:all2|v:1"
    assert values["bleu4"].n == 2


def test_identical_sets_score_100() -> None:
    texts = ["one two three four five six"] * 3
    inputs = TextInputs(texts, texts[:1])
    assert bleu.METRIC.compute(inputs, {})["bleu5"].value == pytest.approx(100)
    assert self_bleu.METRIC.compute(inputs, {})["self_bleu5"].value == pytest.approx(100)


def test_self_bleu_names_n_and_ignores_the_references() -> None:
    generated = ["a b c d e", "a b c d f", "g h"]
    values = [self_bleu.METRIC.compute(TextInputs(generated, refs), {}) for refs in (["a b c"] * 4, ["zzz"])]
    assert values[0] == values[1]
    assert values[0]["self_bleu3"].signature.startswith("self_bleu|n:3|N:3|tok:regex|smooth:method1|")


@pytest.mark.parametrize(("generated", "references"), [([], ["a"]), (["a"], [])])
def test_bleu_needs_both_sets(generated: list[str], references: list[str]) -> None:
    with pytest.raises(Undefined, match="bleu: needs at least 1 generated text and 1 reference text, got"):
        bleu.METRIC.compute(TextInputs(generated, references), {})


def test_self_bleu_needs_two_texts_and_its_interval_three() -> None:
    two = self_bleu.METRIC.compute(TextInputs(["a", "a b"], ["a"]), {})["self_bleu1"]
    assert two.value == pytest.approx(100 * (1 / np.e + 1 / 2) / 2)  # "a": BP exp(1 - 2/1); "a b": one match of two
    assert two.ci95 is None
    with pytest.raises(Undefined, match="self_bleu: needs at least 2 generated texts, got 1"):
        self_bleu.METRIC.compute(TextInputs(["a"], ["a"]), {})
