"""``--out`` of reports, comparisons and human evaluation: one of the files that are written, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import main
from bench.freeze import freeze

TABLE, FIGURE, SITE = (
    ("report", "--report", "table1"),
    ("report", "--report", "curves"),
    ("report", "--report", "index"),
)
COMPARE = ("compare", "--frozen", "r1")
ENDINGS = {TABLE: ".md or .csv or .tex or .html", FIGURE: ".png or .svg", SITE: ".html"}
ENDINGS[COMPARE] = ENDINGS[TABLE]


def there() -> list[Path]:
    return sorted(Path().rglob("*"))


@pytest.mark.parametrize("verb", list(ENDINGS), ids=lambda verb: verb[-1])
def test_a_name_that_no_file_would_have_is_one_line(
    verb: tuple[str, ...], run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(run, "r1")
    Path("folder").mkdir()
    before = there()
    for out in (".", "/", "", "..", "folder", "davam-2026.11", "out.pdf", "out", ".md", "out.MD"):
        assert main([verb[0], "--suite", run, *verb[1:], "--out", out]) == 2
        said = f"bench: --out {Path(out)}: expected the name of a file that ends in {ENDINGS[verb]}\n"
        assert capsys.readouterr().err == said
    assert there() == before


@pytest.mark.parametrize(("verb", "out"), [(TABLE, "t.png"), (FIGURE, "t.md"), (SITE, "t.md"), (COMPARE, "t.svg")])
def test_of_another_kind_of_report(
    verb: tuple[str, ...], out: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb[0], "--suite", run, *verb[1:], "--out", out]) == 2
    assert ENDINGS[verb] in capsys.readouterr().err and not list(Path().glob("t.*"))


@pytest.mark.parametrize("taken", ["t.csv", "t.html"])
def test_nothing_is_written_where_a_sibling_is_a_folder(
    taken: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(taken).mkdir()
    assert main(["report", "--suite", run, *TABLE[1:], "--out", "t.csv"]) == 2
    assert capsys.readouterr().err == f"bench: --out t.csv: {taken} is there and no regular file\n"
    assert [path.name for path in Path().glob("t.*")] == [taken]


def test_dots_before_the_ending_are_the_names_own(run: str) -> None:
    assert main(["report", "--suite", run, *TABLE[1:], "--out", "new/davam-2026.11.tex"]) == 0
    assert {path.name for path in Path("new").iterdir()} == {
        f"davam-2026.11.{form}" for form in ("md", "csv", "tex", "html")
    }


def test_of_human_evaluation(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["humaneval", "score", "nowhere", "--out", "out.png"]) == 2
    assert capsys.readouterr().err.startswith("bench: --out out.png: expected the name of a file that ends in .md or")
