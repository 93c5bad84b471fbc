"""Figure 4d: Rec and KL of the validation set over training, of methods side by side on one pair of axes.

DAVAM is trained in stages: the codes first, without a prior, so that its KL begins where the prior is trained.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from bench import suite as suites
from bench.paths import CellPaths
from bench.report import figures
from bench.report.davam.paper import alone
from bench.report.figures import DASHED, KEPT, Curve, Points, read_history
from bench.report.papers.lines import class_of
from bench.schema import Suite

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"Davam": "#e0863a", "Gavam": "#1f4e8c"}  # of a class of methods, the same in every figure
OTHERS = ("#4d9221", "#8c1f6b", "#7a828c")  # of further classes, repeated where there are more
DARKER = 0.6  # of a colour, each further method of a class
ACROSS = 4  # in a row of the legend
TERMS = (("rec", "Rec (nats/text)"), ("kl", "KL, summed (nats/text)"))


@dataclass(frozen=True)
class Run:
    """One training: its curve, and the step at which each stage after the first begins."""

    curve: Curve
    stages: Mapping[str, float]


@dataclass(frozen=True)
class Look:
    """How the runs of a method are drawn, and what the legend calls them."""

    label: str
    colour: str


Runs = Mapping[tuple[str, str], Sequence[Run]]  # (dataset, method) -> a run a seed


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the history of every cell of the report."""
    found: dict[tuple[str, str], list[Run]] = {}
    for cell in suites.cells(suite, report):
        path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).history
        found.setdefault((cell.dataset, cell.method), []).append(read_run(path))
    figures.save(lambda: draw(found, looks(suite, report)), out)


def looks(suite: Suite, report: str) -> dict[str, Look]:
    """The methods of a report, in its order: a colour a class, darker for each further method of it."""
    found: dict[str, Look] = {}
    colours, others = dict(COLOURS), cycle(OTHERS)
    for method in suites.select(suite, report).methods:
        of = class_of(suite, method)[1]
        colour = colours[of] if of in colours else next(others)
        found[method] = Look(label_of(suite, method), colour)
        colours[of] = _darker(colour)
    return found


def label_of(suite: Suite, method: str) -> str:
    """The paper's name of a method; of the beginning of a training, that of the whole one and how far it goes."""
    spec = suites.spec_of(suite, method)
    if spec.epochs is None:
        return alone(method)
    return f"{alone(method if spec.options else spec.use)}, first {spec.epochs} epochs"


def _darker(colour: str) -> str:
    return "#" + "".join(f"{round(DARKER * int(colour[at : at + 2], 16)):02x}" for at in (1, 3, 5))


def read_run(path: Path) -> Run:
    """The history of one cell; a bad file is a :class:`BenchError`."""
    curve = read_history(path)
    with open(path, encoding="utf-8", newline="") as stream:
        names = [row.get("stage") or "" for row in csv.DictReader(stream)]
    begin: dict[str, float] = {}
    for name, step in zip(names, curve["step"], strict=True):
        begin.setdefault(name, step)
    return Run(curve, dict(list(begin.items())[1:]))


def draw(runs: Runs, of: Mapping[str, Look]) -> Figure:
    """A row a dataset, Rec beside KL; a line a seed."""
    from matplotlib import pyplot

    datasets = list(dict.fromkeys(dataset for dataset, _ in runs))
    handles = _handles(runs, of)
    head = 0.55 + 0.2 * -(-len(handles) // ACROSS)
    height = head + 2.55 * len(datasets)
    figure, grid = pyplot.subplots(len(datasets), len(TERMS), figsize=(8.0, height), squeeze=False)
    for dataset, row in zip(datasets, grid, strict=True):
        here = {method: runs[dataset, method] for method in of if (dataset, method) in runs}
        for axes, (term, label) in zip(row, TERMS, strict=True):
            for method, trained in here.items():
                _lines(axes, trained, f"valid_{term}", of[method].colour)
            axes.set_ylabel(label)
            axes.set_xlabel("step")
            axes.set_xlim(left=0)
        for method, trained in here.items():
            _say_where_kl_begins(row[1], trained[0], of[method].colour)
        of_all = [kl for trained in here.values() for run in trained for _, kl in _known(run, "valid_kl")]
        figures.scale_kl(row[1], of_all)
        row[0].set_title(dataset, loc="left", fontweight="bold")
    figure.subplots_adjust(left=0.075, right=0.98, wspace=0.22, hspace=0.5, top=1 - head / height, bottom=0.45 / height)
    title = "Validation set. KL: summed over the latent sequence; linear below 0.1 nats"
    title += "; a line a seed" if max(map(len, runs.values())) > 1 else ""
    figures.legend(figure, handles, title, min(ACROSS, len(handles)))
    return figure


def _known(run: Run, column: str) -> Points:
    return _finite(figures.points(run.curve, column))


def _finite(points: Points) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y)]


def _lines(axes: Axes, runs: Sequence[Run], column: str, colour: str) -> None:
    for run in runs:
        if known := _known(run, column):
            axes.plot(*zip(*known, strict=True), color=colour, linewidth=1.1)
        if kept := _finite(figures.of_kept_weights(run.curve, column)):
            axes.plot(*zip(*kept, strict=True), color=colour, **KEPT)
        for step in run.stages.values():
            axes.axvline(step, color=colour, linewidth=0.8, linestyle=DASHED, alpha=0.7)


def _say_where_kl_begins(axes: Axes, run: Run, colour: str) -> None:
    """Along the line at which a stage begins, where no stage before it has a KL."""
    first = next((step for step, _ in _known(run, "valid_kl")), 0.0)
    for name, step in run.stages.items():
        if step == first:
            axes.annotate(f"no KL before its {name}", (step, 0.06), xycoords=axes.get_xaxis_transform(), xytext=(-3, 0),
                          textcoords="offset points", rotation=90, ha="right", va="bottom", color=colour)  # fmt: skip


def _handles(runs: Runs, of: Mapping[str, Look]) -> list[Artist]:
    """What the legend explains: the methods that are drawn, and the marks there are."""
    from matplotlib.lines import Line2D

    drawn = {method for _, method in runs}
    handles: list[Artist] = [
        Line2D([], [], color=look.colour, linewidth=1.4, label=look.label)
        for method, look in of.items()
        if method in drawn
    ]
    every = [run for trained in runs.values() for run in trained]
    if later := dict.fromkeys(name for run in every for name in run.stages):
        handles.append(Line2D([], [], color="#5b6470", linewidth=0.9, linestyle=DASHED,
                              label=f"from here it trains: {', '.join(later)}"))  # fmt: skip
    if any(any(run.curve["kept"]) for run in every):
        handles.append(Line2D([], [], color="#5b6470", label=figures.KEPT_LABEL, **KEPT))
    return handles
