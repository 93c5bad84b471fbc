"""Text of models, and names, in reports: shown as it is, and never markup, script or command."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.report.figures import save
from bench.report.model import Cell, Column, Figure, Listing, Note, NoteGroup, Report, Row, RowGroup, Table
from bench.report.render import render

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT, '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</td></table><script>x</script>",
    "&lt;b&gt; &#60;", "{{ 7 * 7 }} {% raw %} << 7 >> <% x %>", "[a](javascript:alert(1)) ![x](http://x) <http://x>",
    "| a | b |", "`x` ``y``", "\\input{/etc/passwd} \\write18{ls} %", "--- # 1. *a* __b__ ~~c~~ $x$ $$y$$",
    "]]> <!-- --> <![CDATA[", "a\\", "\u202e\u2028x",
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(HOSTILE), st.text("<>&\"'`*_|~$\\[]()!#-+.:;%{}^=/ abc1\u00e9\u2028", min_size=1, max_size=30)
)
TAGS = {"html", "head", "meta", "title", "style", "body", "main", "footer", "h1", "h2", "p", "section", "div",
        "span", "strong", "sup", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "dl", "dt", "dd",
        "code", "pre"}  # fmt: skip


def hostile(text: str) -> Report:
    """A report that has one text wherever a report has any."""
    cell = Cell(text, 1.0, text, text, "best", printed_marks=("a",))
    columns = (Column("text", text, text, align="left", wrap=True), Column("n", text))
    groups = (RowGroup(text, (Row(text, (cell, Cell("1")), apart=False),)),)
    table = Table("t", text, text, text, columns, groups, (text,), (("a", text),), (text,))
    notes = (NoteGroup(text, (Note(text, text, text), Note(text, text))),)
    figure = Figure("f", text, text, (), text, (text,))
    return Report(
        text, text, (table,), notes, ("x",), ((text,),), figures=(figure,), listings=(Listing("l", text, text, text),)
    )


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def every_example(test):
    test = settings(max_examples=15)(test)  # a report is rendered in each
    for text in HOSTILE:
        test = example(text)(test)
    return test


@every_example
@given(texts)
def test_html(text: str) -> None:
    page = Page(render(hostile(text), "html"))
    assert page.tags <= TAGS, page.tags - TAGS
    assert not [name for name in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert page.text.count(text) >= 12


@every_example
@given(texts)
def test_markdown(text: str) -> None:
    """Read by a parser of CommonMark with tables."""
    rows = [line for line in render(hostile(text), "md").split("\n") if line.startswith("| ")]
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(rows))
    inside = [token for block in tokens for token in (block.children or [])]
    assert {t.content for t in inside if t.type == "html_inline"} <= {"<sup>", "</sup>", "<ins>", "</ins>"}
    assert not [t for t in inside if t.type in ("link_open", "image", "em_open", "code_inline")]
    assert sum(token.type == "table_open" for token in tokens) == 1
    cells = [block for block in tokens if block.type == "inline"]
    shown = ["".join(t.content for t in cell.children or [] if t.type.startswith("text")) for cell in cells]
    assert sum(" ".join(text.split()) in " ".join(cell.split()) for cell in shown) >= 4, shown


@every_example
@given(texts)
def test_latex(text: str) -> None:
    """No command, comment, group or formula begins in a text."""
    plain, shown = (render(hostile(of), "tex") for of in ("word", text))
    commands = set(re.findall(r"\\[A-Za-z]+", shown)) - set(re.findall(r"\\[A-Za-z]+", plain))
    made_here = {"allowbreak", "texttt", *(f"text{name}" for name in (
        "backslash", "asciitilde", "asciicircum", "less", "greater", "bar", "quotedbl", "quotesingle", "asciigrave"
    ))}  # fmt: skip
    assert {command[1:] for command in commands} <= made_here
    assert len(re.findall(r"(?<!\\)%", shown)) == len(re.findall(r"(?<!\\)%", plain))
    bare = re.sub(r"\\[{}%&#_$]", "", shown)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0


@pytest.mark.parametrize("text", [t for t in HOSTILE if "$" not in t])  # of names, which hold no formula
def test_svg(text: str, tmp_path: Path) -> None:
    def make():
        from matplotlib import pyplot

        figure, axes = pyplot.subplots()
        axes.set_title(text)
        axes.plot([0, 1], label=text)
        axes.legend(title=text)
        return figure

    save(make, tmp_path / "figure.png")
    tree = ElementTree.parse(tmp_path / "figure.svg")
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not tags & {"script", "a", "image", "foreignObject", "img"}
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    assert sum(text.strip() in (element.text or "") for element in tree.iter()) >= 3
