"""Figure 4d: Rec and KL of the validation set over training, of methods side by side on one pair of axes.

DAVAM is trained in stages: the codes first, without a prior, so that its KL begins where the prior is trained.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import suite as suites
from bench.paths import CellPaths
from bench.report.davam.paper import alone
from bench.report.figures import DASHED, LINEAR_BELOW, Curve, legend, read_history, save
from bench.schema import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#e0863a", "#1f4e8c", "#4d9221", "#8c1f6b", "#7a828c")  # repeated where there are more methods
TERMS = (("rec", "Rec (nats/text)"), ("kl", "KL, summed (nats/text)"))


@dataclass(frozen=True)
class Run:
    """One training: its curve, and the step at which each stage after the first begins."""

    curve: Curve
    stages: Mapping[str, float]


Runs = Mapping[tuple[str, str], Sequence[Run]]  # (dataset, method) -> a run a seed


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the history of every cell of the report."""
    found: dict[tuple[str, str], list[Run]] = {}
    for cell in suites.cells(suite, report):
        path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).history
        found.setdefault((cell.dataset, cell.method), []).append(read_run(path))
    save(lambda: draw(found), out)


def read_run(path: Path) -> Run:
    """The history of one cell; a bad file is a :class:`BenchError`."""
    curve = read_history(path)
    with open(path, encoding="utf-8", newline="") as stream:
        names = [row.get("stage") or "" for row in csv.DictReader(stream)]
    begin: dict[str, float] = {}
    for name, step in zip(names, curve["step"], strict=True):
        begin.setdefault(name, step)
    return Run(curve, dict(list(begin.items())[1:]))


def draw(runs: Runs) -> Figure:
    """A row a dataset, Rec beside KL; a line a seed."""
    from matplotlib import pyplot

    datasets = list(dict.fromkeys(dataset for dataset, _ in runs))
    methods = list(dict.fromkeys(method for _, method in runs))
    colours = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    height = 0.7 + 2.6 * len(datasets)
    figure, grid = pyplot.subplots(len(datasets), len(TERMS), figsize=(8.0, height), squeeze=False)
    for dataset, row in zip(datasets, grid, strict=True):
        here = {method: runs[dataset, method] for method in methods if (dataset, method) in runs}
        for axes, (term, label) in zip(row, TERMS, strict=True):
            for method, of in here.items():
                _lines(axes, of, f"valid_{term}", colours[method])
            axes.set_ylabel(label)
            axes.set_xlabel("step")
            axes.set_xlim(left=0)
        _scale_kl(row[1], [run for of in here.values() for run in of])
        row[0].set_title(dataset, loc="left", fontweight="bold")
    figure.subplots_adjust(left=0.075, right=0.98, wspace=0.22, hspace=0.5, top=1 - 0.75 / height, bottom=0.45 / height)
    _legend(figure, colours, runs)
    return figure


def _lines(axes: Axes, runs: Sequence[Run], column: str, colour: str) -> None:
    for run in runs:
        known = [(x, y) for x, y in zip(run.curve["step"], run.curve[column], strict=True) if math.isfinite(y)]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, linewidth=1.1)
        for step in run.stages.values():
            axes.axvline(step, color=colour, linewidth=0.8, linestyle=DASHED, alpha=0.7)


def _scale_kl(axes: Axes, runs: Sequence[Run]) -> None:
    """Linear below a tenth of a nat, logarithmic above: what collapses stays in sight beside what does not."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    top = max([1.0, *(y for run in runs for y in run.curve["valid_kl"] if math.isfinite(y))]) * 1.5
    axes.set_yscale("symlog", linthresh=LINEAR_BELOW, linscale=0.4)
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(FixedLocator([0, *(10.0**p for p in range(-1, 1 + math.floor(math.log10(top))))]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, colours: Mapping[str, str], runs: Runs) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, linewidth=1.4, label=alone(method)) for method, c in colours.items()]
    later = dict.fromkeys(name for of in runs.values() for run in of for name in run.stages)
    if later:
        handles.append(Line2D([], [], color="#5b6470", linewidth=0.9, linestyle=DASHED,
                              label=f"from here it trains: {', '.join(later)}"))  # fmt: skip
    seeds = max(len(of) for of in runs.values())
    title = "Validation set. KL: summed over the latent sequence; linear below 0.1 nats"
    title += "; a line a seed" if seeds > 1 else ""
    legend(figure, handles, title, len(handles))
