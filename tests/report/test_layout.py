"""Which columns the papers' own arithmetics have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import suite as suites
from bench.report.collect import gather, registered
from bench.report.layout import MAIN, PROTOCOLS, Protocol, shown_columns
from bench.report.published import Published
from bench.report.site import values
from bench.report.table import build

NOT_GIVEN = {"paper:della/mi", "paper:trace/mi"}  # printed, but what was computed cannot be known
NOT_SHOWN = {"paper:davam/rec"}  # the exact one


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_protocol_shows_what_its_metric_gives(protocol: Protocol) -> None:
    given = {key for key in registered() if key.startswith(f"paper:{protocol.name}/")}
    shown = {protocol.key(base) for base in protocol.quantities}
    assert shown - NOT_GIVEN == given - NOT_SHOWN
    assert set(protocol.quantities) <= {key for key, *_ in MAIN}, "every quantity has a head and a number of decimals"


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_what_stands_side_by_side_is_in_one_unit(protocol: Protocol) -> None:
    """A mean over groups is "nats/example/group" where the sum is "nats/example"."""
    for base in protocol.quantities:
        if protocol.key(base) not in NOT_GIVEN:
            assert registered()[protocol.key(base)].unit.startswith(registered()[protocol.exact(base)].unit)


def test_every_paper_metric_has_a_protocol() -> None:
    papers = {key.partition("/")[0] for key in registered() if key.startswith("paper:")}
    assert papers == {f"paper:{protocol.name}" for protocol in PROTOCOLS}


def test_every_arithmetic_that_was_measured_has_its_table(run: str) -> None:
    for path in Path().glob("**/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        ppl = record["values"].get("paper:della/ppl")
        for name in ("trace", "davam") if ppl else ():
            record["values"][f"paper:{name}/ppl"] = {**ppl, "signature": ppl["signature"].replace("della", name)}
        if ppl:
            word = {"value": 12 * record["values"]["ppl"]["value"], "n": 3, "signature": "ppl|per:word|N:3|v:1"}
            record["values"]["ppl_word"] = {**ppl, **word}
        path.write_text(json.dumps(record), encoding="utf-8")
    results = gather(suites.load(run), "table1")
    made = build(results, Published([]))
    tables = made.tables
    assert [table.name for table in tables] == ["table1", *(f"three-ways-{p.name}" for p in PROTOCOLS)]
    assert [column.label for column in tables[2].columns] == ["exact", "paper"]
    assert [(head.label, head.span) for head in tables[3].heads if head.label] == [("PPL/word\N{NO-BREAK SPACE}↓", 2)]
    assert [column.key for column in tables[3].columns] == ["ppl_word", "paper:davam/ppl"]
    assert "bbe: exact PPL is of the first 3 of 5 test texts." in tables[3].caption
    assert "exact PPL is of" not in tables[2].caption
    word = {method: found.estimate.mean for method, found in results.column("bbe", "ppl_word").items()}
    assert any(f"the lowest PPL is that of embed, {word['embed']:.2f} exactly" in text for text in tables[3].paragraphs)
    assert "PPL/word" in [note.term for group in made.notes if group.title == "Signatures" for note in group.notes]
    site = {paper["name"]: paper for paper in values.papers(results, Published([]))}
    assert site["davam"]["keys"] == {"ppl_word": "paper:davam/ppl"} and site["trace"]["keys"] == {
        "ppl": "paper:trace/ppl"
    }
    assert any("exact PPL is of the first 3" in text for text in site["davam"]["why"])
    labels = [column.label for column in shown_columns(results.keys())]
    assert "PPL (IW), TRACE's arithmetic (inferred)" in labels and "PPL/word, DAVAM's arithmetic" in labels
