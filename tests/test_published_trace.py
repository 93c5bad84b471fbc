"""TRACE's printed numbers, held against the paper's text."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from bench.report.published import Printed, Published, load_published

FOLDER = Path(__file__).parents[1] / "results" / "published"
METHODS = ("gpt2", "ind", "cgd", "no-recurrence", "trace-r", "trace-p")
SPOT = [  # read off the paper's text, by eye: table, dataset, method, metric, text
    ("1", "yelp", "data", "length", "96"),
    ("1", "yahoo", "data", "valid", "10000"),
    ("1", "writingprompts", "data", "train", "164000"),
    ("1", "writingprompts", "data", "length", "421"),
    ("2", "yelp", "gpt2", "self_bleu", "65.90"),
    ("2", "yelp", "ind", "nelbo", "328.17"),
    ("2", "yelp", "cgd", "au_0.1", "2"),
    ("2", "yelp", "no-recurrence", "cnd", "0.43"),
    ("2", "yelp", "trace-r", "mi", "19.57"),
    ("2", "yelp", "trace-p", "ppl", "14.88"),
    ("2", "yahoo", "gpt2", "dist", "21.07"),
    ("2", "yahoo", "cgd", "kl", "0.17"),
    ("2", "yahoo", "no-recurrence", "mi", "5.65"),
    ("2", "yahoo", "trace-r", "self_bleu", "47.33"),
    ("2", "yahoo", "trace-r", "mi", "43.20"),
    ("2", "yahoo", "trace-p", "js", "0.30"),
    ("3", "writingprompts", "gpt2", "bleu", "27.89"),
    ("3", "writingprompts", "ind", "rouge1", "32.44"),
    ("3", "writingprompts", "cgd", "js", "1.97"),
    ("3", "writingprompts", "no-recurrence", "bertscore", "81.25"),
    ("3", "writingprompts", "trace-r", "dist", "13.18"),
    ("3", "writingprompts", "trace-p", "self_bleu", "47.26"),
    ("4", "writingprompts", "gpt2", "fluency", "2.18"),
    ("4", "writingprompts", "no-recurrence", "coherence", "2.51"),
    ("4", "writingprompts", "trace-r", "novelty", "2.55"),
    ("4", "writingprompts", "all", "kappa", "0.61"),
    ("5", "yelp", "trace-r-ln", "nelbo", "307.33"),
    ("5", "yelp", "trace-r-rp", "self_bleu", "67.89"),
    ("5", "yelp", "trace-r+bn", "dist", "22.88"),
    ("5", "yelp", "trace-p-sn", "js", "0.43"),
    ("6", "yelp", "trace-r@greedy", "dist", "9.28"),
    ("6", "yelp", "cgd@beam", "dist", "0.08"),
    ("6", "yelp", "trace-r@top_k", "dist", "23.01"),
    ("5.2", "all", "all", "gamma", "3"),
    ("5.8", "yelp", "trace-p-5", "speedup", "1.5"),
]
SHAPES: dict[str, dict[str, dict[str, int]]] = {  # table -> dataset -> method -> numbers
    "1": {dataset: {"data": 4} for dataset in ("yelp", "yahoo", "writingprompts")},
    "2": {dataset: {"gpt2": 5, **dict.fromkeys(METHODS[1:], 9)} for dataset in ("yelp", "yahoo")},
    "3": {"writingprompts": dict.fromkeys(METHODS, 8)},
    "4": {"writingprompts": {**dict.fromkeys(METHODS, 3), "all": 2}},
    "5": {"yelp": dict.fromkeys(("trace-r", "trace-r-ln", "trace-r-rp", "trace-r+bn", "trace-p", "trace-p-sn"), 5)},
    "6": {"yelp": {f"{m}@{by}": 1 for m in METHODS[1:5] for by in ("greedy", "beam", "top_k")}},
    "5.2": {"all": {"all": 2}},
    "5.8": {"yelp": {"trace-p-1": 1, "trace-p-5": 1}},
}


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(FOLDER)


def row(published: Published, table: str, dataset: str, method: str, metric: str, paper: str = "trace") -> Printed:
    (found,) = [
        row
        for row in published.table(paper, table)
        if (row.dataset, row.method, row.metric) == (dataset, method, metric)
    ]
    return found


def test_shapes(published: Published) -> None:
    assert {row.table for row in published.rows if row.paper == "trace"} == set(SHAPES)
    for table, shape in SHAPES.items():
        found = Counter((row.dataset, row.method) for row in published.table("trace", table))
        assert found == {(d, method): n for d, methods in shape.items() for method, n in methods.items()}
    assert published.datasets("trace") == {"yelp", "yahoo", "writingprompts"}


@pytest.mark.parametrize(("table", "dataset", "method", "metric", "text"), SPOT)
def test_spot_values(published: Published, table: str, dataset: str, method: str, metric: str, text: str) -> None:
    found = row(published, table, dataset, method, metric)
    assert found.text == text and found.value == float(text)


def test_lookup_by_our_quantities(published: Published) -> None:
    found = published.find("yelp", "trace-r", "au_0.1", "trace")
    assert found and found.text == "32"
    assert published.find("yelp", "trace-r", "au_0.1") is None, "DELLA has no such row"
    bleu = published.find("writingprompts", "ind", "cbleu1", "trace")
    assert bleu and bleu.text == "31.17"


def test_mutual_information_above_its_caps_is_noted(published: Published) -> None:
    examples = {r.dataset: r.value for r in published.table("trace", "1") if r.metric == "test"}
    for mi in (r for r in published.table("trace", "2") if r.metric == "mi"):
        kl = row(published, "2", mi.dataset, mi.method, "kl")
        assert ("above the printed KL" in mi.note) == (mi.value > kl.value)
        assert ("above log N" in mi.note) == (mi.value > math.log(examples[mi.dataset]))
        assert ("no bound" in mi.note) == (mi.value > kl.value and mi.method in ("cgd", "trace-r", "trace-p"))


def test_tokens_implied_by_elbo_and_perplexity_are_noted(published: Published) -> None:
    """n ln PPL is about the ELBO: methods with [SEP] have more tokens than No Recurrence, by about one in ten."""
    for dataset in ("yelp", "yahoo"):

        def tokens(method: str, dataset: str = dataset) -> float:
            nelbo, ppl = (row(published, "2", dataset, method, metric) for metric in ("nelbo", "ppl"))
            return nelbo.value / math.log(ppl.value)

        reference = tokens("no-recurrence")
        for method in ("ind", "cgd", "trace-r", "trace-p"):
            ratio = tokens(method) / reference
            note = row(published, "2", dataset, method, "ppl").note
            assert 1.02 < ratio < 1.11
            assert f"is {tokens(method):.1f} tokens a text, {ratio:.2f} times the {reference:.1f}" in note


def test_kl_below_the_papers_own_bound_is_noted(published: Published) -> None:
    latent, gamma = (row(published, "5.2", "all", "all", metric).value for metric in ("latent", "gamma"))
    for dataset in ("yelp", "yahoo"):
        for method in ("trace-r", "trace-p"):
            kl = row(published, "2", dataset, method, "kl")
            assert kl.value < latent * gamma**2 / 2 == 144 and "= 144 nats" in kl.note


def test_numbers_that_stand_twice(published: Published) -> None:
    """Table 5's first rows are Table 2's, Table 6's top-k is its Dist; GPT-2's rows are DELLA's but where noted."""
    for method in ("trace-r", "trace-p"):
        for metric in ("nelbo", "cnd", "self_bleu", "dist", "js"):
            assert row(published, "5", "yelp", method, metric).text == row(published, "2", "yelp", method, metric).text
    for method in METHODS[1:5]:
        top_k = row(published, "6", "yelp", f"{method}@top_k", "dist")
        assert top_k.text == row(published, "2", "yelp", method, "dist").text
    for table, theirs in (("2", "1"), ("3", "2")):
        for ours in (r for r in published.table("trace", table) if r.method == "gpt2"):
            before = row(published, theirs, ours.dataset, "gpt2", ours.metric, paper="della")
            assert ("DELLA prints" in ours.note) == (ours.text != before.text)
            assert not ours.note or ours.note.endswith(before.text)


def test_a_similarity_above_one_is_noted(published: Published) -> None:
    for js in (r for r in published.rows if (r.paper, r.metric) == ("trace", "js")):
        assert ("above 1" in js.note) == (js.value > 1)
