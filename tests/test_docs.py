"""What the documents point at is there: files and headings by link, suites and modules by name, commands by option."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from bench import dag
from bench.cli import _parser
from bench.paths import releases
from bench.report import catalogue

ROOT = Path(__file__).parents[1]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
DOCUMENTS = [ROOT / name for name in LISTED.split()] or sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python -m ((?:bench|benchmarks|tests)(?:\.\w+)*)")
INLINE = re.compile(r"`([^`]+)`")
FILE = re.compile(r"\b((?:workflow|bench|benchmarks|tests|docs|results)/[\w./-]+\.(?:py|yaml|smk|md|txt|csv|json))\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = [link for link in LINK.findall(text) if not _is_there(link, document)]
    missing += [module for module in COMMAND.findall(text) if not _module(module)]
    here = [file for file in FILE.findall(text) if not file.startswith("results/runs/")]  # those are made by a run
    missing += [file for file in here if not (ROOT / file).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_a_document_gives_is_one(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parsed as ``bench`` itself does it, and not run; of one that is only named or has ``...``, the verb is."""
    for words in _commands(document.read_text(encoding="utf-8")):
        whole = len(words) > 1 and "..." not in words
        try:
            given = _parser().parse_args(words if whole else [words[0], "--help"])
        except SystemExit as left:
            assert left.code == 0, f"{' '.join(words)}: {capsys.readouterr().err}"
        else:
            assert not getattr(given, "report", None) or catalogue.find(given.report)
            assert {*getattr(given, "frozen", ())} <= {*releases(ROOT)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_target_a_document_asks_snakemake_for_is_one(document: Path) -> None:
    """A report, a rule of the Snakefile or a file of a run; and what it configures can be configured."""
    rules = set(re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(encoding="utf-8"), re.M))
    for words in _lines(document.read_text(encoding="utf-8"), "snakemake "):
        configured = words[words.index("--config") + 1 :] if "--config" in words else []
        for setting in itertools.takewhile(lambda word: "=" in word, configured):
            assert setting.partition("=")[0] in dag.DEFAULTS, f"{document.name}: {setting}"
        targets = words[words.index("--") + 1 :] if "--" in words else [w for w in words if w.startswith("reports/")]
        for target in targets:
            name = re.sub(r"^reports/|\.\w+$", "", target)
            known = target in rules or target.startswith("results/runs/") or name in ("compare", "compare-pareto")
            assert known or catalogue.find(name), f"{document.name}: {target}"


def test_rows_of_tables_are_those_of_the_tables_they_are_from() -> None:
    """docs/della.md shows parts of the tables beside it: each row, or some columns of it, as it is there."""
    shown = _rows((ROOT / "docs/della.md").read_text(encoding="utf-8"))
    there = [row for table in (ROOT / "docs/della").glob("table*.md") for row in _rows(table.read_text("utf-8"))]
    assert len(shown) > 30
    for row in shown:
        assert any(_among(row, whole) for whole in there), row


def _rows(text: str) -> list[list[str]]:
    """The cells of every row of numbers."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return [row for row in rows if any(re.search(r"\d\.\d", cell) for cell in row[1:])]


def _among(some: list[str], cells: list[str]) -> bool:
    """Whether these cells are among others, in their order."""
    left = iter(cells)
    return all(cell in left for cell in some)


def test_there_are_commands_to_look_at() -> None:
    """Or the tests above would hold of nothing."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(_commands(text)) > 10 and len(_lines(text, "snakemake ")) > 15


def _commands(text: str) -> list[list[str]]:
    """What follows ``python -m bench``, in a block or a line's own ticks."""
    return [words[3:] for words in _lines(text, "python -m bench ")]


def _lines(text: str, start: str) -> list[list[str]]:
    """The commands that start so, in a block or a line's own ticks, as a shell would split them."""
    fence = re.compile(r"^```.*?^```", re.M | re.S)
    blocks = "\n".join(fence.findall(text)).replace("\\\n", " ").splitlines()
    lines = [line.strip() for line in blocks] + [" ".join(span.split()) for span in INLINE.findall(fence.sub("", text))]
    each = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(line, comments=True) for line in each if line.startswith(start)]


def _is_there(link: str, document: Path) -> bool:
    """A link of the project itself: to a file, a heading of one, or a heading of the same document."""
    if re.match(r"\w+:", link):
        return True  # elsewhere: a test needs no network
    path, _, heading = link.partition("#")
    target = document.parent / path if path else document
    if not heading or target.suffix != ".md":
        return target.exists()
    return target.exists() and heading in map(_anchor, re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.M))


def _anchor(heading: str) -> str:
    """As code hosts make them: lower case, without punctuation, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()
