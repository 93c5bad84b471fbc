"""iBLEU is its formula over sacrebleu's corpus scores, to 1e-12."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from bench.errors import BenchError
from bench.metrics import corpus_bleu, ibleu
from bench.metrics.base import TextInputs
from tests.metrics import oracles

TRIPLES = st.lists(st.tuples(oracles.text, oracles.text, oracles.text), min_size=1, max_size=6)


@settings(deadline=None, max_examples=150)
@given(TRIPLES, st.floats(0, 1))
@example([("", "", "")], 0.5)
@example([("a b c d e", "a b c d f", "a b c d e")], 0.9)
def test_ibleu_is_its_formula_of_sacrebleus(triples: list[tuple[str, str, str]], alpha: float) -> None:
    generated, references, sources = map(list, zip(*triples, strict=True))
    inputs = TextInputs(generated, references, sources)
    values = ibleu.METRIC.compute(inputs, {"alpha": alpha, "resamples": 0})
    near, copied = (BLEU().corpus_score(generated, [others]).score for others in (references, sources))
    assert values["source_bleu"].value == pytest.approx(copied, rel=1e-12, abs=1e-12)
    assert values["ibleu"].value == pytest.approx(alpha * near - (1 - alpha) * copied, rel=1e-12, abs=1e-10)


def test_values() -> None:
    inputs = TextInputs(
        ["how do i learn chess fast", "who is the president", "a b c d"],
        ["how can i learn chess fast", "who is president now", "a b c e"],
        ["how do i learn to play chess", "who is the president now", "x y z a"],
    )
    values = ibleu.METRIC.compute(inputs, {})
    assert set(values) == {quantity.key for quantity in ibleu.METRIC.quantities}
    bleu = corpus_bleu.METRIC.compute(inputs, {})["sacrebleu"]
    assert values["ibleu"].value == pytest.approx(0.9 * bleu.value - 0.1 * values["source_bleu"].value)
    of_peer = bleu.signature.removeprefix("corpus_bleu|")
    assert values["ibleu"].signature == f"ibleu|alpha:0.9|{of_peer}"
    assert values["source_bleu"].signature == f"ibleu|against:sources|{of_peer}"
    for quantity in ibleu.METRIC.quantities:
        value = values[quantity.key]
        assert value.n == 3 and value.ci95 is not None
        assert quantity.range[0] <= value.ci95[0] <= value.value <= value.ci95[1] <= quantity.range[1]
        json.dumps(value.as_dict(), allow_nan=False)
    assert values == ibleu.METRIC.compute(inputs, dict(ibleu.METRIC.defaults))


def test_alpha_1_is_corpus_bleu_with_its_interval() -> None:
    inputs = TextInputs(["a b c d e", "a b", "c d e f"], ["a b c d f", "a b c", "c d e a"], ["x", "y", "z"])
    ours, bleu = (
        ibleu.METRIC.compute(inputs, {"alpha": 1})["ibleu"],
        corpus_bleu.METRIC.compute(inputs, {})["sacrebleu"],
    )
    assert (ours.value, *(ours.ci95 or ())) == pytest.approx((bleu.value, *(bleu.ci95 or ())))


def test_copies_of_the_sources() -> None:
    texts = ["one two three four five", "six seven eight nine"]
    values = ibleu.METRIC.compute(TextInputs(texts, ["ten"] * 2, texts), {"alpha": 0.8})
    assert values["source_bleu"].value == pytest.approx(100) and values["source_bleu"].ci95 is None
    assert values["ibleu"].value == pytest.approx(-20)


def test_weights_that_differ_are_signed_differently() -> None:
    """To the last digit, since the values differ."""
    inputs = TextInputs(["a b c d e", "a b"], ["a b c d f", "a b c"], ["x", "y"])
    near = [ibleu.METRIC.compute(inputs, {"alpha": alpha})["ibleu"] for alpha in (0.3333333, 0.33333334)]
    assert near[0].value != near[1].value and near[0].signature.startswith("ibleu|alpha:0.3333333|")
    assert near[1].signature.startswith("ibleu|alpha:0.33333334|")
    one, same = (ibleu.METRIC.compute(inputs, {"alpha": alpha})["ibleu"] for alpha in (1, 1.0))
    assert one == same


@pytest.mark.parametrize(
    ("sources", "options", "error"),
    [
        (None, {}, "ibleu: pairs each generated text with its source, but there are 1 generated texts and 0 sources"),
        (["a", "b"], {}, "ibleu: pairs each generated text with its source"),
        (["a"], {"alpha": 1.5}, "ibleu: option 'alpha' must be a number in 0..1, not 1.5"),
        (["a"], {"alpha": True}, "ibleu: option 'alpha' must be a number in 0..1, not True"),
        (["a"], {"alpha": np.nan}, "ibleu: option 'alpha' must be a number in 0..1, not nan"),
        (["a"], {"alhpa": 1}, "ibleu: unknown option 'alhpa'; did you mean 'alpha'"),
        (["a"], {"resamples": -1}, "ibleu: option 'resamples' must be"),
    ],
)
def test_mistakes(sources: list[str] | None, options: dict[str, object], error: str) -> None:
    with pytest.raises(BenchError, match=error):
        ibleu.METRIC.compute(TextInputs(["a"], ["a"], sources), options)
