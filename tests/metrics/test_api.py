"""Scoring and comparing from Python: what runs, with which options, and one clear line for every mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics import LikelihoodFile, api, compare, score, score_likelihood
from bench.metrics.base import TextInputs, Undefined, Value
from bench.metrics.bootstrap import Examples
from bench.metrics.significance import (
    approximate_randomisation,
    independent_bootstrap,
    paired_bootstrap,
    permutation,
)  # fmt: skip

RNG = np.random.default_rng(0)
WORDS = [f"w{i}" for i in range(12)]
REFERENCES = [" ".join(RNG.choice(WORDS, 8)) for _ in range(40)]


def noisy(noise: float) -> list[str]:
    return [" ".join(w if RNG.random() > noise else RNG.choice(WORDS) for w in r.split()) for r in REFERENCES]


OURS, THEIRS = noisy(0.5), noisy(0.5)
PROCEDURES = {
    False: "bootstrap of both; p: permutation of texts",
    True: "paired bootstrap; p: approximate randomisation",
}


def examples(texts: list[str], metric: str, key: str) -> Examples:
    found = score(texts, REFERENCES, metrics=metric)[key].examples
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("metric", "key", "paired"),
    [
        ("bleu", "bleu2", False),
        ("distinct", "dist2", False),
        ("rouge", "rouge2", True),
        ("corpus_bleu", "cbleu2", True),
    ],
)
@pytest.mark.parametrize("options", [{}, {"resamples": 300}, {"seed": 5}, {"resamples": 300, "seed": 5}])
def test_each_metric_is_compared_by_its_procedure(metric: str, key: str, paired: bool, options: dict[str, int]) -> None:
    """Interval, p and p_bootstrap from the very functions with the very options."""
    found = compare(OURS, THEIRS, REFERENCES, metrics=metric, options={metric: options})[key]
    a, b = examples(OURS, metric, key), examples(THEIRS, metric, key)
    chance = options.get("resamples", 1000), options.get("seed", 0)
    of_pairs = paired_bootstrap(a, b, *chance), approximate_randomisation(a, b, *chance)
    of_samples = independent_bootstrap(a, b, *chance), permutation(a, b, *chance)
    assert of_pairs[0].ci95 != of_samples[0].ci95
    bootstrap, p = of_pairs if paired else of_samples
    assert options or p != bootstrap.p
    assert (found.ci95, found.p_bootstrap, found.p, found.test) == (bootstrap.ci95, bootstrap.p, p, PROCEDURES[paired])
    assert found.difference == found.value - found.baseline == pytest.approx(bootstrap.value, rel=1e-9)
    assert found.value == score(OURS, REFERENCES, metrics=metric)[key].value


def test_few_examples_are_told() -> None:
    found = compare(OURS[:19], THEIRS, REFERENCES, metrics="bleu")["bleu1"]
    assert found.test == f"{PROCEDURES[False]} (fewer than 20 examples: interval too short, p_bootstrap too small)"
    assert compare(OURS[:20], THEIRS, REFERENCES, metrics="bleu")["bleu1"].test == PROCEDURES[False]


def test_why_there_is_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    without = compare(OURS, THEIRS, REFERENCES, metrics="bleu", options={"bleu": {"resamples": 0}})["bleu1"]
    assert (without.ci95, without.p, without.p_bootstrap, without.test) == (None, None, None, "no test: no resamples")
    value = {"mauve": Value(0.5, None, 9, "mauve|v:1")}
    assert api.compared("mauve", value, value, {})["mauve"].test == "no test: no statistics by example"
    alone = compare(OURS[:1], THEIRS, REFERENCES, metrics="bleu")["bleu1"]
    assert alone.p is None and alone.test.startswith("no test: comparison: needs at least 2 examples of each system")


def test_no_interval_of_a_difference_where_neither_value_has_one() -> None:
    """Every 4-gram of either is new, and no resample can know how seldom one is not."""
    ours, theirs = ([f"{side}{i} b c {side}{i}" for i in range(40)] for side in "xy")
    found = compare(ours, theirs, metrics="distinct")["dist4"]
    assert (found.difference, found.ci95, found.p, found.p_bootstrap) == (0, None, 1, None)
    assert found.test.endswith("; no interval where neither value has one")


def test_what_is_a_placeholder_is_not_tested() -> None:
    """CND of texts that share no n-gram with the references is infinite, whichever side they are on."""
    strange, near = ["x y z"] * len(OURS), OURS
    for ours, theirs in ((strange, near), (near, strange), (strange, ["u v w"] * len(OURS))):
        found = compare(ours, theirs, REFERENCES, metrics="cnd")["cnd_logcos1"]
        assert (found.ci95, found.p) == (None, None) and found.test == "no test: no statistics by example"
        assert ("half an occurrence" in found.note) == (theirs is not near)


def test_what_is_undefined_for_either_system_is_left_out_or_told() -> None:
    several, one = ["one two", "three"], ["two"]
    for ours, theirs in ((one, several), (several, one), (one, one)):
        found = compare(ours, theirs, several)
        assert "bleu1" in found and "dist1" in found and "self_bleu1" not in found
    with pytest.raises(Undefined, match=r"^self_bleu: needs at least 2 generated texts, got 1"):
        compare(one, several, metrics=["self_bleu"])
    with pytest.raises(Undefined, match=r"^baseline: self_bleu: needs at least 2 generated texts, got 1"):
        compare(several, one, metrics=["self_bleu"])
    with pytest.raises(BenchError, match=r"^baseline: rouge: pairs each generated text with its reference"):
        compare(several, one, several, metrics=["rouge"])
    with pytest.raises(BenchError, match=r"^bleu: unknown option 'sed'"):
        compare(several, one, several, options={"bleu": {"sed": 1}})


def test_one_metric_may_be_named_by_itself() -> None:
    assert score(OURS, REFERENCES, metrics="bleu") == score(OURS, REFERENCES, metrics=["bleu", "bleu"])
    assert compare(OURS, THEIRS, REFERENCES, metrics="bleu") == compare(OURS, THEIRS, REFERENCES, metrics=["bleu"])
    stats = LikelihoodFile.empty(n=2, m=2, k=1, groups=0, latent=0, samples=1, mi_batch=32)
    stats.log_px[:, 0], stats.predicted[:] = [-10.0, -20.0], [4, 6]
    assert score_likelihood(stats, "iw") == score_likelihood(stats, ["iw", "iw"])
    with pytest.raises(BenchError, match=r"^'bleu' is no metric of likelihood statistics"):
        score_likelihood(stats, "bleu")
    with pytest.raises(BenchError, match=r"^unknown metric 'blue'; did you mean 'bleu'\?"):
        score(OURS, REFERENCES, metrics="blue")


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        ("abc", "expected a list of texts, got str"),
        (None, "expected a list of texts, got NoneType"),
        (3, "expected a list of texts, got int"),
        (b"ab", r"expected a text, got int \(item 0\)"),
        (["a", None], r"expected a text, got NoneType \(item 1\)"),
        ([["a", "b"]], r"expected a text, got list \(item 0\)"),
    ],
)
def test_texts_are_lists_of_texts(texts: Any, error: str) -> None:
    fine = ["a b", "c"]
    for role, call in {
        "generated": lambda: score(texts, fine),
        "references": lambda: score(fine, texts),
        "baseline": lambda: compare(fine, texts, fine),
    }.items():
        with pytest.raises(BenchError, match=f"^{role}: {error}"):
            call()
    if texts is not None:
        with pytest.raises(BenchError, match=f"^sources: {error}"):
            score(fine, fine, sources=texts)


def test_any_iterable_of_texts_will_do() -> None:
    listed = score(OURS, REFERENCES, metrics="bleu")
    assert score(iter(OURS), tuple(REFERENCES), metrics="bleu") == listed
    assert score(np.array(OURS), (text for text in REFERENCES), metrics="bleu") == listed
    assert set(score(OURS, iter([]))) == set(score(OURS))


def test_the_cache_is_handed_on(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TextInputs] = []
    monkeypatch.setattr(api, "compute", lambda name, inputs, options: seen.append(inputs) or {})
    score(OURS, REFERENCES, sources=THEIRS, metrics="bleu", cache=tmp_path)
    assert seen == [TextInputs(OURS, REFERENCES, THEIRS, tmp_path)]
