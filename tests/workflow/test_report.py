"""``snakemake --report``: every report under its paper, with a label, what it is about and a caption."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, browser
from tests.workflow.tree import copy

SUITE = """\
name: tiny
datasets: {bbe: {train: 8, valid: 4, test: 4}}
methods: [gpt2, memory]
seeds: [1]
metrics: {elbo: , bleu: }
reports:
  table1: &both {datasets: [bbe], methods: [gpt2, memory]}
  curves: *both
  whole: *both
  della/table8: *both
  della/figure6: {datasets: [bbe], methods: [memory]}
"""
CLICK = "[...document.querySelectorAll({!r})].find((e) => e.innerText.trim().startsWith({!r})).click()"


@pytest.mark.long
def test_the_report_has_a_head_a_paper_and_a_line_a_report(tmp_path: Path) -> None:
    tree = copy(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    config = ("--config", "suite=tiny.yaml")
    tree.run(*config, "--", "reports/whole.html")
    for name in ("report.html", "report.zip"):
        done = tree.snakemake(*config, "--report", name, "--", "reports/whole.html")
        assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(tmp_path / "report.zip").namelist()
    for file in ("table1.html", "curves.svg", "whole.html", "table8.html", "figure6.svg"):
        assert sum(name.endswith(f"/{file}") for name in names) == 1, names
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: the report was made and not looked at")
    with browser() as page:
        for head, lines in (
            ("This suite", ("Learning curves", "The main quantities", "The site with every report")),
            ("DELLA", ("Figure 6: Attention on the memory token", "Table 8: Language modelling and generation")),
        ):
            page.open((tmp_path / "report.html").as_uri())
            said = settled(page, "document.body.innerText", "DELLA")
            assert "Figures" not in said and said.index("DELLA") < said.index("This suite")
            page.run(CLICK.format("a", head))
            said = " ".join(settled(page, "document.body.innerText", lines[0].split()[-1]).split())
            assert all(line in said for line in lines)
        row = "[...document.querySelectorAll('tr')].find((e) => e.innerText.includes('Table 8'))"
        page.run(f"{row}.querySelectorAll('a')[1].click()")
        said = settled(page, "document.body.innerText", "DESCRIPTION")
        assert "From the cells that the suite selects for della/table8" in said


def settled(page, expression: str, wanted: str) -> str:
    """What the page shows once it shows what is wanted: it draws itself after it was loaded."""
    for _ in range(100):
        text = page.run(expression)
        if wanted in text:
            return text
        time.sleep(0.1)
    raise AssertionError(f"no '{wanted}' in {text}")
