"""The result tables of a paper, on the datasets of the suite.

First what this suite measured, in the paper's columns; then the same models by the paper's arithmetic; then the paper's
own numbers on its own data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.report.blocks import Section, has_printed, measured_table, three_ways, without_empty
from bench.report.collect import Results
from bench.report.layout import protocol_columns
from bench.report.model import Report, Table
from bench.report.notes import main_caption, notes
from bench.report.papers.paper import Paper, PaperTable, printed_table
from bench.report.published import Published
from bench.report.tidy import HEADER, printed_rows, tidy_rows


def build(
    paper: Paper,
    table: PaperTable,
    results: Results,
    published: Published,
    ours: Sequence[Section],
    theirs: Sequence[Section],
    findings: tuple[str, ...] = (),
) -> Report:
    """The whole report; ``ours`` and ``theirs`` are the rows of the measured and of the printed table."""
    keys, first = set(results.keys()), [column.key for column in table.ours]
    arithmetic = paper.arithmetic(table)
    measured = measured_part(paper, table, results, published, ours)
    ways = three_ways(results, published, arithmetic, ours, table.quantities, table.number)
    by_arithmetic = protocol_columns(arithmetic, keys & table.quantities, keys) if ways else ()
    return Report(
        title=f"Suite {results.suite.name}, after Table {table.number} of {paper.label}: {table.title}",
        lead=(
            "The paper's columns, measured by this suite on its own datasets: the same trained models and the same "
            "texts for all methods of a dataset. Last the paper's own table, on the paper's data."
        ),
        tables=(
            replace(measured, findings=findings),
            *([ways] if ways else []),
            printed_table(published, paper, table, theirs),
        ),
        notes=notes(results, (*measured.columns, *by_arithmetic)),
        tidy_header=HEADER,
        tidy_rows=(
            *tidy_rows(results, published, first, paper.name, table.number),
            *printed_rows(published, paper.name, table.number),
        ),
    )


def measured_part(
    paper: Paper, table: PaperTable, results: Results, published: Published, sections: Sequence[Section]
) -> Table:
    """What this suite measured, in the paper's columns, the printed number beside it on the paper's own datasets."""
    keys = set(results.keys())
    columns = tuple(column for column in table.ours if column.key in keys)
    made = without_empty(measured_table(results, published, sections, columns, paper.name, table.number))
    apart = {row.label for group in made.groups for row in group.rows if row.apart}
    return replace(
        made,
        name=f"{paper.name}-table{table.number}",
        title=f"Measured by this suite: {table.title}",
        caption=" ".join(filter(None, (main_caption(results, has_printed(made), apart), table.ranked))),
        paragraphs=table.rows,
    )


def drawn_by(name: str, results: Results) -> Results:
    """Results of a named decoding, with a suite that says so: captions and the CSV read how texts were drawn there."""
    if not name:
        return results
    suite = results.suite
    decoding = suite.decodings[name]
    datasets = {dataset: part.model_copy(update={"decoding": decoding}) for dataset, part in suite.datasets.items()}
    return replace(results, suite=suite.model_copy(update={"datasets": datasets}))
