"""Human evaluation: sheets out, simulated annotators, statistics back, held against libraries."""

from __future__ import annotations

import csv
import json
import random
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bench.cli import main
from bench.errors import BenchError
from bench.files import sha256, write_json
from bench.humaneval.agreement import cohen_kappa, fleiss_kappa, mean_cohen_kappa, wilcoxon
from bench.humaneval.design import design
from bench.humaneval.report import by_item
from bench.metrics.significance import holm
from bench.paths import CellPaths
from bench.samples import write_samples
from tests.browser import CHROMIUM, browser

SCALE = range(1, 6)
METHODS = ("gpt2", "memory", "della")
HOSTILE = '</script><script>alert("1")</script>, "quoted"\nsecond line'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a suite whose samples are there."""
    monkeypatch.chdir(tmp_path)
    Path("sheets.yaml").write_text(
        "name: s\ndatasets: [sotu-story]\nmethods: [gpt2, memory, della]\nseeds: [1]\nmetrics: [elbo]\n"
    )
    sources = [f"source {i}" for i in range(40)]
    for method in METHODS:
        path = CellPaths("s", "sotu-story", method, 1).samples
        path.parent.mkdir(parents=True)
        write_samples(path, [f"{method} wrote {i} {HOSTILE}" for i in range(40)], "top-k", 1, sources)
    return tmp_path


def export(*more: str) -> int:
    cell = ("--suite", "sheets.yaml", "--dataset", "sotu-story", "--methods", ",".join(METHODS))
    return main(["humaneval", "export", *cell, "--out", "sheets", *more])


def rows_of(file: str | Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def annotate(skill: dict[str, float], noise: float, seed: int = 0) -> None:
    """Fill in all sheets: a method's level, an item's, and an annotator's noise, rounded to the scale."""
    draw = random.Random(seed)
    key = {row["code"]: row for row in rows_of("sheets/key.csv")}
    of_item = {row["item"]: draw.gauss(0, 0.7) for row in key.values()}
    for file in sorted(Path("sheets").glob("sheet-*.csv")):
        rows = rows_of(file)
        for row in rows:
            of = key[row["code"]]
            for name in ("fluency", "coherence", "novelty"):
                value = skill[of["method"]] + of_item[of["item"]] + draw.gauss(0, noise)
                row[name] = str(min(5, max(1, round(value))))
        with open(file, "w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def scored(capsys: pytest.CaptureFixture[str], *more: str) -> dict[tuple[str, str], dict[str, str]]:
    assert main(["humaneval", "score", "sheets", "--out", "out.md", *more]) == 0, capsys.readouterr().err
    capsys.readouterr()
    return {(row["criterion"], row["method"]): row for row in rows_of("out.csv")}


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 7), st.integers(2, 6), st.integers(0, 99))
def test_everyone_scores_as_much_and_every_item_as_often(
    items: int, annotators: int, ratings: int, m: int, seed
) -> None:
    texts = {f"m{i}": [f"{i} {j}" for j in range(30)] for i in range(m)}
    if ratings > annotators:
        with pytest.raises(BenchError, match="expected 1 to"):
            design(texts, None, items, annotators, ratings, seed)
        return
    plan = design(texts, None, items, annotators, ratings, seed)
    loads = [len(sheet) for sheet in plan.sheets]
    assert max(loads) - min(loads) <= 1 and sum(loads) == items * ratings
    times = Counter(code for sheet in plan.sheets for item in sheet for code in item)
    assert set(times.values()) == {ratings} and len(times) == items * m
    for sheet in plan.sheets:
        for item in sheet:
            assert len({plan.samples[code].item for code in item}) == 1, "an item is scored as a whole"
            assert {plan.samples[code].method for code in item} == set(texts)
        assert len({plan.samples[item[0]].item for item in sheet}) == len(sheet), "and by nobody twice"
    assert plan == design(texts, None, items, annotators, ratings, seed)


def test_neither_a_code_nor_a_place_tells_whose_a_text_is() -> None:
    """Over many designs methods have small codes and first places as often as each other, and items first places."""
    texts = {method: [method] * 8 for method in "abc"}
    small, first, early = Counter[str](), Counter[str](), Counter[int]()
    for seed in range(200):
        plan = design(texts, None, items=8, annotators=2, ratings=2, seed=seed)
        small.update(plan.samples[code].method for code in sorted(plan.samples)[:8])
        first.update(plan.samples[item[0]].method for item in plan.sheets[0])
        one, other = ([plan.samples[item[0]].item for item in sheet] for sheet in plan.sheets)
        assert sorted(one) == sorted(other) == list(range(8)) and one != other, "in an order of the annotator's own"
        early.update(one[:1])
    assert (len(small), len(first), len(early)) == (3, 3, 8)
    for counts in (small, first, early):
        assert chisquare(list(counts.values())).pvalue > 0.001


