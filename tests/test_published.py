"""The printed numbers, held against the paper's text."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.report.collect import registered
from bench.report.published import METRICS, PRINTED_AS, Printed, Published, load_published

FOLDER = Path(__file__).parents[1] / "results" / "published"
HEADER = "paper,table,dataset,method,metric,value,note\n"
VAES = ("embed", "memory", "softmax", "della")

SPOT = [  # read off the paper's text, by eye: table, dataset, method, metric, text
    ("1", "yelp", "gpt2", "ppl", "22.13"),
    ("1", "yelp", "gpt2", "js", "0.51"),
    ("1", "yelp", "optimus", "nelbo", "344.10"),
    ("1", "yelp", "embed", "kl", "4.77"),
    ("1", "yelp", "memory", "au_0.2", "11"),
    ("1", "yelp", "softmax", "bleu", "56.83"),
    ("1", "yelp", "della", "ppl", "12.35"),
    ("1", "yelp", "della", "mauve", "0.55"),
    ("1", "yahoo", "gpt2", "dist", "21.07"),
    ("1", "yahoo", "memory", "self_bleu", "54.59"),
    ("1", "yahoo", "optimus", "mi", "8.85"),
    ("1", "yahoo", "della", "cnd", "0.19"),
    ("2", "writingprompts", "gpt2", "bleu", "27.89"),
    ("2", "writingprompts", "embed", "rouge1", "36.17"),
    ("2", "writingprompts", "memory", "dist", "12.90"),
    ("2", "writingprompts", "softmax", "rougeL", "16.30"),
    ("2", "writingprompts", "della", "kl", "28.14"),
    ("2", "writingprompts", "della", "au_0.2", "8"),
    ("2", "cnn_dailymail", "bart", "rouge2", "19.82"),
    ("2", "cnn_dailymail", "embed", "kl", "0.0"),
    ("2", "cnn_dailymail", "memory", "js", "0.11"),
    ("2", "cnn_dailymail", "softmax", "bertscore", "87.00"),
    ("2", "cnn_dailymail", "della", "self_bleu", "29.07"),
    ("3", "writingprompts", "gpt2", "fluency", "1.83"),
    ("3", "writingprompts", "memory", "coherence", "2.28"),
    ("3", "writingprompts", "softmax", "novelty", "2.85"),
    ("3", "cnn_dailymail", "bart", "informativeness", "3.12"),
    ("3", "cnn_dailymail", "embed", "novelty", "3.50"),
    ("3", "cnn_dailymail", "della", "coherence", "4.33"),
    ("3", "conditional", "all", "p_value", "0.002"),
    ("3", "conditional", "all", "kappa", "0.64"),
    ("4", "yelp", "della-ltp", "ppl", "12.68"),
    ("4", "yelp", "della-lw", "nelbo", "324.45"),
    ("4", "yelp", "della-separate", "mi", "9.88"),
    ("4", "yelp", "della-kl-first", "kl", "0.15"),
    ("4", "yelp", "della-kl-last", "kl", "0.73"),
    ("4", "yelp", "embed-384", "au_0.2", "0"),
    ("4", "yelp", "memory-384", "mi", "0.25"),
    ("4", "yelp", "softmax-384", "mi", "7.15"),
    ("5", "yelp", "embed+none", "nelbo", "339.12"),
    ("5", "yelp", "embed+bow", "ppl", "19.98"),
    ("5", "yelp", "memory+annealing+bow", "au_0.2", "28"),
    ("5", "yelp", "softmax+none", "mi", "0.3"),
    ("5", "yelp", "softmax+annealing+bn", "kl", "21.25"),
    ("5", "yelp", "della+none", "ppl", "17.18"),
    ("5", "yelp", "della+bow", "mi", "9.25"),
    ("5", "yelp", "della+annealing+bow", "kl", "32.79"),
    ("5", "yelp", "memory+medium", "nelbo", "317.24"),
    ("5", "yelp", "della+medium", "mi", "23.69"),
    ("6", "yelp", "della", "gpu_hours", "20"),
    ("6", "yahoo", "della", "gpu_hours", "20"),
    ("6", "ptb", "della", "gpu_hours", "6"),
    ("6", "snli", "della", "gpu_hours", "12"),
    ("6", "cnn_dailymail", "della", "gpu_hours", "40"),
    ("6", "writingprompts", "della", "gpu_hours", "170"),
    ("6", "quora", "della", "gpu_hours", "5"),
    ("7", "yelp", "data", "length", "96"),
    ("7", "ptb", "data", "train", "42000"),
    ("7", "snli", "data", "test", "10000"),
    ("7", "cnn_dailymail", "data", "source_length", "790"),
    ("7", "cnn_dailymail", "data", "test", "11000"),
    ("7", "writingprompts", "data", "length", "674"),
    ("7", "quora", "data", "valid", "5000"),
    ("8", "ptb", "gpt2", "mauve", "0.73"),
    ("8", "ptb", "memory", "nelbo", "90.25"),
    ("8", "ptb", "softmax", "au_0.2", "21"),
    ("8", "ptb", "della", "kl", "12.46"),
    ("8", "snli", "gpt2", "bleu", "63.57"),
    ("8", "snli", "softmax", "ppl", "14.21"),
    ("8", "snli", "della", "self_bleu", "36.85"),
    ("8", "snli", "della", "mi", "16.58"),
    ("9", "quora", "bart", "bleu", "64.34"),
    ("9", "quora", "embed", "rouge1", "63.12"),
    ("9", "quora", "memory", "bertscore", "94.65"),
    ("9", "quora", "softmax", "rouge2", "39.92"),
    ("9", "quora", "della", "rougeL", "61.03"),
    ("9", "quora", "della", "kl", "3.88"),
    ("5.1", "writingprompts", "data", "train", "222614"),
    ("A.1", "unconditional", "della", "parameters", "193353984"),
    ("A.1", "conditional", "della", "parameters", "195180114"),
    ("A.3", "all", "all", "self_bleu_direction", "1"),
    ("Tables 1, 2, 8", "all", "all", "self_bleu_direction", "-1"),
]

UNCONDITIONAL = {"gpt2": 7, "optimus": 4, **dict.fromkeys(VAES, 11)}
TRICKS = ("+none", "+bow", "", "+annealing+bow", "+annealing+bn", "+medium")
ABLATIONS = (
    *("della", "della-ltp", "della-lw", "della-separate", "della-kl-first", "della-kl-last"),
    *("embed-384", "memory-384", "softmax-384"),
)
SHAPES: dict[str, dict[str, dict[str, int]]] = {  # table -> dataset -> method -> numbers
    "1": {"yelp": UNCONDITIONAL, "yahoo": UNCONDITIONAL},
    "2": {
        "writingprompts": {"gpt2": 8, **dict.fromkeys(VAES, 10)},
        "cnn_dailymail": {"bart": 8, **dict.fromkeys(VAES, 10)},
    },
    "3": {
        "writingprompts": dict.fromkeys(("gpt2", *VAES), 3),
        "cnn_dailymail": dict.fromkeys(("bart", *VAES), 3),
        "conditional": {"all": 2},
    },
    "4": {"yelp": dict.fromkeys(ABLATIONS, 5)},
    "5": {"yelp": {vae + t: 5 for vae in VAES for t in TRICKS if (vae, t) != ("della", "+annealing+bn")}},
    "6": {d: {"della": 1} for d in ("yelp", "yahoo", "ptb", "snli", "cnn_dailymail", "writingprompts", "quora")},
    "7": {
        **{dataset: {"data": 4} for dataset in ("yelp", "yahoo", "ptb", "snli")},
        **{dataset: {"data": 5} for dataset in ("cnn_dailymail", "writingprompts", "quora")},
    },
    "8": {"ptb": UNCONDITIONAL, "snli": UNCONDITIONAL},
    "9": {"quora": {"bart": 5, **dict.fromkeys(VAES, 6)}},
    "5.1": {"cnn_dailymail": {"data": 1}, "writingprompts": {"data": 1}},
    "A.1": {"unconditional": {"della": 1}, "conditional": {"della": 1}},
    "A.3": {"all": {"all": 1}},
    "Tables 1, 2, 8": {"all": {"all": 1}},
}


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(FOLDER)


@pytest.mark.parametrize("table", SHAPES)
def test_shape(published: Published, table: str) -> None:
    found = Counter((row.dataset, row.method) for row in published.table("della", table))
    assert found == {(d, method): n for d, methods in SHAPES[table].items() for method, n in methods.items()}


def test_nothing_else_is_there(published: Published) -> None:
    rows = [row for row in published.rows if row.paper == "della"]
    assert {row.table for row in rows} == set(SHAPES)
    printed = {row.metric for row in published.rows}
    assert printed == set(METRICS), "every metric is printed somewhere"
    assert set(PRINTED_AS.values()) <= set(METRICS)
    assert published.datasets() == {"yelp", "yahoo", "ptb", "snli", "writingprompts", "cnn_dailymail", "quora"}


def test_our_quantities_are_registered() -> None:
    assert set(PRINTED_AS) <= set(registered())


@pytest.mark.parametrize(("table", "dataset", "method", "metric", "text"), SPOT)
def test_spot_values(published: Published, table: str, dataset: str, method: str, metric: str, text: str) -> None:
    (row,) = [
        r for r in published.table("della", table) if (r.dataset, r.method, r.metric) == (dataset, method, metric)
    ]
    assert row.text == text and row.value == float(text)


def test_every_table_is_spot_checked() -> None:
    counts = Counter(table for table, *_ in SPOT)
    assert all(counts[table] >= 6 for table in "123456789") and set(counts) == set(SHAPES)


def test_lookup_by_our_quantities(published: Published) -> None:
    for dataset, method, quantity, text in (
        ("yelp", "softmax", "bleu4", "56.83"),
        ("yahoo", "gpt2", "dist2", "21.07"),
        ("snli", "della", "self_bleu4", "36.85"),
        ("quora", "bart", "cbleu1", "64.34"),
        ("cnn_dailymail", "della", "bertscore_f1", "88.09"),
        ("writingprompts", "della", "rougeL", "17.20"),
        ("yelp", "memory+none", "kl", "0.00"),
    ):
        row = published.find(dataset, method, quantity)
        assert row is not None and row.text == text


def test_lookup_goes_through_the_tables_in_order(published: Published) -> None:
    first, fourth = published.find("yelp", "della", "ppl"), published.find("yelp", "della", "ppl", table="4")
    assert first and fourth and (first.table, fourth.table) == ("1", "4")
    ablation = published.find("yelp", "della-ltp", "ppl")
    assert ablation and ablation.table == "4"
    assert published.find("yelp", "della-ltp", "ppl", table="1") is None
    assert published.find("yelp", "della", "ppl", paper="nobody") is None
    assert published.table("della", "10") == [] == published.table("nobody", "1")
    assert [row.metric for row in published.table("della", "4")[:5]] == ["ppl", "nelbo", "kl", "mi", "au_0.2"]


def test_a_number_printed_twice_is_the_same_or_noted(published: Published) -> None:
    printed: dict[tuple[str, ...], list[Printed]] = {}
    for row in (row for row in published.rows if row.paper == "della" and row.metric != "self_bleu_direction"):
        printed.setdefault((row.paper, row.dataset, row.method, row.metric), []).append(row)
    repeated = [rows for rows in printed.values() if len(rows) > 1]
    assert len(repeated) == 4 * 5 + 2, "Yelp's representation columns of four models; two training sets"
    for rows in repeated:
        assert len({row.table for row in rows}) == len(rows)
        if len({row.text for row in rows}) == 1:
            assert len({row.note for row in rows}) == 1
        else:
            assert rows[0].metric == "train" and all("Table 7" in row.note or "Sec. 5.1" in row.note for row in rows)


def test_printed_errors_are_noted(published: Published) -> None:
    """Table 8's PTB rows of Optimus and Embed repeat Yelp's; SNLI's Memory repeats Yahoo's diversity."""
    for method, quantities in (("optimus", "ppl nelbo kl mi"), ("embed", "ppl nelbo kl mi au_0.2")):
        for quantity in quantities.split():
            ptb, yelp = published.find("ptb", method, quantity), published.find("yelp", method, quantity)
            assert ptb and yelp and ptb.text == yelp.text and "repeats Yelp's row" in ptb.note
    for quantity in ("self_bleu4", "dist2", "js"):
        snli, yahoo = published.find("snli", "memory", quantity), published.find("yahoo", "memory", quantity)
        assert snli and yahoo and snli.text == yahoo.text and "repeats Yahoo's" in snli.note
    embed = published.find("ptb", "embed", "bleu4")
    assert embed and not embed.note, "only the likelihood columns repeat"


def test_mutual_information_above_its_caps_is_noted(published: Published) -> None:
    """MI <= log N, with Table 7's N, and MI <= KL: every printed MI above one of them says so, and no other."""
    examples = {row.dataset: row.value for row in published.table("della", "7") if row.metric == "test"}
    for row in (row for row in published.rows if (row.paper, row.metric) == ("della", "mi")):
        kl = published.find(row.dataset, row.method, "kl", table=row.table)
        assert kl and ("above the printed KL" in row.note) == (row.value > kl.value)
        assert (f"above log N = {math.log(examples[row.dataset]):.2f}" in row.note) == (
            row.value > math.log(examples[row.dataset])
        )


