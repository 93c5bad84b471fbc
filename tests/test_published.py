"""The printed numbers, held against the paper's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.report.published import METRICS, Published, load_published

FOLDER = Path(__file__).parents[1] / "results" / "published"
HEADER = "paper,table,dataset,method,metric,value,note\n"

SPOT = [  # read off the paper's pages, by eye
    ("yelp", "gpt2", "ppl", "22.13"),
    ("yelp", "gpt2", "js", "0.51"),
    ("yelp", "optimus", "nelbo", "344.10"),
    ("yelp", "embed", "kl", "4.77"),
    ("yelp", "memory", "au_0.2", "11"),
    ("yelp", "softmax", "bleu4", "56.83"),
    ("yelp", "della", "ppl", "12.35"),
    ("yelp", "della", "mauve", "0.55"),
    ("yahoo", "gpt2", "dist2", "21.07"),
    ("yahoo", "memory", "self_bleu4", "54.59"),
    ("yahoo", "optimus", "mi", "8.85"),
    ("yahoo", "della", "cnd", "0.19"),
    ("ptb", "gpt2", "mauve", "0.73"),
    ("ptb", "memory", "nelbo", "90.25"),
    ("ptb", "softmax", "au_0.2", "21"),
    ("ptb", "della", "kl", "12.46"),
    ("snli", "gpt2", "bleu4", "63.57"),
    ("snli", "softmax", "ppl", "14.21"),
    ("snli", "della", "self_bleu4", "36.85"),
    ("snli", "della", "mi", "16.58"),
]


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(FOLDER)


def test_shape(published: Published) -> None:
    rows = [row for row in published.rows if row.paper == "della"]
    for table, datasets in (("1", {"yelp", "yahoo"}), ("8", {"ptb", "snli"})):
        for dataset in datasets:
            found = [row for row in rows if (row.table, row.dataset) == (table, dataset)]
            counts = {m: sum(row.method == m for row in found) for m in dict.fromkeys(row.method for row in found)}
            assert counts == {"gpt2": 7, "optimus": 4, "embed": 11, "memory": 11, "softmax": 11, "della": 11}
    assert len(rows) == 220 and {row.metric for row in rows} == set(METRICS)
    assert published.datasets() == {"yelp", "yahoo", "ptb", "snli"}


@pytest.mark.parametrize(("dataset", "method", "quantity", "text"), SPOT)
def test_spot_values(published: Published, dataset: str, method: str, quantity: str, text: str) -> None:
    row = published.find(dataset, method, quantity)
    assert row is not None and row.text == text and row.value == float(text)


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


def test_mutual_information_above_its_cap_is_noted(published: Published) -> None:
    above = [row for row in published.rows if row.metric == "mi" and "log N" in row.note]
    assert {row.dataset for row in above if row.method == "della"} == {"yelp", "yahoo", "ptb", "snli"}
    assert all(row.value > 8 for row in above)


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
        (HEADER + "della,1,yelp,della,ppl,1,\ndella,1,yelp,della,ppl,2,\n", ":3: della/yelp/della/ppl is given twice"),
    ],
)
def test_bad_rows_are_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BenchError) as error:
        load_published(tmp_path)
    assert complaint in str(error.value) and "t.csv" in str(error.value) and "\n" not in str(error.value)