def test_equal_differences_of_means_over_three_have_one_rank() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(3, 16, (2, 30))
        assert wilcoxon(one / 3, other / 3) == wilcoxon(one.astype(float), other.astype(float))


def test_sheets_are_blind_and_escaped(folder: Path) -> None:
    assert export("--items", "20") == 0
    orders = set()
    for number in range(1, 6):
        rows = rows_of(f"sheets/sheet-{number}.csv")
        assert len(rows) == 20 * 2 / 5 * 3 and set(rows[0]) == {
            *("item", "code", "source", "text", "fluency", "coherence", "novelty")
        }
        orders |= {tuple(row["text"].split()[0] for row in rows[i : i + 3]) for i in range(0, len(rows), 3)}
        page = Path(f"sheets/sheet-{number}.html").read_text()
        assert all(page.count(f'name="{row["code"]} novelty"') == 5 for row in rows)
        assert page.count("<script>") == 1 and "alert(&#34;1&#34;)" in page and "http" not in page
    assert len(orders) == 6, "every order of three methods occurs"
    assert not any(method in json.dumps([row["code"] for row in rows]) for method in METHODS)


def test_human_texts_are_those_written_for_the_source(folder: Path) -> None:
    """Their samples are validation texts, which were written for other sources."""
    data = CellPaths("s", "sotu-story", "", 0).data
    data.mkdir(parents=True)
    (data / "test.txt").write_text("".join(f"source {i}\thuman wrote {i}\n" for i in range(40)))
    splits = {"test": {"sha256": sha256(data / "test.txt")}}
    write_json(data / "manifest.json", {"conditional": True, "splits": splits})
    for method in ("human", "copy"):
        path = CellPaths("s", "sotu-story", method, 0).samples
        path.parent.mkdir(parents=True)
        sources = [f"source {i}" for i in range(40)] if method == "copy" else None
        write_samples(path, [f"{method} of another text"] * 40, "valid", 0, sources)
    methods = ("--methods", "gpt2,human,copy")
    assert export(*methods, "--items", "20") == 0
    key = {row["code"]: row["method"] for row in rows_of("sheets/key.csv")}
    shown = {row["code"]: row for number in range(1, 6) for row in rows_of(f"sheets/sheet-{number}.csv")}
    texts = {row["source"]: row["text"] for code, row in shown.items() if key[code] == "human"}
    assert texts and all(text == source.replace("source", "human wrote") for source, text in texts.items())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_form_keeps_and_saves_what_is_scored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a browser: nothing is saved before all is scored, a reload loses nothing, and the file is one to score."""
    assert export("--items", "6", "--annotators", "2") == 0
    for sheet in (1, 2):
        blank = Path(f"sheets/sheet-{sheet}.csv")
        rows = rows_of(blank)
        blank.unlink()
        with browser() as page:
            page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder / "sheets"))
            page.open((folder / f"sheets/sheet-{sheet}.html").as_uri())
            said, save = "document.getElementById('done').textContent", "document.querySelector('button').click()"
            assert page.run(said) == f"0 of {len(rows)} texts are scored"
            page.run(save)
            page.run("form.read.click(); form.name.value = 'A. Notator'")
            for number, row in enumerate(rows):
                for criterion in ("fluency", "coherence", "novelty"):
                    value = 1 + (number + sheet + len(criterion)) % 5
                    page.run(f"form.querySelector(`[name='{row['code']} {criterion}'][value='{value}']`).click()")
            assert page.run(said) == f"{len(rows)} of {len(rows)} texts are scored"
            page.open((folder / f"sheets/sheet-{sheet}.html").as_uri())
            assert page.run(said) == f"{len(rows)} of {len(rows)} texts are scored"
            assert page.run("form.name.value") == "A. Notator" and page.run("form.checkValidity()") is False
            page.run(save)
            assert not blank.exists(), "saved before the warning was read, again"
            page.run(f"form.read.click(); {save}")
            ends = time.monotonic() + 30
            while not blank.exists():
                assert time.monotonic() < ends
                time.sleep(0.05)
            assert page.errors == []
        saved = rows_of(blank)
        assert [row["code"] for row in saved] == [row["code"] for row in rows]
        for number, row in enumerate(saved):
            assert [int(row[c]) for c in ("fluency", "coherence", "novelty")] == [
                1 + (number + sheet + len(c)) % 5 for c in ("fluency", "coherence", "novelty")
            ]
    assert set(method for _, method in scored(capsys)) == set(METHODS)


def test_annotators_who_agree_on_a_difference_are_heard(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("--items", "40") == 0
    annotate({"gpt2": 2.0, "memory": 3.0, "della": 3.1}, noise=0.4)
    rows = scored(capsys)
    means = {method: float(rows["novelty", method]["mean"]) for method in METHODS}
    assert means["gpt2"] < 2.4 and means["memory"] > 2.6
    assert float(rows["novelty", "gpt2"]["p_holm"]) < 0.001 and rows["novelty", "della"]["against"] == ""
    assert {row["against"] for row in rows.values()} == {"", "della"} and rows["novelty", "gpt2"]["items"] == "40"
    low, high = (float(rows["novelty", "gpt2"][end]) for end in ("ci95_low", "ci95_high"))
    assert low < means["gpt2"] < high
    text = Path("out.md").read_text()
    assert "Fleiss" in text and "Cohen" in text
    assert {row["against"] for row in scored(capsys, "--against", "gpt2").values()} == {"", "gpt2"}


def test_what_the_scores_choose_to_test_against_counts_as_a_choice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three pairs of three methods, where two tests were planned."""
    assert export("--items", "40") == 0
    annotate({"gpt2": 2.6, "memory": 2.9, "della": 3.1}, noise=0.8)
    found = {chosen: scored(capsys, *(() if chosen else ("--against", "della"))) for chosen in (True, False)}
    for criterion in ("fluency", "coherence", "novelty"):
        of = {chosen: [rows[criterion, method] for method in ("gpt2", "memory")] for chosen, rows in found.items()}
        p = [float(row["p"]) for row in of[True]]
        assert [row["against"] for rows in of.values() for row in rows] == ["della"] * 4
        assert p == [float(row["p"]) for row in of[False]], "as they are, the same"
        assert [float(row["p_holm"]) for row in of[False]] == pytest.approx(holm(p))
        smallest = min(range(2), key=lambda i: p[i])
        assert float(of[True][smallest]["p_holm"]) == pytest.approx(min(1, 3 * p[smallest]))


