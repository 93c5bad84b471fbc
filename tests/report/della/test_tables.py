"""DELLA's result tables, of a run of invented numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.report.collect import gather
from bench.report.della.paper import TABLES, row_label
from bench.report.della.tables import build, render
from bench.report.model import Report
from bench.report.published import Published, load_published
from bench.schema import Selection, Suite
from tests import fake_run
from tests.report_reading import cell, rows, sets

NUMBERS = ("1", "2", "4", "5", "8", "9")
FORMATS = ("csv", "html", "md", "tex")


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(Path(__file__).parents[3] / "results" / "published")


def report(suite: Suite, number: str, published: Published | None = None) -> Report:
    return build(gather(suite, f"della/table{number}"), published or load_published(), TABLES[number])


@pytest.mark.parametrize("number", NUMBERS)
def test_every_format_is_written_and_no_column_is_empty(della: Suite, number: str) -> None:
    for out in (Path("a/t.md"), Path("b/t.md")):
        render(della, f"della/table{number}", out)
    assert sorted(path.name for path in Path("a").iterdir()) == [f"t.{form}" for form in FORMATS]
    for form in FORMATS:
        assert Path(f"a/t.{form}").read_bytes() == Path(f"b/t.{form}").read_bytes()
    for table in report(della, number).tables:
        for i, column in enumerate(table.columns):
            assert any(row.cells[i].text != "-" for row in rows(table).values()), (table.name, column.key)


LIKELIHOOD = ["ppl", "nelbo", "kl", "mi", "au_0.2"]
PAIRS = ["cbleu1", "sacrebleu", "rouge1", "rouge2", "rougeL", "bertscore_f1"]
DIVERSITY = ["self_bleu4", "dist2", "js"]


@pytest.mark.parametrize(
    ("number", "ours", "theirs", "heads"),
    [
        ("1", [*LIKELIHOOD, "bleu4", "cnd", *DIVERSITY],
         ["PPL", "ELBO", "KL", "MI", "AU", "BLEU", "CND", "MAUVE", "SB", "Dist", "JS"], [5, 3, 3]),
        ("2", [*PAIRS, *DIVERSITY, "kl", "au_0.2"],
         ["BLEU", "Rouge-1", "Rouge-2", "Rouge-L", "BERTScore", "SB", "Dist", "JS", "KL", "AU"], [5, 3, 2]),
        ("5", LIKELIHOOD, ["PPL", "ELBO", "KL", "MI", "AU"], []),
        ("9", [*PAIRS, "kl"], ["BLEU", "Rouge-1", "Rouge-2", "Rouge-L", "BERTScore", "KL"], []),
    ],
)  # fmt: skip
def test_the_columns_are_the_papers(
    della: Suite, number: str, ours: list[str], theirs: list[str], heads: list[int]
) -> None:
    tables = report(della, number).tables
    assert [column.key for column in tables[0].columns] == ours, "MAUVE was not measured"
    assert [column.label for column in tables[-1].columns] == theirs
    assert [head.span for head in tables[-1].heads] == heads


def test_rows_of_table_5_are_grouped_by_model_and_backbone(della: Suite) -> None:
    measured, ways, printed = report(della, "5").tables
    assert [group.label for group in measured.groups[:3]] == [
        "bbe: Embed", "bbe: DELLA", "bbe: backbone of 24 layers, width 768 (above: 12, 768)"
    ]  # fmt: skip
    assert [row.label for row in measured.groups[0].rows] == [
        "none (embed+none)", "+BOW (embed+bow)", "+Annealing (embed)", "+Annealing + BN (embed+annealing+bn)"
    ]  # fmt: skip
    assert [row.label for row in measured.groups[2].rows] == ["Embed (embed+medium)", "DELLA (della+medium)"]
    assert [group.label for group in ways.groups] == [group.label for group in measured.groups]
    best = [group.label for group in measured.groups[:3] for row in group.rows if row.cells[0].emphasis == "best"]
    assert best == ["bbe: Embed", measured.groups[2].label], "models of one backbone are ranked together"
    assert [group.label for group in printed.groups] == [
        "Yelp: Embed", "Yelp: Memory", "Yelp: Softmax", "Yelp: DELLA", "Yelp: GPT-2 medium (24 layers)"
    ]  # fmt: skip


def test_rows_have_the_papers_names_and_ours(della: Suite) -> None:
    measured, _, printed = report(della, "4").tables
    assert [row.label for row in measured.groups[0].rows] == [
        "DELLA", "-LTP (della-ltp)", "l = L KL (della-kl-last)", "Embed(96)"
    ]  # fmt: skip
    assert "Embed(384)" in [row.label for row in printed.groups[0].rows]
    assert any("-LTP:" in text for text in measured.paragraphs)
    assert [row_label(name) for name in ("mine", "mine-2", "mine+bow")] == ["mine", "mine-2", "mine +BOW"]


def test_rows_without_a_model_stand_apart_where_they_have_a_value(della: Suite) -> None:
    apart = {
        number: [row.label for row in rows(report(della, number).tables[0]).values() if row.apart]
        for number in ("1", "2", "4", "9")
    }
    assert apart == {"1": ["human"] * 2, "2": ["human", "copy"], "4": [], "9": ["copy"] * 2}
    captions = {number: report(della, number).tables[0].caption for number in apart}
    assert "copy:" in captions["9"] and "human:" not in captions["9"] and "human:" not in captions["4"]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_printed_table_is_whole(della: Suite, published: Published, number: str) -> None:
    table = report(della, number, published).tables[-1]
    printed = published.table("della", number)
    shown = [found for row in rows(table).values() for found in row.cells if found.text != "-"]
    assert sorted(found.text for found in shown) == sorted(row.text for row in printed)
    assert {text for _, text in table.footnotes} == {row.note for row in printed if row.note}
    assert f"Table {number}, not measured here" in table.caption


def test_a_printed_bleu_stands_beside_the_quantity_it_is(della: Suite, published: Published) -> None:
    conditional = report(della, "9", published).tables[0]
    assert cell(conditional, "quora", "BART", "cbleu1").printed == "64.34"
    assert cell(conditional, "quora", "BART", "sacrebleu").printed == ""
    assert cell(conditional, "kjv2bbe", "BART", "cbleu1").printed == ""
    unconditional = report(della, "1", published).tables[0]
    assert cell(unconditional, "yelp", "GPT-2", "bleu4").printed == "56.92"
    assert published.find("quora", "bart", "bleu4") is None is published.find("yelp", "gpt2", "cbleu1")


def test_numbers_are_taken_from_the_table_asked_for(della: Suite, published: Published) -> None:
    selection = Selection(datasets=["yelp"], methods=["gpt2", "della"])
    suite = della.model_copy(update={"reports": {"della/table8": selection}})
    measured, ways, _ = report(suite, "8", published).tables
    assert not any(found.printed for row in rows(measured).values() for found in row.cells), "Yelp is in Table 1"
    assert [column.label for column in ways.columns] == ["exact", "paper"] * 4


def test_bertscore_is_shown_as_printed_and_kept_as_measured(della: Suite, published: Published) -> None:
    found = report(della, "9", published)
    shown = cell(found.tables[0], "quora", "DELLA", "bertscore_f1")
    assert (shown.text, shown.printed) == ("64.50", "94.84")
    header = found.tidy_header
    kept = [dict(zip(header, row, strict=True)) for row in found.tidy_rows]
    ours = next(r for r in kept if (r["dataset"], r["method"], r["quantity"]) == ("quora", "della", "bertscore_f1"))
    assert (ours["value"], ours["published"], ours["published_note"]) == ("0.645", "94.84", "printed times 100")
    assert float(shown.spread) > 0 and float(shown.spread) == pytest.approx(100 * float(ours["half_width"]), abs=0.005)
    assert any(note.term == "BERTScore F1" and "shown times 100" in note.text
               for group in found.notes for note in group.notes)  # fmt: skip


def test_three_ways(della: Suite) -> None:
    ways = report(della, "1").tables[1]
    heads = [(head.label.split("\N{NO-BREAK SPACE}")[0], head.span) for head in ways.heads]
    assert heads == [("PPL (IW)", 3), ("−ELBO", 3), ("KL", 3), ("MI", 2), ("AU 0.2", 3)]
    conditional = report(della, "2").tables[1]
    assert [head.label for head in conditional.heads] == ["KL", "AU 0.2"]
    della_row = rows(conditional)["sotu-story", "DELLA"]
    assert [found.text for found in della_row.cells] == ["12.00", "4.00", "60.0", "20.0"]
    assert not any("PPL" in text for text in conditional.paragraphs)
    assert ("sotu-story", "GPT-2") not in rows(conditional), "it has neither KL nor AU"


def test_the_csv_holds_ours_and_the_papers(della: Suite, published: Published) -> None:
    render(della, "della/table9", Path("t.csv"))
    with open("t.csv", encoding="utf-8", newline="") as stream:
        kept = list(csv.DictReader(stream))
    keys = [(r["dataset"], r["method"], r["quantity"], r["protocol"]) for r in kept]
    assert len(set(keys)) == len(keys)
    assert kept[0]["quantity"] == "cbleu1", "the columns of the table come first"
    printed = [r for r in kept if r["protocol"] == "printed: della, Table 9"]
    assert len(printed) == len(published.table("della", "9")) and not any(r["value"] for r in printed)


@pytest.mark.parametrize(("form", "sign"), [("md", "- On bbe"), ("html", "<li>On bbe"), ("tex", "\\item On bbe")])
def test_what_the_numbers_say_is_in_every_format(della: Suite, form: str, sign: str) -> None:
    render(della, "della/table5", Path("t.md"))
    assert sign in Path(f"t.{form}").read_text(encoding="utf-8")


# What the numbers say --------------------------------------------------------------------------------------------


def test_tricks_that_raise_kl_are_told_from_those_that_do_not(della: Suite) -> None:
    for method, kl in (("embed+none", 0.03), ("embed+bow", 2.75), ("embed", 0.02), ("embed+annealing+bn", 0.031)):
        fake_run.edit("bbe", method, sets("kl", kl))
    found = report(della, "5").tables[0].findings
    assert (
        "On bbe the KL of embed without tricks is 0.03; raised by: BOW (2.75); "
        "not raised by: annealing (0.02), annealing and BN (0.03)."
    ) in found
    assert "On bbe embed+none, embed and embed+annealing+bn collapsed: KL below 0.1 nats." in found
    assert "On yelp no row collapsed: every KL is at least 0.1 nats." in found


def test_ablations_follow_the_numbers(della: Suite) -> None:
    fake_run.edit("bbe", "della-ltp", sets("ppl", 40.0))
    fake_run.edit("bbe", "della-kl-last", sets("kl", 20.0))
    found = report(della, "4").tables[0].findings
    assert found[0].startswith("On bbe the PPL of della is 12.67; higher: della-ltp (40.00); not higher: della-kl-last")
    assert found[1].startswith("On bbe the KL of della is 12.00; lower: della-ltp (4.00), embed-96 (4.00); not lower:")
    assert found[2] == "On bbe the largest increase of PPL over della is that of della-ltp: 27.33."
    fake_run.edit("bbe", "della-ltp", sets("ppl", 1.0))
    assert not any("increase" in sentence for sentence in report(della, "4").tables[0].findings)


def test_copying_the_source_may_be_better(della: Suite) -> None:
    fake_run.edit("sotu-story", "embed", sets("cbleu1", 3.0))
    found = report(della, "2").tables[0].findings[0]
    assert found.endswith("above it: gpt2 (35.75), memory (33.75), della (34.75); not above it: embed (3.00).")
    fake_run.edit("sotu-story", "copy", sets("cbleu1", 90.0), seeds=(0,))
    assert "; not above it: gpt2" in report(della, "2").tables[0].findings[0]


def test_what_cannot_be_compared_is_not_talked_about(della: Suite) -> None:
    fake_run.edit("bbe", "della", lambda record: record["provenance"].update(data="0" * 64))
    found = report(della, "1").tables[0].findings
    assert not any("On bbe" in sentence and "della" in sentence for sentence in found)
