"""TRACE's result tables, of a run of invented numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.report import catalogue
from bench.report.collect import gather
from bench.report.model import Report
from bench.report.published import Published, load_published
from bench.report.trace import data, decodings
from bench.report.trace.paper import DEFAULTS, TABLES
from bench.report.trace.tables import build, render
from bench.schema import Suite
from bench.suite import select
from tests import fake_run
from tests.report_reading import cell, rows, sets

FORMATS = ("csv", "html", "md", "tex")


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(Path(__file__).parents[3] / "results" / "published")


def report(suite: Suite, number: str) -> Report:
    if number == "6":
        names = select(suite, "trace/table6").decodings
        found = {n: decodings.drawn_by(n, gather(suite, "trace/table6", decoding=n)) for n in names}
        return decodings.build(found, load_published())
    return build(gather(suite, f"trace/table{number}"), load_published(), TABLES[number])


@pytest.mark.parametrize("number", ["1", "2", "3", "5", "6"])
def test_every_format_is_written(trace: Suite, number: str) -> None:
    module = {"1": data.render, "6": decodings.render}.get(number, render)
    for out in (Path("a/t.md"), Path("b/t.md")):
        module(trace, f"trace/table{number}", out)
    assert sorted(path.name for path in Path("a").iterdir()) == [f"t.{form}" for form in FORMATS]
    for form in FORMATS:
        assert Path(f"a/t.{form}").read_bytes() == Path(f"b/t.{form}").read_bytes()


DIVERSITY = ["self_bleu4", "dist2", "js"]
PAIRS = ["cbleu1", "sacrebleu", "rouge1", "rouge2", "rougeL", "bertscore_f1"]


@pytest.mark.parametrize(
    ("number", "ours", "theirs"),
    [
        ("2", ["nelbo", "kl", "mi", "au_0.1", "ppl", "cnd", *DIVERSITY],
         ["ELBO", "KL", "MI", "AU", "PPL", "CND", "SB", "Dist", "JS"]),
        ("3", [*PAIRS, *DIVERSITY],
         ["BLEU", "Rouge-1", "Rouge-2", "Rouge-L", "BertScore", "SB", "Dist", "JS"]),
        ("5", ["nelbo", "cnd", *DIVERSITY], ["ELBO", "CND", "SB", "Dist", "JS"]),
        ("6", ["cnd", "self_bleu4", "dist2"], ["Dist"]),
    ],
)  # fmt: skip
def test_the_columns_are_the_papers(trace: Suite, number: str, ours: list[str], theirs: list[str]) -> None:
    tables = report(trace, number).tables
    assert [column.key for column in tables[0].columns] == ours
    assert [column.label for column in tables[-1].columns] == theirs
    for table in tables:
        for i, column in enumerate(table.columns):
            assert any(row.cells[i].text != "-" for row in rows(table).values()), (table.name, column.key)


@pytest.mark.parametrize("number", ["2", "3", "5", "6"])
def test_the_printed_table_is_whole(trace: Suite, published: Published, number: str) -> None:
    table = report(trace, number).tables[-1]
    printed = published.table("trace", number)
    shown = [found for row in rows(table).values() for found in row.cells if found.text != "-"]
    assert sorted(found.text for found in shown) == sorted(row.text for row in printed)
    assert {text for _, text in table.footnotes} == {row.note for row in printed if row.note}


def test_printed_numbers_are_of_this_paper(trace: Suite) -> None:
    measured = report(trace, "2").tables[0]
    assert cell(measured, "yelp", "TRACE-R", "mi").printed == "19.57"
    assert cell(measured, "yelp", "GPT-2", "dist2").printed == "15.96", "DELLA prints 17.96"
    assert cell(measured, "bbe", "TRACE-R", "mi").printed == ""
    assert any("MI may exceed KL" in text for text in measured.paragraphs)


def test_rows_have_the_papers_names_and_ours(trace: Suite) -> None:
    measured, ways, _ = report(trace, "5").tables
    assert [row.label for row in measured.groups[0].rows] == [
        "TRACE-R", "-LN (trace-r-ln)", "-RP (trace-r-rp)", "+BN (trace-r+bn)", "TRACE-P", "-SN (trace-p-sn)", "human"
    ]  # fmt: skip
    assert [head.label for head in ways.heads] == ["−ELBO\N{NO-BREAK SPACE}↓"]
    assert len(ways.paragraphs) == 1 and "PPL" not in ways.paragraphs[0]


def test_both_arithmetics_stand_side_by_side(trace: Suite) -> None:
    ways = report(trace, "2").tables[1]
    heads = [(head.label.split("\N{NO-BREAK SPACE}")[0], head.span) for head in ways.heads]
    assert heads == [("PPL (IW)", 3), ("−ELBO", 3), ("KL", 3), ("MI", 2), ("AU 0.1", 3)]


def test_a_table_a_decoding_from_the_records_of_that_decoding(trace: Suite) -> None:
    found = report(trace, "6")
    greedy, beam, printed = found.tables
    assert greedy.title.endswith("decoding greedy()") and beam.title.endswith("decoding beam(10)")
    values = [cell(table, "bbe", "TRACE-R", "self_bleu4").value for table in (greedy, beam)]
    assert values[0] is not None and values[1] == pytest.approx(values[0] + 20)
    assert [group.label for group in printed.groups] == [
        "Yelp: Greedy decoding", "Yelp: Beam search, beam size=10", "Yelp: Top-k, k=50"
    ]  # fmt: skip
    protocols = {row[found.tidy_header.index("protocol")] for row in found.tidy_rows}
    assert {"decoding greedy()", "decoding beam(10)", "printed: trace, Table 6"} <= protocols
    assert cell(greedy, "bbe", "human", "dist2") == cell(beam, "bbe", "human", "dist2")
    assert not any("JS" in sentence for sentence in greedy.findings), "Table 6 does not show it"


def test_without_named_decodings_table_6_has_the_datasets_own(trace: Suite) -> None:
    alone = select(trace, "trace/table6").model_copy(update={"decodings": []})
    decodings.render(trace.model_copy(update={"reports": {"trace/table6": alone}}), "trace/table6", Path("t.md"))
    assert "decoding top\\_k(50)" in Path("t.md").read_text(encoding="utf-8")


def test_the_csv_holds_ours_and_the_papers(trace: Suite, published: Published) -> None:
    render(trace, "trace/table2", Path("t.csv"))
    with open("t.csv", encoding="utf-8", newline="") as stream:
        kept = list(csv.DictReader(stream))
    keys = [(r["dataset"], r["method"], r["quantity"], r["protocol"]) for r in kept]
    assert len(set(keys)) == len(keys)
    printed = [r for r in kept if r["protocol"] == "printed: trace, Table 2"]
    assert len(printed) == len(published.table("trace", "2"))
    ours = next(r for r in kept if (r["dataset"], r["method"], r["quantity"]) == ("yelp", "trace-r", "kl"))
    assert ours["published"] == "3.51" and "144" in ours["published_note"]


# What the numbers say --------------------------------------------------------------------------------------------


def test_mi_above_kl_and_collapse_are_told(trace: Suite) -> None:
    fake_run.edit("bbe", "cgd", sets("kl", 0.01))
    found = report(trace, "2").tables[0].findings
    assert "On bbe MI is above KL in cgd (1.35)." in found
    assert "On bbe cgd collapsed: KL below 0.1 nats." in found


def test_the_most_diverse_is_told_by_each_measure(trace: Suite) -> None:
    fake_run.edit("bbe", "trace-r", sets("self_bleu4", 3.0))
    fake_run.edit("bbe", "ind", sets("js", 0.1))
    found = [sentence for sentence in report(trace, "2").tables[0].findings if "diverse" in sentence]
    assert found[0] == (
        "On bbe the most diverse texts are by Self-BLEU those of trace-r (3.00); by Dist those of gpt2 (64.50); "
        "by JS those of ind (0.10)."
    )


def test_ablations_follow_the_numbers(trace: Suite) -> None:
    fake_run.edit("bbe", "trace-r-ln", sets("nelbo", 50.0))
    fake_run.edit("bbe", "trace-p-sn", sets("self_bleu4", 99.0))
    found = report(trace, "5").tables[0].findings
    assert found[0].startswith(
        "On bbe the −ELBO of trace-r is 55.64; higher: trace-r-rp (55.68), trace-r+bn (55.72); not"
    )
    assert found[0].endswith("not higher: trace-r-ln (50.00).")
    assert found[3].endswith("; higher: trace-p-sn (99.00).")


def test_defaults_are_the_methods_own() -> None:
    from bench.methods.trace import TraceOptions

    assert {name: getattr(TraceOptions(), name) for name in DEFAULTS} == DEFAULTS


def test_only_table_6_shows_several_decodings() -> None:
    shown = [r.name for r in catalogue.REPORTS.values() if r.name.startswith("trace/") and r.decodings]
    assert shown == ["trace/table6"]
