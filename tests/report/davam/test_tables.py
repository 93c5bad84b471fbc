"""DAVAM's tables, of a run of invented numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bench import suite as suites
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.record_schema import read_cell
from bench.report import catalogue
from bench.report.collect import gather
from bench.report.davam import data, lengths, samples, tables
from bench.report.davam.paper import TABLES
from bench.report.model import Report
from bench.report.papers.tables import drawn_by
from bench.report.published import Published, load_published
from bench.schema import Suite
from bench.suite import Cell
from tests import fake_run
from tests.report_reading import cell, rows, sets

FORMATS = ("csv", "html", "md", "tex")
NO_BREAK = "\N{NO-BREAK SPACE}"
MODULES = {"1": data.render, "2": tables.render, "3": samples.render, "4": lengths.render, "5": lengths.render}


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published(Path(__file__).parents[3] / "results" / "published")


def table2(suite: Suite) -> Report:
    return tables.build(gather(suite, "davam/table2"), load_published())


def by_length(suite: Suite, number: str) -> Report:
    name = f"davam/table{number}"
    found = {n: drawn_by(n, gather(suite, name, decoding=n)) for n in suites.select(suite, name).decodings}
    recs = lengths.read_recs(suite, name) if number == "4" else {}
    return lengths.build(TABLES[number], found, load_published(), recs)


@pytest.mark.parametrize("number", MODULES)
def test_every_format_is_written(davam: Suite, number: str) -> None:
    for out in (Path("a/t.md"), Path("b/t.md")):
        MODULES[number](davam, f"davam/table{number}", out)
    assert sorted(path.name for path in Path("a").iterdir()) == [f"t.{form}" for form in FORMATS]
    for form in FORMATS:
        assert Path(f"a/t.{form}").read_bytes() == Path(f"b/t.{form}").read_bytes()


@pytest.mark.parametrize("number", ["2", "4", "5"])
def test_the_printed_table_is_whole(davam: Suite, published: Published, number: str) -> None:
    table = (table2(davam) if number == "2" else by_length(davam, number)).tables[-1]
    printed = published.table("davam", number)
    shown = [found for row in rows(table).values() for found in row.cells if found.text != "-"]
    texts = [found.text for found in shown] + [found.spread for found in shown if found.spread]
    assert sorted(texts) == sorted(row.text for row in printed)
    assert {text for _, text in table.footnotes} == {row.note for row in printed if row.note}


# Table 2 ---------------------------------------------------------------------------------------------------------


def test_three_views_of_each_column(davam: Suite) -> None:
    first = table2(davam).tables[0]
    assert [(head.label, head.span) for head in first.heads if head.label] == [
        (f"Rec{NO_BREAK}↓", 3), (f"PPL{NO_BREAK}↓", 3), ("KL", 3)
    ]  # fmt: skip
    assert [column.label for column in first.columns] == ["printed", "paper", "exact"] * 3
    shown = [cell(first, "ptb", "DAVAM (K=512)", column.key).text for column in first.columns]
    assert shown == ["60.16", "72.15", "72.15", "17.94", "30.44", "406.19", "3.12", "3.00", "60.00"]
    assert all(cell(first, "bbe", "DAVAM (K=512)", f"printed/{of}").text == "-" for of in ("rec", "ppl", "kl"))
    assert [row.label for row in first.groups[0].rows] == [
        "LSTM-LM", "VAE (lstm-vae)", "+FBP (lstm-vae+fbp)", "GAVAM", "DAVAM-q", "DAVAM (K=128)", "DAVAM (K=512)"
    ]  # fmt: skip


def test_a_language_model_has_one_perplexity(davam: Suite) -> None:
    report = table2(davam)
    keys = ("printed/ppl", "paper:davam/ppl", "ppl_word")
    printed, paper, exact = (cell(report.tables[0], "ptb", "LSTM-LM", key).text for key in keys)
    assert printed == "100.47" and paper == exact
    assert any("LSTM-LM" in text and "same under both" in text for text in report.tables[0].paragraphs)


def test_of_datasets_that_the_paper_has_not_nothing_is_said_to_be_printed(davam: Suite) -> None:
    report = table2(davam)
    assert "as the paper prints it, by" in report.lead and report.tables[0].title.endswith(
        "beside what the paper prints"
    )
    elsewhere = [row for row in load_published().rows if (row.paper, row.dataset) != ("davam", "ptb")]
    report = tables.build(gather(davam, "davam/table2"), Published(elsewhere))
    assert not any(column.key.startswith("printed/") for column in report.tables[0].columns)
    assert "as the paper prints it" not in report.lead
    assert report.tables[0].title == "The same models by two arithmetics" and "printed" not in report.tables[0].caption


def test_perplexities_of_other_texts_are_told_apart(davam: Suite) -> None:
    assert "exact PPL is of" not in table2(davam).tables[0].caption
    for method in suites.select(davam, "davam/table2").methods:
        fake_run.edit("ptb", method, lambda record: record["values"]["ppl_word"].update(n=3))
    assert "ptb: exact PPL is of the first 3 of 5 test texts." in table2(davam).tables[0].caption


def test_which_arithmetic_favours_whom(davam: Suite) -> None:
    fake_run.edit("bbe", "lstm-lm", sets("ppl_word", 90.0))
    found = table2(davam).tables[0].findings
    assert found[0] == (
        "On bbe davam-k512 has the lowest PPL by the paper's arithmetic, 30.44; exactly it is 406.19. The lowest exact "
        "PPL is that of lstm-lm, 90.00; by the paper's arithmetic it is 94.85."
    )
    assert found[1] == "On bbe lstm-vae and gavam collapsed: KL below 0.1 nats."
    fake_run.edit("bbe", "gavam", sets("kl", 3.5))
    assert table2(davam).tables[0].findings[1] == "On bbe lstm-vae collapsed: KL below 0.1 nats."
    fake_run.edit("bbe", "gavam", lambda record: record["values"].update(length=fake_run.value(3.45, "length|v:1")))
    assert table2(davam).tables[0].findings[1] == found[1], "what the length costs says nothing of z"
    fake_run.edit("bbe", "davam-k512", sets("ppl_word", 20.0))
    assert table2(davam).tables[0].findings[0] == (
        "On bbe davam-k512 has the lowest PPL either way: 30.44 by the paper's arithmetic, 20.00 exactly."
    )


def test_deviations_from_the_printed_numbers(davam: Suite) -> None:
    assert table2(davam).tables[0].findings[-1] == (
        "On ptb nothing is held against the printed numbers: this suite uses 20 of the 42,068 train texts and 5 of the "
        "3,761 test texts."
    )
    manifest = CellPaths("tiny", "ptb", "", 0).manifest
    content = json.loads(manifest.read_text(encoding="utf-8"))
    for part, texts in (("train", 42_068), ("test", 3_761)):
        content["splits"][part]["texts"] = texts
    manifest.write_text(json.dumps(content), encoding="utf-8")
    fake_run.edit("ptb", "lstm-lm", sets("paper:davam/ppl", 100.47 * 1.049))
    fake_run.edit("ptb", "davam-k512", sets("paper:davam/rec", 60.16 * 0.951))
    fake_run.edit("ptb", "davam-k512", sets("paper:davam/ppl", 17.94 * 1.12))
    fake_run.edit("ptb", "lstm-vae", sets("ppl_word", 101.39 * 0.98))
    near, weighted = table2(davam).tables[0].findings[-2:]
    assert near.startswith(
        "On ptb, by the paper's arithmetic, within 5 % of the printed Rec and PPL: lstm-lm (PPL +4.9 %); not within 5 %"
    )
    assert "davam-k512 (Rec −4.9 %, PPL +12.0 %)" in near and near.endswith(".")
    assert "ours are apart by: lstm-vae (PPL −2.0 %), lstm-vae+fbp (PPL +9.1 %)." in weighted
    for key, printed in (("paper:davam/rec", 98.52), ("paper:davam/ppl", 99.62)):
        fake_run.edit("ptb", "lstm-vae+fbp", sets(key, printed))
    assert not any("yet another model" in text for text in table2(davam).tables[0].findings)
    fake_run.edit("ptb", "lstm-vae+fbp", sets("paper:davam/kl", 0.02))
    assert table2(davam).tables[0].findings[-2] == (
        "On ptb what is within 5 % is yet another model, by its KL, collapsed or not: "
        "lstm-vae+fbp (KL 0.02, printed 2.95)."
    )


def test_the_csv_has_the_printed_number_beside_either_arithmetic(davam: Suite, published: Published) -> None:
    tables.render(davam, "davam/table2", Path("t.csv"))
    with open("t.csv", encoding="utf-8", newline="") as stream:
        kept = list(csv.DictReader(stream))
    assert sum(r["protocol"] == "printed: davam, Table 2" for r in kept) == len(published.table("davam", "2"))
    beside = {
        r["quantity"]: r["published"] for r in kept if (r["dataset"], r["method"]) == ("ptb", "davam-k128") and r["n"]
    }
    assert beside["ppl_word"] == beside["paper:davam/ppl"] == "50.15" and beside["paper:davam/kl"] == "2.23"


def test_without_its_metrics_there_is_no_table_2(davam: Suite) -> None:
    for record in Path("results").glob("runs/**/record.json"):
        content = json.loads(record.read_text(encoding="utf-8"))
        record.write_text(json.dumps({**content, "values": {}}), encoding="utf-8")
    with pytest.raises(BenchError, match="needs the metrics elbo, iw or paper:davam"):
        tables.render(davam, "davam/table2", Path("t.md"))


# Texts of given lengths ------------------------------------------------------------------------------------------


def test_a_row_a_length_a_column_a_method(davam: Suite) -> None:
    bbe, yahoo, _ = by_length(davam, "4").tables
    assert [column.label for column in bbe.columns] == ["VAE+Attn", "GAVAM", "DAVAM (K=512)"]
    assert [row.label for row in bbe.groups[0].rows] == ["10", "30", "Rec"]
    found = [cell(bbe, "", words, "davam-k512/fluency_sentence") for words in ("10", "30")]
    assert [of.text for of in found] == ["6.49", "5.49"] and all(of.emphasis == "best" for of in found)
    assert [cell(yahoo, "", words, "gavam/fluency_sentence").printed for words in ("10", "30")] == ["7.32", "6.75"]
    rec = rows(yahoo)["", "Rec"].cells
    assert [of.printed for of in rec] == ["10.85", "350.14", "259.68"] and rec[0].printed_marks
    assert not any(of.printed for of in rows(bbe)["", "Rec"].cells)
    assert bbe.findings == ("On bbe Fluency NLL/text is the lowest for davam-k512 at 10 and 30 words.",)
    assert bbe.paragraphs == ("Held-out human texts, of whatever length they are: Fluency NLL/text 6.50.",)


def test_rec_is_that_of_the_statistics(davam: Suite) -> None:
    from bench.metrics.likelihood_file import LikelihoodFile

    found = lengths.read_recs(davam, "davam/table4")["bbe", "gavam"]
    by_seed = [LikelihoodFile.read(CellPaths("tiny", "bbe", "gavam", seed).likelihood).rec.mean() for seed in (1, 2)]
    assert found.mean == pytest.approx(sum(by_seed) / 2) and found.n == 2


def test_three_columns_under_each_method(davam: Suite) -> None:
    yahoo, _ = by_length(davam, "5").tables
    assert [(head.label, head.span) for head in yahoo.heads] == [("pretraining+FBP VAE", 3), ("DAVAM (K=512)", 3)]
    of = cell(yahoo, "", "10", "davam-k512/dist1")
    assert of.text == "0.360" and of.printed == "0.366", "a fraction, as printed"
    assert cell(yahoo, "", "30", "lstm-vae+pretraining+fbp/ent1").printed == "5.57"
    assert yahoo.findings[1] == "On yahoo Dist-1 is the highest for lstm-vae+pretraining+fbp at 10 and 30 words."


def test_without_its_metric_there_is_no_table_4(davam: Suite) -> None:
    for record in Path("results").glob("runs/**/record.json"):
        content = json.loads(record.read_text(encoding="utf-8"))
        values = {key: value for key, value in content["values"].items() if not key.startswith("fluency")}
        record.write_text(json.dumps({**content, "values": values}), encoding="utf-8")
    with pytest.raises(BenchError, match="needs the metric fluency, which suite 'tiny' has not"):
        lengths.render(davam, "davam/table4", Path("t.md"))
    samples.render(davam, "davam/table3", Path("t.md"))
    assert "Fluency, all texts" not in Path("t.md").read_text(encoding="utf-8")


def test_texts_stand_under_their_method_by_length(davam: Suite) -> None:
    samples.render(davam, "davam/table3", Path("t.md"))
    with open("t.csv", encoding="utf-8", newline="") as stream:
        kept = list(csv.DictReader(stream))
    ours = [r for r in kept if r["method"] == "davam-k512" and r["words"] == "30" and r["seed"] == "2"]
    assert [r["text"] for r in ours] == [f"davam-k512 length-30 2 text {i}" for i in range(samples.KEPT)]
    markdown = Path("t.md").read_text(encoding="utf-8")
    assert "davam-k512 length-30 1 text 0" in markdown and "davam-k512 length-30 1 text 1" not in markdown
    assert markdown.count("human 0 text 0".replace("_", r"\_")) == 0 and markdown.count("human  0 text 0") == 1
    assert sum(r["published"] != "" for r in kept) == 12


def test_what_each_seed_has_stands_beside_its_own_texts(davam: Suite) -> None:
    samples.render(davam, "davam/table3", Path("t.md"))
    with open("t.csv", encoding="utf-8", newline="") as stream:
        kept = [row for row in csv.DictReader(stream) if row["seed"]]
    for row in kept:
        name = "" if row["method"] == "human" else f"length-{row['words']}"
        record = read_cell("tiny", Cell(row["dataset"], row["method"], int(row["seed"]), name))
        assert float(row["fluency_sentence"]) == record.values["fluency_sentence"].value
    assert len({row["fluency_sentence"] for row in kept if row["method"] == "davam-k512" and row["words"] == "30"}) == 2


def test_two_decodings_of_one_length_have_a_row_each(davam: Suite) -> None:
    davam = davam.model_copy(
        update={"decodings": {name: of.model_copy(update={"words": 10}) for name, of in davam.decodings.items()}}
    )
    _, yahoo, _ = by_length(davam, "4").tables
    assert [row.label for row in yahoo.groups[0].rows] == ["10 (length-10)", "10 (length-30)", "Rec"]
    found = [cell(yahoo, "", row.label, "gavam/fluency_sentence") for row in yahoo.groups[0].rows[:2]]
    assert found[0].text != found[1].text and {of.printed for of in found} == {"7.32"}
    assert "at 10 (length-10) and 10 (length-30) words" in yahoo.findings[0]
    samples.render(davam, "davam/table3", Path("t.md"))
    assert {"10 (length-10)", "10 (length-30)"} <= {
        line.split(",")[2] for line in Path("t.csv").read_text().splitlines()
    }


def test_which_reports_show_decodings() -> None:
    shown = {r.name for r in catalogue.REPORTS.values() if r.name.startswith("davam/") and r.decodings}
    assert shown == {"davam/table3", "davam/table4", "davam/table5"}
