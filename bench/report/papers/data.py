"""The table of a paper that describes its datasets: sizes and lengths, from the manifests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import suite as suites
from bench.data.base import SPLITS
from bench.errors import BenchError
from bench.files import read_json
from bench.paths import CellPaths
from bench.report.blocks import has_printed, without_empty
from bench.report.collect import Taken, taken
from bench.report.model import Cell, Column, Footnotes, Note, Report, Row, RowGroup, Table, number
from bench.report.notes import data_notes, note_groups, release_notes
from bench.report.papers.paper import Paper, as_printed
from bench.report.published import Printed, Published, load_published
from bench.report.render import write
from bench.schema import Suite

HEADER = ("dataset", "quantity", "value", "published", "published_note")
COUNTS, WORDS, TOKENS, CUT = "Texts", "Words a text", "Tokens a text", "Cut, %"
COLUMNS = (
    *(Column(part, part, COUNTS) for part in SPLITS),
    Column("source_length", "source", WORDS),
    Column("length", "text", WORDS),
    Column("source_tokens", "source", TOKENS),
    Column("tokens", "text", TOKENS),
    Column("source_cut", "source", CUT),
    Column("cut", "text", CUT),
)
PRINTED = (
    Column("train", "# Train"),
    Column("valid", "# Dev"),
    Column("test", "# Test"),
    Column("source_length", "source", "Average length"),
    Column("length", "text", "Average length"),
)
LENGTHS = {  # column -> what manifests call it
    "source_length": "source_words_a_text",
    "length": "words_a_text",
    "source_tokens": "source_tokens_a_text",
    "tokens": "tokens_a_text",
}
OVER = {"source_cut": "sources_cut_at_max_tokens", "cut": "cut_at_max_tokens"}

Manifest = Mapping[str, Any]


def render(paper: Paper, suite: Suite, report: str, out: Path, root: Path) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    manifests = {}
    for dataset in suites.select(suite, report).datasets:
        path = root / CellPaths(suite.name, dataset, "", 0).manifest
        manifests[dataset] = read_json(path, "manifest")
        if not all(part in manifests[dataset].get("splits", {}) for part in SPLITS):
            raise BenchError(f"manifest {path}: expected the splits {', '.join(SPLITS)}")
    write(build(paper, report.partition("/table")[2], suite, manifests, load_published(), taken(root)), out)


def build(
    paper: Paper, table: str, suite: Suite, manifests: Mapping[str, Manifest], published: Published, whence: Taken
) -> Report:
    """The whole report; ``table`` is the table's number in the paper."""
    rows = published.table(paper.name, table)
    statistics = {dataset: statistics_of(manifest) for dataset, manifest in manifests.items()}
    return Report(
        title=f"Suite {suite.name}, after Table {table} of {paper.label}: datasets",
        lead="The texts this suite trains and tests on, as they were prepared, and the datasets of the paper.",
        tables=(_measured(paper, table, statistics, rows), _printed(paper, table, rows)),
        notes=note_groups(
            Data=data_notes(manifests, manifests),
            Filtering=_filtered(manifests),
            Tokens=_tokenizers(manifests),
            Provenance=release_notes(whence),
        ),
        tidy_header=HEADER,
        tidy_rows=(*_tidy(statistics), *((r.dataset, r.metric, "", r.text, r.note) for r in rows)),
    )


def statistics_of(manifest: Manifest) -> dict[str, float]:
    """Texts a split; means over the texts of all splits; the share of texts over the limit. Column key -> number."""
    splits = [manifest["splits"][part] for part in SPLITS]
    found: dict[str, float] = {part: split["texts"] for part, split in zip(SPLITS, splits, strict=True)}
    total = sum(found.values())
    for key, name in LENGTHS.items():
        if all(name in split for split in splits):
            found[key] = sum(split["texts"] * split[name] for split in splits) / total
    for key, name in OVER.items():
        if all(name in split for split in splits):
            found[key] = 100 * sum(split[name] for split in splits) / total
    return found


def _measured(
    paper: Paper, number: str, statistics: Mapping[str, Mapping[str, float]], theirs: Sequence[Printed]
) -> Table:
    footnotes = Footnotes()
    beside = {(row.dataset, row.metric): row for row in theirs}
    rows = tuple(
        Row(dataset, tuple(_cell(of, column.key, beside.get((dataset, column.key)), footnotes) for column in COLUMNS))
        for dataset, of in statistics.items()
    )
    conditional = any("source_length" in of for of in statistics.values())
    table = Table(
        name=f"{paper.name}-table{number}",
        title="The datasets of this suite",
        caption="",
        stub="Dataset",
        columns=COLUMNS,
        groups=(RowGroup("", rows),),
        footnotes=footnotes.listed(),
    )
    return without_empty(replace(table, caption=_caption(has_printed(table), conditional)))


def _caption(beside: bool, conditional: bool) -> str:
    sentences = [
        "Texts used of each split. Words (between white space) and tokens (of the suite's own tokenizer, with BOS and "
        "EOS) are means over the texts of all splits before any is cut. Cut: the share that is longer than the limit "
        "below."
    ]
    if conditional:
        sentences.append("source: what a text is conditioned on; -: an unconditional dataset has none.")
    if beside:
        sentences.append("In parentheses: the number the paper prints for its own version of the dataset.")
    return " ".join(sentences)


def _cell(of: Mapping[str, float], key: str, printed: Printed | None, footnotes: Footnotes) -> Cell:
    if key not in of:
        return Cell()
    value = of[key]
    cell = Cell(f"{value:,.0f}" if key in SPLITS else number(value, 1), value)
    if printed is None:
        return cell
    theirs = as_printed(printed, footnotes)
    return replace(cell, printed=theirs.text, printed_marks=theirs.marks)


def _printed(paper: Paper, number: str, rows: Sequence[Printed]) -> Table:
    """The table as printed."""
    footnotes = Footnotes()
    at = {(row.dataset, row.metric): row for row in rows}
    return without_empty(Table(
        name=f"{paper.name}-table{number}-printed",
        title=f"As the paper prints it: {paper.label}, Table {number}",
        caption=(
            f"Printed by {paper.source}, Table {number}, not measured here. It does not say what a length counts."
        ),
        stub="Dataset",
        columns=PRINTED,
        groups=(RowGroup("", tuple(
            Row(paper.datasets.get(dataset, dataset), tuple(
                as_printed(at[dataset, column.key], footnotes) if (dataset, column.key) in at else Cell()
                for column in PRINTED
            ))
            for dataset in dict.fromkeys(row.dataset for row in rows)
        )),),
        footnotes=footnotes.listed(),
    ))  # fmt: skip


def _filtered(manifests: Mapping[str, Manifest]) -> tuple[Note, ...]:
    return tuple(Note(dataset, "; ".join(of["notes"])) for dataset, of in manifests.items() if of.get("notes"))


def _tokenizers(manifests: Mapping[str, Manifest]) -> tuple[Note, ...]:
    found = []
    for dataset, of in manifests.items():
        limits = [f"a {what} is cut at {of[key]}" for what, key in
                  (("text", "max_tokens"), ("source", "max_source_tokens")) if key in of]  # fmt: skip
        tokenizer = of.get("tokenizer", {})
        size = [f"a vocabulary of {tokenizer['vocabulary']:,}"] if "vocabulary" in tokenizer else []
        if size or limits:
            found.append(Note(dataset, "; ".join([*size, *limits])))
    return tuple(found)


def _tidy(statistics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    return [(dataset, key, repr(value), "", "") for dataset, of in statistics.items() for key, value in of.items()]
