"""Figures 4a, 4b, 4c: Rec and KL of DAVAM against the size of the code book, beta_max, and the dimension of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import suite as suites
from bench.errors import BenchError
from bench.metrics.seeds import over_seeds
from bench.report.collect import Results, gather
from bench.report.figures import DASHED, legend, save
from bench.report.papers.lines import by_seed, class_of, options_of
from bench.schema import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_RANGE = 0.1  # of the values in the middle
DEFAULTS = {"codes": 512, "beta_max": 5.0, "latent": 32}  # of bench.methods.davam, which is torch
SWEPT = {  # figure -> the option on its axis, and what the axis is called
    "davam/figure4a": ("codes", "codes K of the code book"),
    "davam/figure4b": ("beta_max", "beta_max, the last beta of Eq. 8"),
    "davam/figure4c": ("latent", "dimensions of a code"),
}


@dataclass(frozen=True)
class Panel:
    """One quantity; ``exact``: of the bound, not of the paper's average."""

    key: str
    label: str
    exact: bool
    colour: str


PANELS = (
    Panel("rec", "Rec (nats/text)", True, "#1f4e8c"),
    Panel("paper:davam/kl", "KL, mean over steps (nats/step)", False, "#e0863a"),
    Panel("kl", "KL, summed (nats/text)", True, "#e0863a"),
)


@dataclass(frozen=True)
class Point:
    """A method at its value of the option."""

    value: float
    method: str


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the record of every cell of the report."""
    option, axis = SWEPT[report]
    points, results = read_points(suite, report, option), gather(suite, report, root)
    if not any(results.column(dataset, panel.key) for dataset in results.datasets for panel in PANELS):
        raise BenchError(f"report '{report}' needs the metrics elbo and paper:davam, which '{suite.name}' has not")
    save(lambda: draw(results, points, axis), out)


def read_points(suite: Suite, report: str, option: str) -> list[Point]:
    """The methods of a report, which are to differ in one option alone; smallest value first."""
    methods = suites.select(suite, report).methods
    found: dict[float, str] = {}
    others = {}
    for method in methods:
        if class_of(suite, method) != class_of(suite, methods[0]):
            raise BenchError(f"report '{report}': '{method}' and '{methods[0]}' are different methods, on no one line")
        options = options_of(suite, method, DEFAULTS)
        value = options.pop(option)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise BenchError(f"report '{report}': {option} of '{method}' is {value!r}, not a positive number")
        if found.setdefault(value, method) != method:
            raise BenchError(f"report '{report}': '{found[value]}' and '{method}' both have {option} {value:g}")
        others[method] = options
        if options != others[methods[0]]:
            raise BenchError(f"report '{report}': '{method}' and '{methods[0]}' differ in more than {option}")
    return [Point(value, found[value]) for value in sorted(found)]


def draw(results: Results, points: Sequence[Point], axis: str) -> Figure:
    """A row of panels a dataset."""
    from matplotlib import pyplot

    height = 0.8 + 2.5 * len(results.datasets)
    figure, grid = pyplot.subplots(len(results.datasets), len(PANELS), figsize=(9.2, height), squeeze=False)
    for dataset, row in zip(results.datasets, grid, strict=True):
        for axes, panel in zip(row, PANELS, strict=True):
            _line(axes, results, dataset, points, panel)
            axes.set_ylabel(panel.label)
            axes.set_xlabel(axis)
        row[0].set_title(dataset, loc="left", fontweight="bold")
    figure.subplots_adjust(left=0.09, right=0.99, wspace=0.42, hspace=0.5, top=1 - 0.8 / height, bottom=0.45 / height)
    _legend(figure, results)
    return figure


def _line(axes: Axes, results: Results, dataset: str, points: Sequence[Point], panel: Panel) -> None:
    """A line through the means over seeds; a mark a seed, with its interval over test texts.

    The scale is logarithmic, with a tick at each value there is.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    of = by_seed(results, dataset, panel.key)
    here = [(point.value, of[point.method]) for point in points if point.method in of]
    if here:
        means = [over_seeds(values).mean for _, values in here]
        axes.plot(
            [x for x, _ in here], means, color=panel.colour, linewidth=1.2, linestyle="-" if panel.exact else DASHED
        )
        marks = [(x, value) for x, values in here for value in values]
        axes.plot(*zip(*marks, strict=True), color=panel.colour, marker="o", markersize=4.5, linestyle="none",
                  markerfacecolor=panel.colour if panel.exact else "white", alpha=0.85)  # fmt: skip
    for point in (point for point in points if point.method in of):
        for ends in intervals(results, dataset, point.method, panel.key):
            axes.plot([point.value] * 2, ends, color=panel.colour, linewidth=0.9, alpha=0.6, zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([point.value for point in points], [f"{point.value:g}" for point in points])
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.margins(0.08, 0.15)
    if here:
        _widen(axes)


def intervals(results: Results, dataset: str, method: str, key: str) -> list[tuple[float, float]]:
    """The 95 % interval of each seed that has one."""
    values = [record.values[key] for record in results.records[dataset, method] if key in record.values]
    return [value.ci95 for value in values if value.ci95 is not None]


def _widen(axes: Axes) -> None:
    """A scale of at least a tenth of its values: what is smaller than that is not to fill a panel."""
    low, high = axes.get_ylim()
    middle, half = (low + high) / 2, max((high - low) / 2, LEAST_RANGE / 2 * abs(low + high) / 2)
    axes.set_ylim(middle - half, middle + half)


def _legend(figure: Figure, results: Results) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color="#5b6470", marker="o", markersize=5, label="exact: as in the bound"),
        Line2D([], [], color="#5b6470", marker="o", markersize=5, markerfacecolor="white", linestyle=DASHED,
               label="the paper's arithmetic: averaged over the latent sequence"),
    ]  # fmt: skip
    seeds = max(len(records) for records in results.records.values())
    title = "Rec and KL of the test set; 95 % intervals over test texts." + (
        " A mark a seed, lines through their means." if seeds > 1 else ""
    )
    legend(figure, handles, title, 2, handlelength=3)
