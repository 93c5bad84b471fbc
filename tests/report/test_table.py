"""From the records of a run to the report."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import suite as suites
from bench.errors import BenchError
from bench.paths import CellPaths
from bench.record_schema import read_cell
from bench.report.collect import Results, gather
from bench.report.model import Cell, Report, Table
from bench.report.published import Published, load_published
from bench.report.table import build, render
from bench.schema import Suite
from tests import fake_run

REPOSITORY = Path(__file__).parents[2]
NOTHING = Published([])


def cell(table: Table, dataset: str, method: str, column: int | str) -> Cell:
    """A cell of a table by dataset, method and column key (or place)."""
    place = column if isinstance(column, int) else [c.key for c in table.columns].index(column)
    rows = next(group.rows for group in table.groups if group.label == dataset)
    return next(row.cells[place] for row in rows if row.label == method)


def edit(method: str, seed: int, change: Callable[[dict[str, Any]], None], dataset: str = "bbe") -> None:
    """Change one record on disk."""
    path = CellPaths("tiny", dataset, method, seed).record
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def write(run: str, out: Path) -> None:
    render(suites.load(run), "table1", out)


def report(run: str, published: Published = NOTHING) -> Report:
    return build(gather(suites.load(run), "table1"), published)


def test_every_format_is_written_beside_the_one_asked_for(run: str) -> None:
    write(run, Path("reports/table1.tex"))
    assert sorted(p.name for p in Path("reports").iterdir()) == [f"table1.{f}" for f in ("csv", "html", "md", "tex")]


def test_rendering_twice_gives_the_same_bytes(run: str) -> None:
    write(run, Path("a.md"))
    write(run, Path("b.md"))
    for form in ("md", "csv", "tex", "html"):
        assert Path(f"a.{form}").read_bytes() == Path(f"b.{form}").read_bytes()


def test_layout(run: str) -> None:
    main = report(run).tables[0]
    assert [group.label for group in main.groups] == ["bbe", "sotu"]
    assert [row.label for row in main.groups[0].rows] == ["gpt2", "embed", "della", "della@paper", "human"]
    assert [row.apart for row in main.groups[0].rows] == [False] * 4 + [True]
    assert [(head.label, head.span) for head in main.heads] == [
        ("Representation learning", 7), ("Quality", 2), ("Diversity", 3)
    ]  # fmt: skip
    assert [c.head.split("\N{NO-BREAK SPACE}")[-1] for c in main.columns][:4] == ["↓", "↓", "KL", "MI"]
    assert "mauve" not in [c.key for c in main.columns], "nobody measured it"


def test_cells(run: str) -> None:
    main = report(run).tables[0]
    bleu = cell(main, "bbe", "gpt2", "bleu4")
    assert (bleu.text, bleu.spread, bleu.emphasis) == ("32.25", "3.18", "best")
    assert cell(main, "bbe", "gpt2", "kl") == Cell("-")
    assert cell(main, "bbe", "della", "kl").emphasis == "", "a KL is not good in itself"
    assert cell(main, "sotu", "gpt2", "bleu4").spread == "", "one seed has no interval"
    human = next(row.cells for row in main.groups[0].rows if row.apart)
    assert not any(c.emphasis for c in human) and human[0].text == "-"
    assert cell(main, "bbe", "human", "cnd").value < cell(main, "bbe", "embed", "cnd").value
    assert cell(main, "bbe", "embed", "cnd").emphasis == "best", "human text is not ranked"


def test_another_signature_is_refused(run: str) -> None:
    def other_n(record: dict[str, Any]) -> None:
        value = record["values"]["self_bleu4"]
        value["signature"] = value["signature"].replace("N:250", "N:1000")

    for seed in (1, 2):
        edit("embed", seed, other_n)
    found = report(run)
    refused = cell(found.tables[0], "bbe", "embed", "self_bleu4")
    assert refused.text == "n/c" and refused.value is None
    assert (refused.marks[0], "not comparable: N is 1000, not 250") in found.tables[0].footnotes
    assert cell(found.tables[0], "sotu", "embed", "self_bleu4").text != "n/c"
    row = next(r for r in found.tidy_rows if r[:3] == ("bbe", "embed", "self_bleu4"))
    assert "N is 1000, not 250" in row and row[6] != "", "the csv keeps the number and says why"


def test_how_an_interval_was_made_does_not_matter(run: str) -> None:
    edit("embed", 1, lambda r: r["values"]["bleu4"].update(signature="bleu|n:4|tok:13a|refs:all5|v:1"))
    assert cell(report(run).tables[0], "bbe", "embed", "bleu4").text == "29.75"


def test_seeds_that_differ_are_refused(run: str) -> None:
    edit("embed", 2, lambda r: r["values"]["bleu4"].update(signature="bleu|n:4|tok:13a|refs:all5|v:2"))
    found = report(run).tables[0]
    assert cell(found, "bbe", "embed", "bleu4").text == "n/c"
    assert any("its seeds differ: v is 2, not 1" in text for _, text in found.footnotes)


def test_other_data_is_refused(run: str) -> None:
    for seed in (1, 2):
        edit("della", seed, lambda r: r["provenance"].update(data="0" * 64))
    found = report(run).tables[0]
    assert cell(found, "bbe", "della", "ppl").text == "n/c"
    assert any("other data" in text for _, text in found.footnotes)


def test_infinite_values(run: str) -> None:
    for seed in (1, 2):
        edit("embed", seed, lambda r: r["values"]["cnd"].update(value="inf", ci95=None, note="no shared n-gram"))
    main = report(run).tables[0]
    assert cell(main, "bbe", "embed", "cnd").text == "∞"
    assert cell(main, "bbe", "della@paper", "cnd").emphasis == "best"


def test_three_ways(run: str) -> None:
    main, ways = report(run).tables
    assert [c.label for c in ways.columns] == ["exact", "paper"] * 4
    assert cell(ways, "bbe", "della", 0).value == cell(main, "bbe", "della", "ppl").value
    assert cell(ways, "bbe", "embed", 0).emphasis == "best"
    assert cell(ways, "bbe", "della@paper", 1).emphasis == "best", "the ranking turns with the arithmetic"
    assert (cell(ways, "bbe", "della", 4).text, cell(ways, "bbe", "della", 5).text) == ("12.00", "4.00")
    assert "human" not in [row.label for row in ways.groups[0].rows]
    assert any(
        text.startswith("On bbe the lowest PPL is that of embed, ") and "but that of della@paper" in text
        for text in ways.paragraphs
    )


def test_printed_numbers_stand_only_on_their_datasets(run: str) -> None:
    measured = gather(suites.load(run), "table1")
    suite = Suite.model_validate({**measured.suite.model_dump(), "datasets": {"ptb": {}, "sotu": {"seeds": [1]}}})
    records = {("ptb" if d == "bbe" else d, m): found for (d, m), found in measured.records.items()}
    main, ways = build(Results(suite, records), load_published(REPOSITORY / "results" / "published")).tables
    embed = cell(main, "ptb", "embed", "ppl")
    assert embed.printed == "19.98" and "repeats Yelp's row" in dict(main.footnotes)[embed.printed_marks[0]]
    assert cell(main, "ptb", "gpt2", "self_bleu4").printed == "41.55"
    assert cell(main, "sotu", "embed", "ppl").printed == "" and "In parentheses" in main.caption
    assert [c.label for c in ways.columns][:3] == ["exact", "paper", "printed"]
    assert [cell(ways, "ptb", "della@paper", i).text for i in (2, 5)] == ["10.28", "58.43"]
    assert cell(ways, "sotu", "della", 2) == Cell("-")


def test_csv_is_tidy(run: str) -> None:
    write(run, Path("t.csv"))
    with open("t.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({(r["dataset"], r["method"], r["quantity"]) for r in rows}) == len(rows)
    one = next(r for r in rows if (r["dataset"], r["method"], r["quantity"]) == ("sotu", "embed", "bleu4"))
    assert (one["value"], one["half_width"], one["n_seeds"]) == ("30.0", "", "1")
    assert (one["ci95_low"], one["ci95_high"], one["protocol"]) == ("29.5", "30.5", "decoding top_k(50)")
    two = next(r for r in rows if (r["dataset"], r["method"], r["quantity"]) == ("bbe", "embed", "bleu4"))
    ends = [read_cell("tiny", suites.Cell("bbe", "embed", seed)).values["bleu4"].ci95 for seed in (1, 2)]
    assert ends[0] != ends[1] and None not in ends and two["n_seeds"] == "2"
    assert [float(two[f"ci95_{side}"]) for side in ("low", "high")] == pytest.approx(np.mean(ends, axis=0))  # type: ignore[arg-type]
    assert {r["protocol"] for r in rows if r["quantity"].endswith("ppl")} == {"exact", "paper:della"}


def test_notes_say_what_a_reader_needs(run: str) -> None:
    write(run, Path("t.md"))
    text = Path("t.md").read_text(encoding="utf-8")
    for wanted in (
        "K = 100 importance samples", "250 texts a cell", "top\\_k(50)", "1, 2 (bbe); 1 (sotu)", "public domain",
        "20 train, 5 valid, 5 test", "200,004 parameters", "cannot exceed log 5 = 1.61",
        "of 96 dims (della, della@paper)",
        "`self_bleu|n:4|N:250|tok:13a|v:1`", "0123456789ab", "numpy 2.4.6", "One seed (sotu)", "12.7 standard errors",
    ):  # fmt: skip
        assert wanted in text, wanted


@pytest.mark.parametrize(
    ("datasets", "methods", "usual", "said"),
    [
        ({}, {}, None, "for all test examples; other"),
        ({"bbe": 3}, {}, None, "for all test examples (the first 3 of bbe); other"),
        (
            {"bbe": 3, "sotu": 2},
            {"della": 4},
            5,
            "for the first 3 or 4 test examples of bbe by method and 2 or 4 of sotu by method; other",
        ),
        (
            {"bbe": 3},
            dict.fromkeys(("gpt2", "embed", "della", "della@paper"), 4),
            None,
            "for the first 4 test examples of bbe and 4 of sotu; other",
        ),
    ],
)
def test_notes_say_how_many_examples_are_importance_weighted(
    run: str, datasets: dict[str, int], methods: dict[str, int], usual: int | None, said: str
) -> None:
    """A method's own number is in place of its dataset's, and that in place of the suite's."""
    measured = gather(suites.load(run), "table1")
    plan = measured.suite.model_dump()
    for kind, own in (("datasets", datasets), ("methods", methods)):
        for name, n in own.items():
            plan[kind][name]["importance_examples"] = n
    plan["likelihood"]["importance_examples"] = usual
    made = build(Results(Suite.model_validate(plan), measured.records), NOTHING)
    (text,) = (note.text for group in made.notes for note in group.notes if note.term == "Likelihood")
    assert said in text


