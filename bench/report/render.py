"""One report, one path to every format: a jinja2 template each, everything printed through that format's escape."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from markupsafe import escape as html

from bench.files import atomic
from bench.report.model import Cell, Report, Table

FORMATS = ("md", "csv", "tex", "html")

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$", "×": r"$\times$", "Δ": r"$\Delta$",
    "−": "$-$", "\N{NO-BREAK SPACE}": "~", "–": "--", "—": "---",
    "→": r"$\rightarrow$", "τ": r"$\tau$", "≤": r"$\le$", "≥": r"$\ge$", "β": r"$\beta$", "γ": r"$\gamma$",
    "§": r"\S{}", "σ": r"$\sigma$", "√": r"$\surd$", "κ": r"$\kappa$",
}  # fmt: skip

_MARKDOWN = re.compile(r"[\\`*_<>|~$]|\](?=[(\[:])|&(?=#?\w+;)")

_TEX_DELIMITERS: dict[str, Any] = {  # LaTeX is full of braces and percent signs
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "block_start_string": "<%",
    "block_end_string": "%>",
    "comment_start_string": "<#",
    "comment_end_string": "#>",
}


def tex(text: object) -> Markup:
    """Text for LaTeX (pdflatex, T1): specials escaped, letters it has no glyph for by their code point.

    >>> print(tex("50 % of a_b & ±1"))
    50 \\% of a\\_b \\& $\\pm$1
    """
    if isinstance(text, Markup):
        return text
    return Markup("".join(map(_tex_character, str(text))))


def _tex_character(character: str) -> str:
    if character in _TEX:
        return _TEX[character]
    if ord(character) < 0x180:  # inputenc knows Latin-1 and Latin Extended-A
        return character if character.isprintable() else " "
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_TEX.get(c, c) for c in plain) or rf"\texttt{{U+{ord(character):04X}}}"


def markdown(text: object) -> Markup:
    """Text for GitHub-flavoured Markdown, also in a table: no emphasis, link, HTML, formula or cell border by accident.

    >>> print(markdown("a|b *c* <i>"))
    a\\|b \\*c\\* \\<i\\>
    """
    return text if isinstance(text, Markup) else Markup(re.sub(_MARKDOWN, r"\\\g<0>", str(text)))


def markdown_code(text: str) -> Markup:
    """A code span, whatever backticks the text holds."""
    fence, pad = _fence(text, 1), " " if "`" in text else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}")


def markdown_block(text: str) -> Markup:
    """A block of code, likewise."""
    fence = _fence(text, 3)
    return Markup(f"{fence}\n{text.rstrip()}\n{fence}")


def _fence(text: str, least: int) -> str:
    return "`" * max(least, *(1 + len(run) for run in re.findall("`+", text)), 0)


def markdown_cell(cell: Cell) -> Markup:
    """A number as it stands in a Markdown table."""
    left, right = {"best": ("**", "**"), "second": ("<ins>", "</ins>"), "": ("", "")}[cell.emphasis]
    spread = f" ± {markdown(cell.spread)}" if cell.spread else ""
    printed = f" ({markdown(cell.printed)}{_superscript(cell.printed_marks)})" if cell.printed else ""
    return Markup(f"{left}{markdown(cell.text)}{right}{spread}{_superscript(cell.marks)}{printed}")


def _superscript(marks: Sequence[str]) -> str:
    return f"<sup>{','.join(marks)}</sup>" if marks else ""


def markdown_table(table: Table) -> list[str]:
    """Aligned pipes. Heads over column groups are the header row, and column heads the first row, in bold."""
    heads = [Markup(f"**{markdown(c.head)}**") for c in table.columns]
    rows: list[list[str]] = []
    if table.heads:
        over = [text for head in table.heads for text in (markdown(head.label), *[""] * (head.span - 1))]
        rows = [["", *over], [f"**{markdown(table.stub)}**", *heads]]
    else:
        rows = [[str(markdown(table.stub)), *(str(markdown(c.head)) for c in table.columns)]]
    for group in table.groups:
        if group.label:
            rows.append([f"**{markdown(group.label)}**", *[""] * len(table.columns)])
        for row in group.rows:
            label = markdown(row.label)
            rows.append([f"*{label}*" if row.apart else label, *map(markdown_cell, row.cells)])
    rights = [False, *(column.align == "right" for column in table.columns)]
    wraps = [False, *(column.wrap for column in table.columns)]  # padded, one long text would make every line as long
    widths = [3 if wraps[i] else max(3, *(len(row[i]) for row in rows)) for i in range(len(rights))]
    rule = ["-" * (width - 1) + ":" if right else "-" * width for width, right in zip(widths, rights, strict=True)]
    padded = [
        [
            str(cell).rjust(w) if right else str(cell).ljust(w)
            for cell, w, right in zip(row, widths, rights, strict=True)
        ]
        for row in (rows[0], rule, *rows[1:])
    ]
    return ["| " + " | ".join(row) + " |" for row in padded]


def tex_code(text: str) -> Markup:
    """Fixed-width text that may break after its separators: signatures are longer than a line."""
    return Markup(r"\texttt{" + re.sub(r"(\\textbar\{\}|[,;)])", r"\1\\allowbreak{}", tex(text)) + "}")


def csv_line(fields: Sequence[str]) -> Markup:
    """One line of RFC 4180 CSV, without its end."""
    stream = io.StringIO()
    csv.writer(stream).writerow(fields)  # which quotes what its own line end has in it
    return Markup(stream.getvalue().removesuffix("\r\n"))


def tex_label(name: str) -> Markup:
    r"""A name as a LaTeX ``\label`` may have it.

    >>> print(tex_label("della-figure4-cnn_dailymail-1"))
    della-figure4-cnn-dailymail-1
    """
    return Markup(re.sub(r"[^A-Za-z0-9-]+", "-", name))


def write(report: Report, out: Path, formats: Sequence[str] = FORMATS) -> None:
    """A report in every format, beside ``out``, which names one of the files."""
    for form in formats:
        with atomic(out.with_suffix(f".{form}")) as stream:
            stream.write(render(report, form))


def render(report: Report, form: str) -> str:
    """A report in one of :data:`FORMATS`."""
    return environment(form).get_template(f"report.{form}.j2").render(report=report)


def environment(form: str) -> Environment:
    """The templates of one format, which escape whatever they print."""
    escapes: dict[str, Callable[[Any], Markup]] = {"md": markdown, "tex": tex, "html": html, "csv": Markup}
    made = Environment(
        loader=PackageLoader("bench.report"),
        finalize=escapes[form],  # every printed value is escaped; what a filter below made is Markup, and kept
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(_TEX_DELIMITERS if form == "tex" else {}),
    )
    made.filters.update(pipes=markdown_table, code=tex_code if form == "tex" else markdown_code, csv=csv_line)
    made.filters.update(block=markdown_block, label=tex_label)
    return made
