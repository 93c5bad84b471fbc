"""``reports/table1.*``: the paper-style table, and what each paper's own arithmetic makes of the same models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.report.blocks import by_dataset, has_printed, measured_table, three_ways
from bench.report.collect import Results, gather
from bench.report.layout import PROTOCOLS, main_columns, noted_columns
from bench.report.model import Report, Table
from bench.report.notes import main_caption, notes
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.tidy import HEADER, tidy_rows
from bench.schema import Suite


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    write(build(gather(suite, report, root), load_published()), out)


def build(results: Results, published: Published) -> Report:
    """The whole report of a finished suite."""
    sections = by_dataset(results)
    threeway = [three_ways(results, published, protocol, sections) for protocol in PROTOCOLS]
    return Report(
        title=f"Suite {results.suite.name}: language modelling and unconditional generation",
        lead=(
            "Every number below was measured by this suite, on the same trained models and the same texts for all "
            "methods of a dataset. Printed numbers are shown only on the datasets of their paper."
        ),
        tables=(_main(results, published), *(table for table in threeway if table is not None)),
        notes=notes(results, noted_columns(results.keys())),
        tidy_header=HEADER,
        tidy_rows=tidy_rows(results, published),
    )


def _main(results: Results, published: Published) -> Table:
    table = measured_table(results, published, by_dataset(results), main_columns(results.keys()))
    apart = {row.label for group in table.groups for row in group.rows if row.apart}
    return replace(
        table,
        name="table1",
        title="Language modelling and unconditional generation",
        caption=main_caption(results, has_printed(table), apart),
    )
