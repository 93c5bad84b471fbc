"""Figure 3: from sentence 1 to sentence 2, whatever the texts hold."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from bench import suite as suites
from bench.errors import BenchError
from bench.files import write_json
from bench.paths import CellPaths
from bench.report.della.interpolation import render
from bench.schema import Suite
from tests import fake_run

REPORT = "della/figure3"
YAML = """
name: tiny
datasets: [bbe]
methods: [embed, della]
seeds: [1, 2]
metrics: [elbo]
reports:
  della/figure3: {datasets: [bbe], methods: [embed, della]}
"""
NASTY = "<script>alert(1)</script> a|b `c` _d_ \\e & &lt;f $5 and $6 *g* [h](i)"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    loaded = suites.load(fake_run.write_suite(tmp_path, YAML))
    for cell in suites.cells(loaded):
        who = f"{cell.method} {cell.seed}"
        pairs = [{"texts": ["first", "second"], "decoded": [f"{who} near first", NASTY, f"{who} near second"]}] * 2
        write_json(file(cell), {"decoding": "greedy()", "seed": cell.seed, "taus": [1, 0.5, 0], "pairs": pairs})
    return loaded


def file(cell: suites.Cell) -> Path:
    return CellPaths("tiny", cell.dataset, cell.method, cell.seed).interpolation


def test_a_table_a_method_and_pair_from_one_end_to_the_other(suite: Suite) -> None:
    render(suite, REPORT, Path("f.md"))
    text = Path("f.md").read_text(encoding="utf-8")
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    assert titles == [f"bbe · {method} · pair {i}" for method in ("embed", "della") for i in (1, 2)]
    rows = re.findall(r"^\| (\S.*?) *\| (.*) \|$", text.partition(titles[1])[0], re.MULTILINE)[2:]
    assert [label for label, _ in rows] == ["*Sentence 1*", "τ = 1", "τ = 0.5", "τ = 0", "*Sentence 2*"]
    assert [shown for _, shown in rows][::2] == ["first", rows[2][1], "second"]
    assert rows[1][1] == "embed 1 near first" and rows[3][1] == "embed 1 near second"
    assert "embed 2" not in text  # the first seed's, and the CSV has all


def test_the_csv_has_every_seed_and_texts_as_they_are(suite: Suite) -> None:
    render(suite, REPORT, Path("f.md"))
    with open("f.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 2 * 5
    assert {(row["method"], row["seed"]) for row in rows} == {(m, s) for m in ("embed", "della") for s in "12"}
    assert {row["text"] for row in rows if row["tau"] == "0.5"} == {NASTY}


def test_texts_are_escaped_and_wrap(suite: Suite) -> None:
    render(suite, REPORT, Path("f.md"))
    html, markdown, tex = (Path(f"f.{form}").read_text(encoding="utf-8") for form in ("html", "md", "tex"))
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html and "&amp;lt;f" in html
    assert 'class="left wrap"' in html and "white-space: normal" in html
    shown = next(line for line in markdown.splitlines() if "script" in line)
    assert r"\<script\>alert(1)\</script\> a\|b \`c\` \_d\_ \\e & \&lt;f \$5 and \$6 \*g\* [h\](i)" in shown
    assert len(re.findall(r"(?<!\\)\|", shown)) == 3
    assert r"a\textbar{}b \textasciigrave{}c\textasciigrave{} \_d\_ \textbackslash{}e" in tex
    assert r"p{0.80\linewidth}" in tex and r"$\tau$ = 0.5" in tex


def test_a_damaged_file_is_one_line(suite: Suite) -> None:
    path = file(suites.cells(suite)[0])
    write_json(path, {"decoding": "greedy()", "seed": 1, "taus": [1], "pairs": [{"texts": ["a"], "decoded": []}]})
    with pytest.raises(BenchError, match=r"seed1/interpolation\.json: key 'pairs\.0\.texts\.1' is missing"):
        render(suite, REPORT, Path("f.md"))
