"""``reports/trace/table6``: texts of the same trained models, drawn by several decodings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench import suite as suites
from bench.report.blocks import Section
from bench.report.collect import Results, gather
from bench.report.model import Report, Table
from bench.report.notes import notes
from bench.report.papers.paper import by_dataset, printed_methods, printed_table
from bench.report.papers.tables import drawn_by, measured_part
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.tidy import HEADER, printed_rows, tidy_rows
from bench.report.trace.findings import findings
from bench.report.trace.paper import TABLES, TRACE
from bench.schema import Suite

TABLE = TABLES["6"]
PRINTED = {  # method@... in results/published -> the section's head as printed
    "greedy": "Greedy decoding",
    "beam": "Beam search, beam size=10",
    "top_k": "Top-k, k=50",
}


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    names = suites.select(suite, report).decodings or [""]
    found = {name: drawn_by(name, gather(suite, report, root, decoding=name)) for name in names}
    write(build(found, load_published()), out)


def build(found: Mapping[str, Results], published: Published) -> Report:
    """The whole report: a table a decoding, by its name in the suite ("" for the datasets' own)."""
    first = next(iter(found.values()))
    measured = [_measured(name, results, published) for name, results in found.items()]
    return Report(
        title=f"Suite {first.suite.name}, after Table 6 of TRACE: decoding strategies",
        lead=(
            "Texts of the same trained models, drawn by one decoding after the other. Where decoding makes no random "
            "choice (greedy, beam search), all that differs from text to text is what was sampled from the prior: a "
            "model without latent variables writes one text over and over. Last the paper's own table."
        ),
        tables=(*measured, printed_table(published, TRACE, TABLE, _printed_sections(published))),
        notes=tuple(group for group in notes(first, measured[0].columns) if group.title != "Protocol"),
        tidy_header=HEADER,
        tidy_rows=(
            *(row for results in found.values() for row in _tidy(results, published)),
            *printed_rows(published, TRACE.name, TABLE.number),
        ),
    )


def _measured(name: str, results: Results, published: Published) -> Table:
    table = measured_part(TRACE, TABLE, results, published, by_dataset(results, TRACE))
    drawn = dict.fromkeys(suites.generation_of(results.suite, d).decoding.signature for d in results.datasets)
    return replace(
        table,
        name=f"{table.name}-{name}" if name else table.name,
        title=f"Measured by this suite: decoding {', '.join(drawn)}",
        findings=findings(results, TABLE.number),
    )


def _printed_sections(published: Published) -> list[Section]:
    """The printed rows, a section a decoding."""
    return [
        Section(
            f"{TRACE.datasets[dataset]}: {label}",
            dataset,
            {m: TRACE.row_label(m, True) for m in methods if m.endswith(f"@{key}")},
        )
        for dataset, methods in printed_methods(published, TRACE, TABLE.number).items()
        for key, label in PRINTED.items()
    ]


def _tidy(results: Results, published: Published) -> tuple[tuple[str, ...], ...]:
    return tidy_rows(results, published, [column.key for column in TABLE.ours], TRACE.name, TABLE.number)
