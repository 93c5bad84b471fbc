"""Figure 2: PPL, ELBO and KL against the first layer i, or the last layer j, that has a latent variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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

End = Literal["start", "end"]
PANELS = (("ppl", "PPL (per token)"), ("nelbo", "−ELBO (nats/text)"), ("kl", "KL (nats/text)"))
PAPER = "paper:della/"
COLOURS: Mapping[End, str] = {"start": "#1f4e8c", "end": "#e0863a"}
MARKERS: Mapping[End, str] = {"start": "o", "end": "s"}
LABELS: Mapping[End, str] = {"start": "layers i to L, at start layer i", "end": "layers 1 to j, at end layer j"}


@dataclass(frozen=True)
class Point:
    """A method on the line of start layers or of end layers."""

    line: End
    layer: int
    method: str


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the record of every cell of the report."""
    results = gather(suite, report, root)
    points = {dataset: read_points(suite, report, dataset) for dataset in results.datasets}
    if not any(results.column(dataset, key) for dataset in points for key, _ in PANELS):
        raise BenchError(f"report '{report}' needs the metrics iw and elbo, which suite '{suite.name}' has not")
    save(lambda: draw(results, points), out)


def read_points(suite: Suite, report: str, dataset: str) -> list[Point]:
    """Where the methods of a report stand, by their options ``start`` and ``end``; that of all layers on both lines."""
    found: dict[tuple[End, int], Point] = {}
    methods = suites.select(suite, report).methods
    for method in methods:
        if class_of(suite, method) != class_of(suite, methods[0]):
            raise BenchError(f"report '{report}': '{method}' and '{methods[0]}' are different methods, on no one line")
        layers = suites.backbone_of(suite, dataset, method).layers
        start, end = _range(suite, method, layers)
        if start > 1 and end < layers:
            raise BenchError(f"report '{report}': '{method}' has layers {start} to {end} of {layers}, on neither line")
        places: list[tuple[End, int]] = [("start", start)] if end == layers else []
        for line, layer in places + ([("end", end)] if start == 1 else []):
            other = found.setdefault((line, layer), Point(line, layer, method)).method
            if other != method:
                raise BenchError(f"report '{report}': '{other}' and '{method}' both have layers {start} to {end}")
    return sorted(found.values(), key=lambda point: point.layer)


def _range(suite: Suite, method: str, layers: int) -> tuple[int, int]:
    """The first and last layer with a latent variable, counted from 1."""
    options = options_of(suite, method, {"start": 1, "end": 0})
    return options["start"], options["end"] or layers


def draw(results: Results, points: Mapping[str, Sequence[Point]]) -> Figure:
    """A row of panels a dataset."""
    from matplotlib import pyplot

    height = 0.85 + 2.3 * len(points)
    figure, grid = pyplot.subplots(len(points), len(PANELS), figsize=(8.6, height), squeeze=False)
    for (dataset, of), row in zip(points.items(), grid, strict=True):
        for axes, (key, label) in zip(row, PANELS, strict=True):
            for line in COLOURS:
                _line(axes, results, dataset, key, [point for point in of if point.line == line])
            axes.set_ylabel(label)
            axes.set_xlabel("start layer i, end layer j")
            last = max(point.layer for point in of)
            axes.set_xticks(range(1, last + 1, 1 + (last - 1) // 12))
            axes.margins(0.08, 0.12)
        row[0].set_title(dataset, loc="left", fontweight="bold")
    figure.subplots_adjust(
        left=0.075, right=0.99, wspace=0.36, hspace=0.45, top=1 - 0.82 / height, bottom=0.45 / height
    )  # fmt: skip
    _legend(figure, results)
    return figure


def _line(axes: Axes, results: Results, dataset: str, key: str, points: Sequence[Point]) -> None:
    """One line of one panel through the means over seeds, a mark a seed: exact, and dashed DELLA's arithmetic."""
    for exact in (True, False):
        of = by_seed(results, dataset, key if exact else PAPER + key)
        here = [(point.layer, of[point.method]) for point in points if point.method in of]
        if here:
            line = points[0].line
            colour, inside = COLOURS[line], COLOURS[line] if exact else "white"
            axes.plot([layer for layer, _ in here], [over_seeds(values).mean for _, values in here], color=colour,
                      linewidth=1.2, linestyle="-" if exact else DASHED)  # fmt: skip
            marks = [(layer, value) for layer, values in here for value in values]
            axes.plot(*zip(*marks, strict=True), color=colour, marker=MARKERS[line], markersize=4.5,
                      linestyle="none", markerfacecolor=inside, alpha=0.85)  # fmt: skip


def _legend(figure: Figure, results: Results) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[line], marker=MARKERS[line], markersize=5, label=LABELS[line]) for line in COLOURS
    ]
    if any(key.startswith(PAPER) for records in results.records.values() for key in records[0].values):
        handles += [
            Line2D([], [], color="#5b6470", marker="D", markersize=4, label="exact: KL summed over layers"),
            Line2D([], [], color="#5b6470", marker="D", markersize=4, markerfacecolor="white", linestyle=DASHED,
                   label="DELLA's arithmetic: averaged"),
        ]  # fmt: skip
    seeds = max(len(records) for records in results.records.values())
    title = "Layers with a latent variable" + ("; a mark a seed, lines through their means" if seeds > 1 else "")
    legend(figure, handles, title, 2, handlelength=3)
