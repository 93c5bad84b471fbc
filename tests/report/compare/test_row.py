"""The row to paste: Table 1's columns, numbers and escapes, and it compiles there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import suite as suites
from bench.freeze import freeze
from bench.report import table
from bench.report.compare.report import compare
from tests import fake_run

PLUGIN = 'class Own:\n    variants = {"my_own+bow": {}}\n'


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("%")]


def test_a_row_is_that_of_table1(run: str) -> None:
    """But for what is marked best there."""
    freeze(run, "r1")
    compare(run, (), ["r1"], Path("compare.md"))
    table.render(suites.load(run), "table1", Path("table1.md"))
    theirs = Path("table1.tex").read_text("utf-8").split(r"\begin{table}")[1]
    plain = re.sub(r"\\(?:textbf|underline)\{([^}]*)\}", r"\1", theirs)
    for row in rows(Path("compare.tex").read_text("utf-8")):
        assert row in plain.splitlines()
    head = next(line for line in theirs.splitlines() if line.startswith("Method"))
    assert f"% Columns: {head}" in Path("compare.tex").read_text("utf-8").splitlines()


@pytest.fixture
def pasted(run: str) -> str:
    """table1.tex with the rows of a method from outside."""
    freeze(run, "r1")
    Path("own.py").write_text(PLUGIN, encoding="utf-8")
    uses = ("own.py:Own",)
    table.render(suites.load(run), "table1", Path("table1.md"))
    fake_run.write_run(Path(), run, uses)
    compare(run, uses, ["r1"], Path("compare.md"))
    before, found, after = Path("table1.tex").read_text("utf-8").partition("\\bottomrule\n")
    return before + Path("compare.tex").read_text("utf-8") + found + after


def test_it_says_what_it_is_and_has_every_column(pasted: str) -> None:
    text = Path("compare.tex").read_text("utf-8")
    comments = [line for line in text.splitlines() if line.startswith("%")]
    assert "beside r1." in comments[0] and "% bbe, seeds 1, 2." in comments
    assert any(c.startswith("% sotu, seed 1. 95 \\% intervals over examples: PPL (IW) [") for c in comments)
    assert [row.split(" & ")[0] for row in rows(text)] == ["my\\_own+bow"] * 2
    assert all(row.endswith(r" \\") and row.count(" & ") == comments[1].count(" & ") for row in rows(text))
    assert text.replace("&", "&amp;").rstrip() in Path("compare.html").read_text("utf-8")
    assert text in Path("compare.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_it_compiles_in_table1(pasted: str) -> None:
    Path("t.tex").write_text(pasted, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