def test_elbo_and_perplexity_that_cannot_both_hold_are_noted(published: Published) -> None:
    """n ln PPL <= ELBO for the n tokens of a text: a row that implies fewer than its dataset's reference is noted."""

    def tokens(dataset: str, method: str, table: str) -> float:
        nelbo, ppl = (published.find(dataset, method, quantity, table=table) for quantity in ("nelbo", "ppl"))
        assert nelbo and ppl and ("ELBO / ln PPL" in nelbo.note) == ("ELBO / ln PPL" in ppl.note)
        return nelbo.value / math.log(ppl.value)

    reference = {"yelp": tokens("yelp", "memory+none", "5"), "yahoo": tokens("yahoo", "memory", "1")}
    reference |= {dataset: tokens(dataset, "memory", "8") for dataset in ("ptb", "snli")}
    noted = set()
    for row in (row for row in published.rows if (row.paper, row.metric) == ("della", "nelbo")):
        implied, least = tokens(row.dataset, row.method, row.table), reference[row.dataset]
        ppl = published.find(row.dataset, row.method, "ppl", table=row.table)
        assert ("ELBO / ln PPL" in row.note) == (implied < 0.99 * least)
        if ppl and implied < 0.99 * least:
            noted.add(row.method)
            assert f"is {implied:.1f} tokens a text against {least:.1f}" in row.note
            assert f"an NLL of {least * math.log(ppl.value):.1f}" in row.note
    assert noted == {"softmax+none"} | {
        "della" + of for of in ("", "-ltp", "-separate", "-kl-first", "-kl-last", "+annealing+bow", "+medium")
    }


def test_variants_stand_beside_the_printed_method(published: Published) -> None:
    assert published.find("yelp", "della@paper", "ppl") == published.find("yelp", "della", "ppl")
    assert published.find("yelp", "lstm-vae", "ppl") is None
    assert published.find("yelp", "della", "au_0.01") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n", "expected the columns"),
        (HEADER + "della,1,yelp,della,ppl,12.3x,\n", "'12.3x' is not a number"),
        (HEADER + "della,1,yelp,della,pll,12.3,\n", "unknown metric 'pll'; did you mean 'ppl'?"),
        (HEADER + "della,1,yelp,della,ppl\n", "5 columns, expected 7"),
        (HEADER + "della,1,,della,ppl,1,\n", "'dataset' is empty"),
        (HEADER + 2 * "della,1,yelp,della,ppl,1,\n", ":3: della/1/yelp/della/ppl is given twice"),
    ],
)
def test_bad_rows_are_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BenchError) as error:
        load_published(tmp_path)
    assert complaint in str(error.value) and "t.csv" in str(error.value) and "\n" not in str(error.value)
