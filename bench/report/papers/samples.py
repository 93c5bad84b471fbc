"""What every method generates, side by side: from one prompt, or from the prior where there are none.

Figure 4 of DELLA and of TRACE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench import suite as suites
from bench.data.prepare import read_split
from bench.paths import CellPaths
from bench.report.model import Cell, Column, Report, Row, RowGroup, Table
from bench.report.render import write
from bench.samples import read_samples
from bench.schema import Suite
from bench.suite import UNTRAINED

SHOWN = 4  # prompts of a conditional dataset, or samples of another
LEAD = (
    "The first texts that each method generated, as they are; none was chosen. Of a dataset of pairs, every text is "
    "generated from the prompt above it, the first ones of the test set, and the reference is what a human wrote to "
    "that prompt. Of other datasets, texts are generated from the prior and have nothing in common but their number; "
    "the human row is validation texts."
)
HEADER = ("dataset", "example", "method", "seed", "text")
PROMPT, REFERENCE = "prompt", "reference"
Texts = Mapping[tuple[str, int | None], list[str]]  # (method or what else the row is, seed) -> texts


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; tables show a method's first seed, the CSV all of them."""
    found = {dataset: read(suite, report, dataset, root) for dataset in suites.select(suite, report).datasets}
    tables = [table(suite, dataset, texts, i) for dataset, texts in found.items() for i in range(shown(texts))]
    rows = [
        (dataset, str(i + 1), method, "" if seed is None else str(seed), of[i])
        for dataset, texts in found.items()
        for i in range(shown(texts))
        for (method, seed), of in texts.items()
    ]
    paper, _, figure = report.partition("/figure")
    title = f"Generated texts side by side ({paper.upper()}, Figure {figure})"
    write(Report(title, LEAD, tuple(tables), (), HEADER, tuple(rows)), out)


def read(suite: Suite, report: str, dataset: str, root: Path) -> Texts:
    """Prompts and references where there are any, then the texts of each method and of human."""
    test = read_split(root / CellPaths(suite.name, dataset, "", 0).data, "test")
    texts: dict[tuple[str, int | None], list[str]] = {}
    if test.sources is not None:
        texts = {(PROMPT, None): test.sources, (REFERENCE, None): test.texts}
    for cell in (*suites.cells(suite, report), *suites.untrained(suite, report)):
        if cell.dataset == dataset and (cell.method not in UNTRAINED or test.sources is None):
            path = root / CellPaths(suite.name, dataset, cell.method, cell.seed).samples
            texts[cell.method, None if cell.method in UNTRAINED else cell.seed] = read_samples(path)
    return texts


def shown(texts: Texts) -> int:
    """How many examples all rows of a dataset have, up to SHOWN."""
    return min(SHOWN, *map(len, texts.values()))


def table(suite: Suite, dataset: str, texts: Texts, i: int) -> Table:
    """The i-th text of every row of one dataset."""
    first: dict[str, tuple[int | None, str]] = {}
    for (method, seed), of in texts.items():
        first.setdefault(method, (seed, of[i]))
    seeds = dict.fromkeys(str(seed) for seed, _ in first.values() if seed is not None)
    rows = tuple(Row(method, (Cell(text),), apart=seed is None) for method, (seed, text) in first.items())
    decoding = suites.generation_of(suite, dataset).decoding.signature
    return Table(
        name=f"{dataset}-{i + 1}",
        title=f"{dataset} · {'prompt' if PROMPT in first else 'sample'} {i + 1}",
        caption=f"Decoding {decoding}, seed {', '.join(seeds)}.",
        stub="Method",
        columns=(Column("text", "Text", align="left", wrap=True),),
        groups=(RowGroup("", rows),),
    )