def test_weights_that_were_pretrained_are_named(run: str) -> None:
    fake_run.edit("bbe", "della", lambda record: record["provenance"].update(pretrained={"smollm2": "0" * 64}))
    write(run, Path("t.md"))
    lines = Path("t.md").read_text(encoding="utf-8").splitlines()
    (found,) = (line for line in lines if "from pretrained" in line)
    assert "**della**" in found and "from pretrained smollm2" in found
    (origin,) = (line for line in lines if "**smollm2**" in line)
    assert "licence: Apache-2.0" in origin and "instructions" in origin


def test_no_human_row_where_no_text_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = fake_run.write_suite(tmp_path, re.sub(r"metrics: .*", "metrics: [iw, elbo]", fake_run.YAML))
    fake_run.write_run(tmp_path, suite)
    found = report(suite).tables[0]
    assert all(not row.apart for group in found.groups for row in group.rows) and "human" not in found.caption


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.update(schema=2), "schema is 2, this version reads schema 1"),
        (lambda r: r.update(seed=2), "is of tiny/bbe/embed/seed2, not of this cell"),
        (lambda r: r["values"]["ppl"].update(value="many"), "'values.ppl.value' is 'many'"),
        (lambda r: r["values"]["ppl"].pop("n"), "key 'values.ppl.n' is missing"),
        (lambda r: r["provenance"].update(sha=1), "unknown key 'provenance.sha'"),
    ],
)
def test_bad_records_are_one_clear_line(run: str, change: Callable[[dict[str, Any]], None], complaint: str) -> None:
    edit("embed", 1, change)
    with pytest.raises(BenchError) as error:
        report(run)
    assert complaint in str(error.value) and "embed/seed1/record.json" in str(error.value)


def test_a_missing_record_is_named(run: str) -> None:
    CellPaths("tiny", "sotu", "della", 1).record.unlink()
    with pytest.raises(BenchError, match=r"record results/runs/tiny/sotu/della/seed1/record.json: No such file"):
        report(run)
