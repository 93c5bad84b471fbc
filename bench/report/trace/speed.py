"""Figure 2: seconds a training step of TRACE-R and TRACE-P, against the length of a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import suite as suites
from bench.errors import BenchError
from bench.files import read_json
from bench.metrics.seeds import over_seeds
from bench.paths import CellPaths
from bench.report.figures import legend, save
from bench.report.published import Printed, load_published
from bench.report.trace.lengths import Point, length_axis, read_points
from bench.report.trace.paper import MODELS
from bench.schema import Suite
from bench.suite import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = ("trace-r", "trace-p")
COLOURS: Mapping[str, str] = {"trace-r": "#1f4e8c", "trace-p": "#e0863a"}
MARKERS: Mapping[str, str] = {"trace-r": "o", "trace-p": "s"}
Seconds = Mapping[str, Sequence[float]]  # method -> seconds a step, of each seed


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from what the training of every cell cost."""
    points = read_points(suite, report, LINES)
    measured: dict[str, dict[str, list[float]]] = {}
    for cell in suites.cells(suite, report):
        measured.setdefault(cell.dataset, {}).setdefault(cell.method, []).append(step_seconds(suite, cell, root))
    claims = [row for row in load_published().table("trace", "5.8") if row.metric == "speedup"]
    save(lambda: draw(measured, points, claims), out)


def step_seconds(suite: Suite, cell: Cell, root: Path = Path()) -> float:
    """Mean wall time of a training step, without validation and start-up; of a resumed training, of all its parts."""
    path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).cost("train")
    cost = read_json(path, "cost")
    if not isinstance(cost.get("step_s"), int | float):
        raise BenchError(f"cost {path}: no step_s; train the cell again")
    return float(cost["step_s"])


def ratios(of: Seconds, points: Sequence[Point]) -> dict[int, float]:
    """Segment length -> how many times as long a step of trace-r takes as one of trace-p, where both were trained."""
    means = {(p.line, p.length): over_seeds(of[p.method]).mean for p in points if p.method in of}
    lengths = [length for line, length in means if line == "trace-r" and ("trace-p", length) in means]
    return {length: means["trace-r", length] / means["trace-p", length] for length in lengths}


def draw(measured: Mapping[str, Seconds], points: Sequence[Point], claims: Sequence[Printed]) -> Figure:
    """A panel a dataset, and the printed claims over them."""
    from matplotlib import pyplot

    across, height = len(measured), 3.3
    figure, grid = pyplot.subplots(1, across, figsize=(max(4.6 * across, 6.0), height), squeeze=False)
    for (dataset, of), axes in zip(measured.items(), grid[0], strict=True):
        _panel(axes, of, points)
        axes.set_title(dataset, loc="left", fontweight="bold")
    figure.subplots_adjust(left=0.11, right=0.98, wspace=0.22, top=1 - 1.0 / height, bottom=0.45 / height)
    _legend(figure, measured, claims)
    return figure


def _panel(axes: Axes, of: Seconds, points: Sequence[Point]) -> None:
    """A line a method through the means over seeds, a mark a seed; over each length the ratio of the two."""
    for line in LINES:
        here = [(p.length, of[p.method]) for p in points if p.line == line and p.method in of]
        axes.plot([x for x, _ in here], [over_seeds(ys).mean for _, ys in here], color=COLOURS[line], linewidth=1.2)
        axes.plot([x for x, ys in here for _ in ys], [y for _, ys in here for y in ys], color=COLOURS[line],
                  marker=MARKERS[line], markersize=4.5, linestyle="none", alpha=0.85)  # fmt: skip
    for length, ratio in ratios(of, points).items():
        top = max(over_seeds(of[p.method]).mean for p in points if p.length == length and p.method in of)
        axes.annotate(f"×{ratio:.2f}", (length, top), textcoords="offset points", xytext=(0, 7), ha="center")
    length_axis(axes, points)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("seconds a training step")


def _legend(figure: Figure, measured: Mapping[str, Seconds], claims: Sequence[Printed]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[line], marker=MARKERS[line], markersize=5, label=MODELS[line]) for line in LINES
    ]
    several = any(len(seeds) > 1 for of in measured.values() for seeds in of.values())
    title = [
        "Mean wall time of a training step; ×: TRACE-R over TRACE-P" + ("; a mark a seed" if several else ""),
        *(f"Printed (TRACE, Sec. {row.table}): TRACE-P is {_claim(row)}" for row in claims),
    ]
    legend(figure, handles, "\n".join(title), 2)


def _claim(row: Printed) -> str:
    """A claim in the paper's words, which its note has."""
    return row.note.removeprefix("printed as ").partition(":")[0]
