"""Figure 3: test perplexity of a language model against how many generated texts it was trained on beside n others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import suite as suites
from bench.errors import BenchError
from bench.files import read_json
from bench.metrics.seeds import over_seeds
from bench.paths import CellPaths
from bench.report.davam.paper import alone
from bench.report.figures import legend, save
from bench.schema import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f4e8c", "#e0863a", "#4d9221", "#8c1f6b", "#7a828c")  # repeated where there are more sizes
ACROSS = 3


@dataclass(frozen=True)
class Point:
    """One language model: trained on ``size`` texts and ``factor`` times as many generated ones."""

    size: int
    factor: float
    ppl: float
    ci95: tuple[float, float] | None


Panels = Mapping[tuple[str, str], Sequence[Point]]  # (dataset, generator) -> points of all seeds


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from every part of the augmentation of each cell."""
    panels: dict[tuple[str, str], list[Point]] = {}
    same: dict[str, dict[str, Any]] = {}
    for cell in suites.cells(suite, report):
        paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
        for part in suites.augmented_parts(suite):
            path = root / paths.augmented(part)
            found = read_json(path, "augmentation")
            told = {key: found.get(key) for key in ("data", "signature", "model", "decoding")}
            differs = next((key for key in told if told[key] != same.setdefault(cell.dataset, told)[key]), None)
            if differs:
                raise BenchError(f"augmentation {path}: other {differs} than the first one of {cell.dataset}")
            panels.setdefault((cell.dataset, cell.method), []).append(_point(found, path))
    save(lambda: draw(panels, suite.augmentation.model), out)


def _point(found: Mapping[str, Any], path: Path) -> Point:
    try:
        ends = found["ci95"]
        ci95 = None if ends is None else (float(ends[0]), float(ends[1]))
        return Point(int(found["size"]), float(found["factor"]), float(found["ppl_word"]), ci95)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BenchError(f"augmentation {path}: {error!r}") from None


def draw(panels: Panels, model: str) -> Figure:
    """A panel a dataset and generator, a line a size."""
    from matplotlib import pyplot

    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    width, height = max(6.0, 0.4 + 3.4 * across), 1.0 + 2.9 * down
    figure, grid = pyplot.subplots(down, across, figsize=(width, height), squeeze=False)
    sizes = sorted({point.size for points in panels.values() for point in points})
    colours = {size: COLOURS[i % len(COLOURS)] for i, size in enumerate(sizes)}
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, ((dataset, generator), points) in zip(grid.flat, panels.items(), strict=False):
        for size, colour in colours.items():
            _line(axes, [point for point in points if point.size == size], colour)
        axes.set_title(f"{dataset} · texts of {alone(generator)}", loc="left", fontweight="bold")
        axes.set_xlabel("generated texts, times n")
        axes.set_xticks(sorted({point.factor for point in points}))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.margins(0.05, 0.1)
    for dataset in {dataset for dataset, _ in panels}:
        of = [axes for axes, (at, _) in zip(grid.flat, panels, strict=False) if at == dataset]
        limits = [axes.get_ylim() for axes in of]
        for axes in of:  # generators are compared
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    for row in grid:
        row[0].set_ylabel(f"test PPL per word of {model}")
    figure.subplots_adjust(left=0.6 / width, right=0.985, wspace=0.25, hspace=0.45, top=1 - 0.95 / height,
                           bottom=0.45 / height)  # fmt: skip
    _legend(figure, colours, panels)
    return figure


def _line(axes: Axes, points: Sequence[Point], colour: str) -> None:
    """Through the means over seeds; a mark a seed, with its interval over test texts."""
    by_factor: dict[float, list[float]] = {}
    for point in points:
        by_factor.setdefault(point.factor, []).append(point.ppl)
    means = [(factor, over_seeds(of).mean) for factor, of in sorted(by_factor.items())]
    axes.plot(*zip(*means, strict=True), color=colour, linewidth=1.2)
    axes.plot([p.factor for p in points], [p.ppl for p in points], color=colour, marker="o", markersize=4,
              linestyle="none", alpha=0.85)  # fmt: skip
    for point in points:
        if point.ci95 is not None:
            axes.plot([point.factor] * 2, point.ci95, color=colour, linewidth=0.9, alpha=0.6)


def _legend(figure: Figure, colours: Mapping[int, str], panels: Panels) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=f"n = {size:,}")
        for size, colour in colours.items()
    ]
    seeds = max(
        sum((p.size, p.factor) == (points[0].size, points[0].factor) for p in points) for points in panels.values()
    )
    title = (
        "Trained on the first n texts and on generated ones; 95 % intervals over test texts.\n"
        "The generator was trained on the whole training set."
    ) + (" A mark a seed, lines through their means." if seeds > 1 else "")
    legend(figure, handles, title, len(handles))
