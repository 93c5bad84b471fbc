"""Table 6: from the provenance of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.collect import gather
from bench.report.della.cost import build, render
from bench.report.model import Report
from bench.report.published import load_published
from bench.schema import Suite
from tests import fake_run


def report(suite: Suite) -> Report:
    return build(gather(suite, "della/table6"), load_published())


def shown(found: Report) -> dict[tuple[str, str], dict[str, str]]:
    table = found.tables[0]
    return {
        (group.label, row.label): {c.key: cell.text for c, cell in zip(table.columns, row.cells, strict=True)}
        for group in table.groups
        for row in group.rows
    }


def test_measured_cost(della: Suite) -> None:
    rows = shown(report(della))
    assert list(rows) == [("bbe", name) for name in ("GPT-2", "Embed", "DELLA")] + [
        ("kjv2bbe", name) for name in ("BART", "Embed", "DELLA")
    ], "no rows without a model"
    assert rows["bbe", "DELLA"] == {
        "wall_s": "12.0", "ratio": "4.00", "steps": "6", "tokens_per_s": "997", "peak_mb": "303",
        "parameters": "200,005", "device": "cpu",
    }  # fmt: skip
    assert (rows["kjv2bbe", "BART"]["ratio"], rows["kjv2bbe", "Embed"]["ratio"]) == ("1.00", "2.00")


def test_steps_are_shown_where_they_are_known_before(della: Suite) -> None:
    methods = {**della.methods, "embed": della.methods["embed"].model_copy(update={"epochs": 5})}
    longer = shown(report(della.model_copy(update={"methods": methods})))
    assert int(longer["bbe", "Embed"]["steps"]) == 5 * int(longer["bbe", "DELLA"]["steps"]) / della.training.epochs
    plan = della.training.model_copy(update={"decay": "plateau"})
    assert "steps" not in shown(report(della.model_copy(update={"training": plan})))["bbe", "DELLA"]


def test_memory_of_a_gpu_has_a_column_where_there_is_one(della: Suite) -> None:
    assert "gpu_peak_mb" not in shown(report(della))["bbe", "DELLA"]
    fake_run.edit("bbe", "della", lambda record: record["provenance"]["cost"]["train"].update(gpu_peak_mb=12345.6))
    rows = shown(report(della))
    assert (rows["bbe", "DELLA"]["gpu_peak_mb"], rows["bbe", "Embed"]["gpu_peak_mb"]) == ("12346", "-")


def test_findings_follow_the_numbers(della: Suite) -> None:
    sentence = "On bbe training della takes 4.00 times the time of gpt2, with 1.00 times its parameters."
    assert sentence in report(della).tables[0].findings
    fake_run.edit("bbe", "della", lambda record: record["provenance"]["cost"]["train"].update(wall_s=1.5))
    assert any("On bbe training della takes 0.50 times" in found for found in report(della).tables[0].findings)


def test_what_was_not_measured_is_left_out(della: Suite) -> None:
    for dataset, method, seeds in (("bbe", "gpt2", (1, 2)), ("kjv2bbe", "bart", (1,))):
        fake_run.edit(dataset, method, lambda record: record["provenance"].update(cost={}), seeds)
    found = report(della)
    assert "ratio" not in [column.key for column in found.tables[0].columns] and not found.tables[0].findings
    assert shown(found)["bbe", "GPT-2"]["wall_s"] == "-"


def test_printed_hours_and_csv(della: Suite) -> None:
    found = report(della)
    hours = {row.label: row.cells[0].text for row in found.tables[1].groups[0].rows}
    assert hours["Yelp"] == "20h" and hours["WritingPrompts"] == "170h" and hours["unconditional"] == "-"
    rows = {row[:3]: dict(zip(found.tidy_header, row, strict=True)) for row in found.tidy_rows}
    assert len(rows) == len(found.tidy_rows)
    one = rows["bbe", "della", "wall_s"]
    assert (one["value"], one["unit"], one["n_seeds"], one["published"]) == ("12.0", "s", "2", "")
    assert rows["yelp", "della", "gpu_hours"]["published"] == "20"


@pytest.mark.parametrize("form", ["md", "csv", "tex", "html"])
def test_formats(della: Suite, form: str) -> None:
    render(della, "della/table6", Path("r/table6.md"))
    assert Path(f"r/table6.{form}").stat().st_size