def test_annotators_who_guess_agree_by_chance(folder: Path) -> None:
    from bench.humaneval.sheets import read_sheets

    assert export("--items", "40", "--ratings", "5") == 0
    annotate(dict.fromkeys(METHODS, 3.0), noise=50)
    _, scores = read_sheets(Path("sheets"))
    kappa = fleiss_kappa(scores["fluency"], SCALE)
    assert kappa is not None and abs(kappa) < 0.1
    annotate({"gpt2": 1.0, "memory": 3.0, "della": 5.0}, noise=0.0)
    _, scores = read_sheets(Path("sheets"))
    assert fleiss_kappa(scores["fluency"], SCALE) == pytest.approx(1)
    assert mean_cohen_kappa(scores["fluency"], SCALE) == pytest.approx(1)


ratings = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30)


@given(ratings)
def test_cohen_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    one, other = zip(*pairs, strict=True)
    for weighted, weights in ((False, None), (True, "quadratic")):
        ours = cohen_kappa(one, other, SCALE, weighted)
        if len({*one, *other}) == 1:
            assert ours is None
        elif ours is not None:
            theirs = cohen_kappa_score(one, other, labels=list(SCALE), weights=weights)
            assert ours == pytest.approx(theirs, abs=1e-12)


@given(st.lists(st.lists(st.integers(1, 5), min_size=3, max_size=3), min_size=2, max_size=20))
def test_fleiss_is_nltks(table: list[list[int]]) -> None:
    from nltk.metrics.agreement import AnnotationTask

    ours = fleiss_kappa({str(i): {f"a{j}": s for j, s in enumerate(row)} for i, row in enumerate(table)}, SCALE)
    if len({score for row in table for score in row}) == 1:
        assert ours is None
        return
    triples = [(f"a{j}", str(i), score) for i, row in enumerate(table) for j, score in enumerate(row)]
    assert ours == pytest.approx(AnnotationTask(triples).pi(), abs=1e-12)


def test_an_items_score_is_the_mean_over_its_annotators() -> None:
    key = {"a": (7, "gpt2"), "b": (9, "gpt2"), "c": (7, "della")}
    found = by_item({"a": {"s1": 1, "s2": 4}, "b": {"s1": 5}, "c": {"s2": 3}}, key)
    assert found == {"gpt2": {7: 2.5, 9: 5.0}, "della": {7: 3.0}}


