"""One small report in every format."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markupsafe import Markup

from bench.report.model import Cell, Column, Figure, Listing, Note, NoteGroup, Report, Row, RowGroup, Table
from bench.report.render import FORMATS, render

NASTY = "a_b & 50% {x} <b>#$^~\\ | *c* `d` ±∞→é漢"
COLUMNS = (
    Column("ppl", "PPL", "Likelihood", "down"),
    Column("kl", "KL", "Likelihood"),
    Column("bleu4", "BLEU-4", "Quality", "up"),
)
GPT2 = (Cell("25.10", 25.1, "0.20", "25.80", "second"), Cell(), Cell("30.00", 30.0, emphasis="best"))
DELLA = (
    Cell("24.00", 24.0, "0.10", "10.28", "best", printed_marks=("b",)),
    Cell("3.00", 3.0),
    Cell("n/c", marks=("a",)),
)
HUMAN = (Cell(), Cell(), Cell("35.00", 35.0))
TABLE = Table(
    name="t",
    title="A table",
    caption="Its caption.",
    stub="Method",
    columns=COLUMNS,
    groups=(RowGroup("ptb", (Row("gpt2", GPT2), Row("della", DELLA), Row("human", HUMAN, apart=True))),),
    footnotes=(("a", "not comparable: N is 5, not 4"), ("b", "printed: odd")),
)
REPORT = Report(
    "Title", "Lead.", (TABLE,), (NoteGroup("Notes", (Note("Term", "text", "co|de"),)),), ("x", "y"), (("1", "2"),)
)


def nasty() -> Report:
    """The report with every text replaced by one that breaks each format."""
    cell = Cell(NASTY, 1.0, NASTY, NASTY, "best", ("a",), ("a",))
    row = RowGroup(NASTY, (Row(NASTY, (cell,) * 3), Row(NASTY, (replace(cell, emphasis="second"),) * 3, apart=True)))
    columns = tuple(replace(column, label=NASTY, group=NASTY + column.group) for column in COLUMNS)
    table = replace(TABLE, title=NASTY, caption=NASTY, stub=NASTY, columns=columns, groups=(row,), paragraphs=(NASTY,),
                    footnotes=(("a", NASTY),), findings=(NASTY,))  # fmt: skip
    return Report(NASTY, NASTY, (table,), (NoteGroup(NASTY, (Note(NASTY, NASTY, NASTY),)),), ("x",), ((NASTY,),))


def test_markdown_is_golden() -> None:
    golden = Path(__file__).parent / "golden.md"
    assert render(REPORT, "md") == golden.read_text(encoding="utf-8")


def test_markdown_pipes_are_aligned() -> None:
    for report in (REPORT, nasty()):
        lines = [line for line in render(report, "md").splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) == 1
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@pytest.mark.parametrize("text", ["plain\ntext", "a ``` b\n````\nc", "`"])
def test_a_listing_is_shown_as_it_is(text: str) -> None:
    report = replace(REPORT, listings=(Listing("l", "A listing", "Copy it.", text),))
    blocks = [token for token in MarkdownIt().parse(render(report, "md")) if token.type == "fence"]
    assert [block.content for block in blocks] == [text + "\n"]
    parser = Tags()
    parser.feed(render(report, "html"))
    assert text in "".join(parser.text)


def test_figures_and_listings_follow_the_first_table() -> None:
    figure = Figure("f", "A figure", "Its caption.", (Markup('<svg id="p0-a"></svg>'),), "f.svg", ("A finding.",))
    listing = Listing("l", "A listing", "Copy it.", "x")
    tables = (TABLE, replace(TABLE, name="u", title="Another table"))
    report = replace(REPORT, tables=tables, figures=(figure,), listings=(listing,))
    titles = ["A table", "A figure", "A listing", "Another table", "Notes"]
    assert re.findall("^## (.*)$", render(report, "md"), re.M) == titles
    assert re.findall("<h2>(.*)</h2>", render(report, "html")) == titles
    assert "![A figure](f.svg)" in render(report, "md") and '<svg id="p0-a"></svg>' in render(report, "html")


@pytest.mark.parametrize("form", FORMATS)
def test_one_newline_at_the_end(form: str) -> None:
    text = render(REPORT, form)
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert "\n\n\n" not in text


def test_a_label_has_nothing_that_latex_reads() -> None:
    written = render(replace(REPORT, tables=(replace(TABLE, name="figure4-cnn_dailymail-top_k"),)), "tex")
    assert "\\label{tab:figure4-cnn-dailymail-top-k}" in written


def test_csv_survives_any_text() -> None:
    for text in ('say "x", or\nnot', "one\nother", "one\rother", "one\r\n"):
        report = replace(REPORT, tidy_rows=((NASTY, text),))
        written = io.StringIO(render(report, "csv"), newline="")
        assert list(csv.reader(written)) == [["x", "y"], [NASTY, text]]


class Tags(HTMLParser):
    """Checks that tags nest and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_escaped_whole_and_needs_nothing() -> None:
    parser = Tags()
    text = render(nasty(), "html")
    parser.feed(text)
    assert parser.open == [] and "<b>" not in text
    assert sum(NASTY in part for part in parser.text) >= 12
    assert not any(name in ("src", "href") for name, _ in parser.attributes)
    assert "viewport" in text and "http" not in text


def test_html_marks_best_and_second() -> None:
    text = render(REPORT, "html")
    assert "<strong>24.00</strong>" in text and "<ins>25.10</ins>" in text
    assert '<tr class="apart"><th scope="row">human</th>' in text


def test_tex_escapes_and_balances() -> None:
    text = render(nasty(), "tex")
    assert r"a\_b \& 50\% \{x\} \textless{}b\textgreater{}\#\$\textasciicircum{}\textasciitilde{}" in text
    assert r"$\pm$$\infty$$\rightarrow$é\texttt{U+6F22}" in text
    unescaped = re.sub(r"\\[{}\\]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert sorted(re.findall(r"\\begin\{(\w+)\}", text)) == sorted(re.findall(r"\\end\{(\w+)\}", text))


def test_tex_rows_have_every_column() -> None:
    body = render(REPORT, "tex").split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [row for row in body.split(r"\\")[1:] if row.strip()]
    assert [row.count("&") for row in rows] == [3, 3, 3]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
@pytest.mark.parametrize("report", [REPORT, nasty()], ids=["plain", "nasty"])
def test_tex_compiles(report: Report, tmp_path: Path) -> None:
    (tmp_path / "t.tex").write_text(render(report, "tex"), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
