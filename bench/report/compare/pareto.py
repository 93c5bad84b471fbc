"""``reports/compare-pareto.*``: quality against diversity, and which methods no other beats in both.

A point dominates another if it is at least as good in both and better in one; the front is what no point of a model
dominates. Human text is no model: it takes no part in the front, and how it stands to it is said. Points are means over
seeds, and a method of the front need not be better than its neighbours by more than chance: the verdicts say that.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Literal

from bench.freeze import Release
from bench.metrics.seeds import over_seeds
from bench.report.collect import judge, measure, quantity
from bench.report.compare.pairs import Method, Pair, decoded_otherwise, frozen
from bench.report.model import Column
from bench.schema import Suite
from bench.suite import HUMAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

DIVERSITY = "self_bleu4"
QUALITY = ("bleu4", "mauve")
Kind = Literal["frozen", "new", "human"]
LOOK: dict[Kind, tuple[str, str, float]] = {  # marker, colour, size
    "frozen": ("o", "#1f4e8c", 5),
    "new": ("*", "#c2410c", 12),
    "human": ("D", "#5b6470", 6),
}
NAMES: dict[Kind, str] = {"frozen": "frozen", "new": "new", "human": "human text (no model)"}
WEIGHT: dict[Kind, str] = {"frozen": "normal", "new": "bold", "human": "normal"}
PLACES = (  # of a name around its mark: direction, and which end of the text is there
    (1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
    (1, 1, "left", "bottom"), (-1, 1, "right", "bottom"), (1, -1, "left", "top"), (-1, -1, "right", "top"),
)  # fmt: skip
GREY, FRONT = "#5b6470", "#9aa4b0"


@dataclass(frozen=True)
class Range:
    """The mean over seeds, and the lowest and the highest."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """A method's diversity and quality."""

    name: str
    kind: Kind
    x: Range
    y: Range


@dataclass(frozen=True)
class Panel:
    """One quality of one dataset: the points there are, and why others are not there."""

    dataset: str
    quality: Column
    points: tuple[Point, ...]
    missing: tuple[str, ...]  # without a value
    refused: tuple[str, ...]  # "name: why its value is not comparable"

    @property
    def models(self) -> list[Point]:
        """Without human text."""
        return [point for point in self.points if point.kind != "human"]

    @property
    def front(self) -> list[Point]:
        """The models that none dominates, from the most diverse on."""
        models = self.models
        return [models[i] for i in front([goodness(self.quality.key, point) for point in models])]