def test_wilcoxon_by_hand() -> None:
    ones = np.arange(1.0, 6)
    assert wilcoxon(ones, ones) == 1.0
    assert wilcoxon(ones + np.arange(1, 6), ones) == pytest.approx(2 / 2**5), "five differences of one sign"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace(",5,", ",6,", 1), "is '6': expected 1 to 5"),
        (lambda text: text.replace("novelty", "newness"), "has no column 'novelty'"),
        (lambda text: text.replace("\n", "\nx,zzz,s,t,1,1,1\n", 1), "code 'zzz' is not in key.csv"),
        (lambda text: text.split("\n")[0] + "\n", "no sheet is filled in"),
        (
            lambda text: re.sub(r",\d,(\d)\n", r",,\1\n", text),
            "no sheet has a score of coherence for della,",
        ),
    ],
)
def test_a_spoilt_sheet_is_one_line(folder: Path, spoil, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("--items", "4", "--annotators", "1", "--ratings", "1") == 0
    annotate(dict.fromkeys(METHODS, 5.0), noise=0.0)
    sheet = Path("sheets/sheet-1.csv")
    sheet.write_text(spoil(sheet.read_text().replace("\r\n", "\n")))
    capsys.readouterr()
    assert main(["humaneval", "score", "sheets"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_spoilt_key_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("--items", "4", "--annotators", "1", "--ratings", "1") == 0
    annotate(dict.fromkeys(METHODS, 5.0), noise=0.0)
    key = Path("sheets/key.csv")
    head, line, *rest = key.read_text().splitlines()
    code, _, method = line.split(",")
    key.write_text("\n".join((head, f"{code},none,{method}", *rest)) + "\n")
    capsys.readouterr()
    assert main(["humaneval", "score", "sheets"]) == 2
    assert capsys.readouterr().err == "bench: sheets/key.csv:2: item is 'none': expected a whole number\n"


def test_a_sheet_that_is_saved_again_is_no_second_annotator(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is beside an empty one all that there is of its annotator; beside a filled one it is refused."""
    assert export("--items", "8", "--annotators", "2", "--ratings", "2") == 0
    sheet, again = Path("sheets/sheet-1.csv"), Path("sheets/sheet-1 (1).csv")
    empty = sheet.read_bytes()
    annotate(dict(zip(METHODS, (2.0, 3.0, 4.0), strict=True)), noise=0.5)
    before = scored(capsys)
    sheet.rename(again)
    sheet.write_bytes(empty)
    assert scored(capsys) == before
    sheet.write_bytes(again.read_bytes())
    assert main(["humaneval", "score", "sheets"]) == 2
    said = capsys.readouterr().err
    assert "sheet-1 (1).csv" in said and "by one annotator; keep one of them" in said and said.count("\n") == 1


def test_sheets_go_through_a_spreadsheet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They say that they are UTF-8, hold no formula, and may come back with semicolons."""
    for method in METHODS:
        sources = [f"source {i}" for i in range(40)]
        write_samples(
            CellPaths("s", "sotu-story", method, 1).samples, ["=1+0 ß", "@a", "-b", "plain"] * 10, "top-k", 1, sources
        )
    assert export("--items", "8") == 0
    assert Path("sheets/sheet-1.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    shown = {row["text"] for number in range(1, 6) for row in rows_of(f"sheets/sheet-{number}.csv")}
    assert shown == {"'=1+0 ß", "'@a", "'-b", "plain"}
    annotate(dict(zip(METHODS, (2.0, 3.0, 4.0), strict=True)), noise=0.5)
    before = scored(capsys)
    for file in Path("sheets").glob("sheet-*.csv"):
        rows = rows_of(file)
        with open(file, "w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
    assert scored(capsys) == before


def test_filled_sheets_are_never_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("--items", "4") == 0
    assert export("--items", "4") == 2 and "is there already" in capsys.readouterr().err
    for more, message in (
        (("--items", "99"), "every method has 40 texts"), (("--criteria", "fluencey"), "did you mean 'fluency'?"),
        (("--ratings", "9"), "expected 1 to 5"),
    ):  # fmt: skip
        assert main(["humaneval", "export", "--suite", "sheets.yaml", "--dataset", "sotu-story", "--methods",
                     "gpt2,della", "--out", "other", *more]) == 2  # fmt: skip
        assert message in capsys.readouterr().err and not Path("other").exists()
