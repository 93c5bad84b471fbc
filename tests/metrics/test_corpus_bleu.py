"""Corpus BLEU equals sacrebleu's, of texts and of any counts, to 1e-12 of its range of 100."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from bench.errors import BenchError
from bench.metrics import corpus_bleu
from bench.metrics.base import TextInputs
from bench.metrics.corpus_bleu import MAX_ORDER, ORDERS, bleu_of_means, bleu_of_sums, pair_statistics
from tests.metrics import oracles
from tests.metrics.test_pair_ngrams import raw_text

PAIRS = st.lists(st.tuples(st.one_of(oracles.text, raw_text), oracles.text), min_size=1, max_size=6)
few = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 10**6))


@pytest.fixture(autouse=True)
def quiet_peer() -> None:
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)


def peer_statistics(text: str, other: str) -> list[int]:
    score = BLEU().sentence_score(text, [other])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


@settings(deadline=None, max_examples=300)
@given(PAIRS)
@example([("", "")])
@example([("", "a"), ("a", "")])
@example([("a", "a")])  # no bigram at all: 0
@example([("a b c d", "b a d c")])  # every order but the first is smoothed
@example([("a b c d e", "a b c d e")] * 3)
@example([("日本 is 🙂 here", "日本 is 🙂 there")])
def test_bleu_is_sacrebleus(pairs: list[tuple[str, str]]) -> None:
    generated, references = map(list, zip(*pairs, strict=True))
    rows = pair_statistics(generated, references)
    np.testing.assert_array_equal(rows, [peer_statistics(*pair) for pair in pairs])
    for order in ORDERS:
        theirs = BLEU(max_ngram_order=order).corpus_score(generated, [references]).score
        assert bleu_of_sums(rows.sum(axis=0), order) == pytest.approx(theirs, rel=1e-12, abs=1e-12)
        assert bleu_of_means(rows.mean(axis=0), len(rows), order) == pytest.approx(theirs, rel=1e-12, abs=1e-12)


@settings(deadline=None, max_examples=1000)
@given(st.lists(few, min_size=10, max_size=10), st.sampled_from(ORDERS))
def test_bleu_of_any_sums_is_sacrebleus(sums: list[int], order: int) -> None:
    """Counts that no texts have too: zeros anywhere, more matches than n-grams."""
    sums[0] = max(1, sums[0])
    matched, total = sums[2 : 2 + order], sums[2 + MAX_ORDER : 2 + MAX_ORDER + order]
    theirs = BLEU.compute_bleu(matched, total, sums[0], sums[1], smooth_method="exp", max_ngram_order=order).score
    assert bleu_of_sums(np.array(sums, float), order) == pytest.approx(theirs, rel=1e-12, abs=1e-12)


def test_sums_are_vectorised() -> None:
    sums = np.random.default_rng(0).integers(0, 9, (5, 7, 10)).astype(float)
    one_by_one = [[bleu_of_sums(cell) for cell in row] for row in sums]
    np.testing.assert_allclose(bleu_of_sums(sums), one_by_one, rtol=1e-14)


def test_values() -> None:
    generated = ["The cat sat on the mat.", "", "A dog ran off today."]
    references = ["A cat sat on the mat.", "No.", "A dog ran home today."]
    values = corpus_bleu.METRIC.compute(TextInputs(generated, references), {})
    assert list(values) == [quantity.key for quantity in corpus_bleu.METRIC.quantities]
    peer = BLEU()
    assert values["sacrebleu"].value == pytest.approx(peer.corpus_score(generated, [references]).score, rel=1e-12)
    assert values["cbleu4"].value == values["sacrebleu"].value < values["cbleu1"].value
    inside = values["sacrebleu"].signature.removeprefix("corpus_bleu|sacrebleu:").removesuffix("|v:1")
    assert inside.replace("=", ":").replace(",", "|") == str(peer.get_signature())
    assert values["cbleu2"].signature == f"corpus_bleu|n:2|sacrebleu:{inside}|v:1"
    assert len({value.signature for value in values.values()}) == len(values)
    for value in values.values():
        assert value.n == 3 and value.examples is not None and value.ci95 is not None
        assert 0 <= value.ci95[0] <= value.value <= value.ci95[1] <= 100
        json.dumps(value.as_dict(), allow_nan=False)
    assert values == corpus_bleu.METRIC.compute(TextInputs(generated, references), dict(corpus_bleu.METRIC.defaults))


def test_the_interval_is_that_of_rescored_resamples() -> None:
    """Against sacrebleu's own bootstrap, which draws other resamples: half the width of its 95 % interval."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(20)]
    references = [" ".join(rng.choice(words, 9)) for _ in range(150)]
    generated = [" ".join(w if rng.random() < 0.7 else rng.choice(words) for w in r.split()) for r in references]
    theirs = BLEU().corpus_score(generated, [references], n_bootstrap=2000)
    ours = corpus_bleu.METRIC.compute(TextInputs(generated, references), {"resamples": 2000})["sacrebleu"]
    assert ours.ci95 is not None
    assert (ours.ci95[1] - ours.ci95[0]) / 2 == pytest.approx(theirs._ci, rel=0.1)
    assert sum(ours.ci95) / 2 == pytest.approx(theirs._mean, abs=0.2)


def test_identical_texts_score_100_and_one_pair_has_no_interval() -> None:
    values = corpus_bleu.METRIC.compute(TextInputs(["one two three four"], ["one two three four"]), {})
    told = (100.0, None, "none: fewer than 2 pairs")
    assert {(value.value, value.ci95, value.interval) for value in values.values()} == {told}


def test_texts_are_pairs() -> None:
    with pytest.raises(BenchError, match="corpus_bleu: pairs each generated text with its reference, but there are 2"):
        corpus_bleu.METRIC.compute(TextInputs(["a", "b"], ["a"]), {})
    with pytest.raises(BenchError, match="corpus_bleu: unknown option 'order'"):
        corpus_bleu.METRIC.compute(TextInputs(["a"], ["a"]), {"order": 4})