def goodness(key: str, point: Point) -> tuple[float, float]:
    """(diversity, quality) of a point, larger is better in both."""
    x, y = point.x.mean, point.y.mean
    return (x if quantity(DIVERSITY).direction == "up" else -x, y if quantity(key).direction == "up" else -y)


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """At least as good in both and better in one."""
    return a[0] >= b[0] and a[1] >= b[1] and a != b


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points no other dominates, larger is better in both; from the largest first coordinate on.

    >>> front([(1, 5), (2, 2), (3, 3), (3, 1), (1, 5)])
    [2, 0, 4]
    """
    found: list[int] = []
    highest = -math.inf
    for i in sorted(range(len(points)), key=lambda i: points[i], reverse=True):
        if points[i][1] > highest or (found and points[i] == points[found[-1]]):
            found.append(i)
            highest = points[i][1]
    return found


def read_panels(pairs: Sequence[Pair], suite: Suite, release: Release, columns: Sequence[Column]) -> list[Panel]:
    """A panel a dataset and quality, in order."""
    of = {column.key: column for column in columns}
    return [
        _panel(dataset, of.get(key, Column(key, quantity(key).label)), pairs, suite, release)
        for dataset in dict.fromkeys(pair.dataset for pair in pairs)
        for key in QUALITY
    ]


def _panel(dataset: str, quality: Column, pairs: Sequence[Pair], suite: Suite, release: Release) -> Panel:
    here = [pair for pair in pairs if pair.dataset == dataset]
    old = {method.name: method for method in frozen(release, dataset) if method.name == HUMAN}
    old = {pair.frozen.name: pair.frozen for pair in here} | old
    new = {f"{pair.new.name} (new)": pair.new for pair in here}
    methods, otherwise = {**old, **new}, decoded_otherwise(dataset, suite, release)
    missing: dict[str, None] = {}
    refused = dict.fromkeys(new, otherwise) if otherwise else {}
    for key in (DIVERSITY, quality.key):
        measured = {name: found for name, method in methods.items() if (found := measure(method.records, key))}
        missing |= {n: None for n in methods if n not in measured or not math.isfinite(measured[n].estimate.mean)}
        refused |= {name: found.problem for name, found in judge(measured).items() if found.problem}
    points = [
        Point(name, _kind(name, new), _range(method, DIVERSITY), _range(method, quality.key))
        for name, method in methods.items()
        if name not in missing and name not in refused
    ]
    said = tuple(f"{name}: {problem}" for name, problem in refused.items() if name not in missing)
    return Panel(dataset, quality, tuple(points), tuple(missing), said)


def _kind(name: str, new: Collection[str]) -> Kind:
    return "human" if name == HUMAN else "new" if name in new else "frozen"


def _range(method: Method, key: str) -> Range:
    values = [record.values[key].value for record in method.records if key in record.values]
    return Range(over_seeds(values).mean, min(values), max(values))


def readings(panels: Sequence[Panel]) -> list[str]:
    """A sentence a panel: the front, and how human text stands to it."""
    diversity = quantity(DIVERSITY).label
    found = []
    for panel in panels:
        if panel.models:
            names = ", ".join(point.name for point in panel.front)
            what = f"{panel.dataset}, {panel.quality.label} against {diversity}"
            found.append(f"{what}: the front of {len(panel.models)} models is {names}{_human(panel)}.")
    return found


def _human(panel: Panel) -> str:
    human = next((point for point in panel.points if point.kind == "human"), None)
    if human is None:
        return ""
    at = goodness(panel.quality.key, human)
    models = [goodness(panel.quality.key, point) for point in panel.models]
    below, above = sum(dominates(at, of) for of in models), sum(dominates(of, at) for of in models)
    if above:
        return f"; human text is dominated by {above}"
    return f"; human text dominates {'all' if below == len(models) else below} of them"


def draw(panels: Sequence[Panel]) -> Figure:
    """Two panels a row; up and to the right is better in all of them."""
    from matplotlib import pyplot

    across = min(2, len(panels))
    rows = math.ceil(len(panels) / across)
    height = 0.75 + 3.5 * rows
    figure, grid = pyplot.subplots(rows, across, figsize=(4.6 * across, height), squeeze=False)
    figure.subplots_adjust(
        left=0.66 / (4.6 * across), right=1 - 0.15 / (4.6 * across), wspace=0.22, hspace=0.36,
        top=1 - 0.85 / height, bottom=0.75 / height,
    )  # fmt: skip
    _legend(figure, across)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    axes.set_title(f"{panel.dataset}: {panel.quality.label} against {quantity(DIVERSITY).label}", loc="left",
                   fontweight="bold")  # fmt: skip
    axes.set_ylabel(f"{panel.quality.label}: up is better")
    axes.set_xlabel(f"{quantity(DIVERSITY).label}, axis reversed: right is more diverse")
    axes.margins(0.16, 0.14)
    if not panel.models:
        why = panel.refused[0] if panel.refused else "no model has a value of both"
        axes.text(0.5, 0.5, fill(why, 40), transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    for point in panel.points:
        marker, colour, size = LOOK[point.kind]
        axes.errorbar(point.x.mean, point.y.mean, xerr=_bar(point.x), yerr=_bar(point.y), marker=marker, color=colour,
                      markersize=size, elinewidth=0.7, linestyle="none", zorder=3)  # fmt: skip
    axes.invert_xaxis()
    _step(axes, panel.front)
    _label(axes, panel.points)
    absent = len(panel.missing) + len(panel.refused)
    if absent:
        said = f"{absent} not shown: no value, or not comparable"
        axes.text(1, 1, said, transform=axes.transAxes, ha="right", va="top", color=GREY, fontsize=7)


def _bar(of: Range) -> list[list[float]]:
    return [[of.mean - of.low], [of.high - of.mean]]


def _step(axes: Axes, of: Sequence[Point]) -> None:
    """The border of what the front dominates, to the edges of the panel."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = [of[0].x.mean], [bottom]
    for point, after in zip(of, [*of[1:], None], strict=True):
        x += [point.x.mean, after.x.mean if after else left]
        y += [point.y.mean] * 2
    axes.plot(x, y, color=FRONT, linewidth=1.1, zorder=1)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _label(axes: Axes, points: Sequence[Point]) -> None:
    """Each name at the first of eight places around its mark where it covers least: other names, marks, the edge."""

    marks = [axes.transData.transform((point.x.mean, point.y.mean)) for point in points]
    taken: list[Bbox] = []
    for point in sorted(points, key=lambda point: point.kind == "frozen"):
        _, colour, size = LOOK[point.kind]
        best: tuple[float, Annotation, Bbox] | None = None
        for dx, dy, ha, va in PLACES:
            away = (size / 2 + 3) * dx, (size / 2 + 3) * dy
            text = axes.annotate(
                point.name, (point.x.mean, point.y.mean), away, textcoords="offset points", ha=ha, va=va, fontsize=7.5,
                color=colour, fontweight=WEIGHT[point.kind], zorder=4,
            )  # fmt: skip
            box = text.get_window_extent()
            covered = 4 * sum(box.overlaps(other) for other in taken) + sum(box.contains(*mark) for mark in marks)
            cost = covered + 4 * (not axes.bbox.contains(*box.min) or not axes.bbox.contains(*box.max))
            if best is not None and cost >= best[0]:
                text.remove()
                continue
            if best is not None:
                best[1].remove()
            best = cost, text, box
        assert best is not None
        taken.append(best[2])


def _legend(figure: Figure, across: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="none", label=NAMES[kind])
        for kind, (marker, colour, size) in LOOK.items()
    ]
    handles.append(Line2D([], [], color=FRONT, linewidth=1.2, label="Pareto front of the models"))
    figure.legend(
        handles=handles, loc="upper left", ncols=2 * across, frameon=False, borderaxespad=0.2, alignment="left",
        title="Means over seeds; bars from the lowest to the highest", title_fontsize=8,
    )  # fmt: skip
