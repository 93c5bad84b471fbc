"""Figure 3: CND and Self-BLEU of TRACE-R against the length of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.report.collect import Results, gather
from bench.report.figures import DASHED, legend, save
from bench.report.trace.lengths import Point, length_axis, read_points
from bench.schema import Suite
from bench.suite import HUMAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (("cnd", "CND"), ("self_bleu4", "Self-BLEU"))
COLOUR, GREY = "#1f4e8c", "#7a828c"


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the record of every cell of the report."""
    points = read_points(suite, report, ("trace-r",))
    results = gather(suite, report, root)
    if not any(results.column(dataset, key) for dataset in results.datasets for key, _ in PANELS):
        raise BenchError(f"report '{report}' needs the metrics cnd and self_bleu, which suite '{suite.name}' has not")
    save(lambda: draw(results, points), out)


def draw(results: Results, points: Sequence[Point]) -> Figure:
    """A row of panels a dataset."""
    from matplotlib import pyplot

    height = 0.75 + 2.6 * len(results.datasets)
    figure, grid = pyplot.subplots(len(results.datasets), len(PANELS), figsize=(7.2, height), squeeze=False)
    for dataset, row in zip(results.datasets, grid, strict=True):
        for axes, (key, label) in zip(row, PANELS, strict=True):
            _panel(axes, results, dataset, key, points)
            axes.set_ylabel(label)
        row[0].set_title(dataset, loc="left", fontweight="bold")
    figure.subplots_adjust(
        left=0.085, right=0.985, wspace=0.26, hspace=0.5, top=1 - 0.8 / height, bottom=0.45 / height
    )  # fmt: skip
    _legend(figure)
    return figure


def _panel(axes: Axes, results: Results, dataset: str, key: str, points: Sequence[Point]) -> None:
    """A line through the means over seeds, with the intervals over texts, and what human texts have."""
    column = results.column(dataset, key)
    for method, measured in column.items():
        if measured.problem:
            raise BenchError(f"{key} of '{method}' on {dataset} is not comparable: {measured.problem}")
    here = [(p.length, column[p.method]) for p in points if p.method in column]
    axes.plot([x for x, _ in here], [of.estimate.mean for _, of in here], color=COLOUR, marker="o", markersize=4.5,
              linewidth=1.2)  # fmt: skip
    for x, of in here:
        if of.ci95 is not None:
            axes.plot([x, x], of.ci95, color=COLOUR, linewidth=1.0, alpha=0.7)
    if HUMAN in column:
        axes.axhline(column[HUMAN].estimate.mean, color=GREY, linestyle=DASHED, linewidth=0.9)
    length_axis(axes, points)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOUR, marker="o", markersize=5, label="TRACE-R, 95 % interval over texts"),
        Line2D([], [], color=GREY, linestyle=DASHED, label="human"),
    ]
    legend(figure, handles, "Lower CND: nearer to test texts. Lower Self-BLEU: more diverse", 2)
