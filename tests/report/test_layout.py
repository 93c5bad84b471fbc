"""Which columns the papers' own arithmetics have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import suite as suites
from bench.report.collect import gather, registered
from bench.report.layout import MAIN, PROTOCOLS, Protocol, shown_columns
from bench.report.published import Published
from bench.report.table import build

NOT_GIVEN = {"paper:della/mi", "paper:trace/mi"}  # printed, but what was computed cannot be known
NOT_SHOWN = {"paper:davam/rec"}  # the exact one


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_protocol_shows_what_its_metric_gives(protocol: Protocol) -> None:
    given = {key for key in registered() if key.startswith(f"paper:{protocol.name}/")}
    shown = {protocol.key(base) for base in protocol.quantities}
    assert shown - NOT_GIVEN == given - NOT_SHOWN
    assert set(protocol.quantities) <= {key for key, *_ in MAIN}, "every quantity has a head and a number of decimals"


def test_every_paper_metric_has_a_protocol() -> None:
    papers = {key.partition("/")[0] for key in registered() if key.startswith("paper:")}
    assert papers == {f"paper:{protocol.name}" for protocol in PROTOCOLS}


def test_every_arithmetic_that_was_measured_has_its_table(run: str) -> None:
    for path in Path().glob("**/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        ppl = record["values"].get("paper:della/ppl")
        for name in ("trace", "davam") if ppl else ():
            record["values"][f"paper:{name}/ppl"] = {**ppl, "signature": ppl["signature"].replace("della", name)}
        path.write_text(json.dumps(record), encoding="utf-8")
    results = gather(suites.load(run), "table1")
    tables = build(results, Published([])).tables
    assert [table.name for table in tables] == ["table1", *(f"three-ways-{p.name}" for p in PROTOCOLS)]
    assert [column.label for column in tables[2].columns] == ["exact", "paper"]
    labels = [column.label for column in shown_columns(results.keys())]
    assert "PPL (IW), TRACE's arithmetic (inferred)" in labels and "PPL (IW), DAVAM's arithmetic" in labels
