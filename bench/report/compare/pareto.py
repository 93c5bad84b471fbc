"""``reports/compare-pareto.*``: quality against diversity, and which methods no other beats in both.

A point dominates another if it is at least as good in both and better in one; the front is what no point of a model
dominates. Human text is no model: it takes no part in the front, and how it stands to it is said. Points are means over
seeds, and a method of the front need not be better than its neighbours by more than chance: the verdicts say that.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

from bench.freeze import Release
from bench.metrics.seeds import over_seeds
from bench.report.collect import by_text, judge, measure, quantity
from bench.report.compare.pairs import Method, Pair, decoding, frozen
from bench.report.figures import legend
from bench.report.model import Column, Note, number
from bench.schema import Suite
from bench.suite import HUMAN, generation_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

DIVERSITY, SELF_BLEU = "self_bleu4", "Self-BLEU-4"
QUALITY = ("bleu4", "mauve")
XY = tuple[float, float]
Kind = Literal["frozen", "new", "human"]
LOOK: dict[Kind, tuple[str, str, float]] = {  # marker, colour, size
    "frozen": ("o", "#1f4e8c", 5),
    "new": ("*", "#c2410c", 12),
    "human": ("D", "#5b6470", 6),
}
NAMES: dict[Kind, str] = {"frozen": "frozen", "new": "new", "human": "human text (no model)"}
PLACES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))  # of a name, seen from its mark
ENDS = {1: ("left", "bottom"), -1: ("right", "top"), 0: ("center", "center")}  # of a name in that direction
RINGS = (1, 3, 5)  # distances from it, in the nearest
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
        return [models[i] for i in front([goodness(point) for point in models])]


def goodness(point: Point) -> XY:
    """(diversity, quality) of a point, larger is better in both; a smaller Self-BLEU is more diverse."""
    return -point.x.mean, point.y.mean


def dominates(a: XY, b: XY) -> bool:
    """At least as good in both and better in one."""
    return a[0] >= b[0] and a[1] >= b[1] and a != b


def front(points: Sequence[XY]) -> list[int]:
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


def read_panels(
    pairs: Sequence[Pair], suite: Suite, releases: Sequence[Release], columns: Sequence[Column]
) -> list[Panel]:
    """A panel a dataset and quality, in order."""
    of = {column.key: column for column in columns}
    return [
        _panel(dataset, of.get(key, Column(key, quantity(key).label)), pairs, suite, releases)
        for dataset in dict.fromkeys(pair.dataset for pair in pairs)
        for key in QUALITY
    ]


def _panel(dataset: str, quality: Column, pairs: Sequence[Pair], suite: Suite, releases: Sequence[Release]) -> Panel:
    here = [pair for pair in pairs if pair.dataset == dataset]
    human = next((method for method, _ in frozen(releases, dataset) if method.name == HUMAN), Method(HUMAN, (), ()))
    old = {pair.frozen.name: pair.frozen for pair in here} | {HUMAN: human}
    new = {f"{pair.new.name} (new)": pair.new for pair in here}
    methods, missing = {**old, **new}, dict[str, None]()
    refused = _decoded_otherwise(here, suite)
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


def _decoded_otherwise(pairs: Sequence[Pair], suite: Suite) -> dict[str, str]:
    """Whose texts were not decoded as the others': as the suite has it, or where no frozen ones were, as the first."""
    dataset = pairs[0].dataset
    there = {pair.frozen.name: decoding(pair.release, dataset) for pair in pairs}
    here = generation_of(suite, dataset).decoding.signature
    of = here if here in there.values() else next(iter(there.values()))
    drawn = there | {f"{pair.new.name} (new)": here for pair in pairs}
    return {n: f"the texts were decoded by {by}, the others by {of}" for n, by in drawn.items() if by != of}


def _kind(name: str, new: Collection[str]) -> Kind:
    return "human" if name == HUMAN else "new" if name in new else "frozen"


def _range(method: Method, key: str) -> Range:
    values = [record.values[key].value for record in method.records if key in record.values]
    return Range(over_seeds(values).mean, min(values), max(values))


def readings(panels: Sequence[Panel]) -> list[str]:
    """A sentence a panel: the front, and how human text stands to it."""
    found = []
    for panel in panels:
        if panel.models:
            names = ", ".join(point.name for point in panel.front)
            what = f"{panel.dataset}, {panel.quality.label} against {SELF_BLEU}"
            found.append(f"{what}: the front of {len(panel.models)} models is {names}{_beside_human(panel)}.")
    return found


def _beside_human(panel: Panel) -> str:
    human = next((point for point in panel.points if point.kind == "human"), None)
    if human is None:
        return ""
    at, models = goodness(human), [goodness(point) for point in panel.models]
    below, above = sum(dominates(at, of) for of in models), sum(dominates(of, at) for of in models)
    values = f"{number(human.y.mean, panel.quality.digits)} at {SELF_BLEU} {number(human.x.mean, 2)}"
    dominates_them = f"dominates {'all' if below == len(models) else below} of them"
    return f"; human text ({values}) {f'is dominated by {above} of them' if above else dominates_them}"


def notes(panels: Sequence[Panel]) -> tuple[Note, ...]:
    """Which methods a panel does not show, and why."""
    said = []
    for panel in panels:
        why = [f"not measured, or no finite number: {', '.join(panel.missing)}"] if panel.missing else []
        why += [f"not comparable: {'; '.join(panel.refused)}"] if panel.refused else []
        said.append((f"{panel.dataset}, {panel.quality.label}", "; ".join(why)))
    return tuple(Note(" and ".join(where), text) for text, where in by_text(said).items())


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
    axes.set_title(f"{panel.dataset}: {panel.quality.label} against {SELF_BLEU}", loc="left", fontweight="bold")
    axes.set_ylabel(f"{panel.quality.label}: up is better")
    absent = len(panel.missing) + len(panel.refused)
    which = f"{absent}" if any(point.kind == "frozen" for point in panel.models) else "frozen methods"
    said = f"\n{which} not shown: see the notes" if absent else ""
    axes.set_xlabel(f"{SELF_BLEU}, axis reversed: right is more diverse{said}")
    axes.margins(0.16, 0.14)
    if not panel.models:
        why = panel.refused[0] if panel.refused else f"no model has {panel.quality.label} and {SELF_BLEU}"
        axes.text(0.5, 0.5, fill(why, 40), transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    for point in panel.models:
        x, y, colour = point.x, point.y, LOOK[point.kind][1]
        _mark(axes, point, (x.mean, y.mean))
        axes.plot([x.low, x.high], [y.mean] * 2, [x.mean] * 2, [y.low, y.high], color=colour, linewidth=0.7, zorder=2)
    axes.invert_xaxis()
    _step(axes, panel.front)
    names = [(point.name, point.kind, (point.x.mean, point.y.mean)) for point in panel.models]
    _label(axes, names + [_human(axes, point) for point in panel.points if point.kind == "human"])


def _mark(axes: Axes, point: Point, at: XY) -> None:
    marker, colour, size = LOOK[point.kind]
    axes.plot(*at, marker=marker, color=colour, markersize=size, linestyle="none", zorder=3, clip_on=False)


def _human(axes: Axes, point: Point) -> tuple[str, Kind, XY]:
    """Human text where it is, or at the edge towards it: the models alone decide what a panel spans."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = point.x.mean, point.y.mean
    at = min(max(x, right), left), min(max(y, bottom), top)  # left is the larger: the axis is reversed
    _mark(axes, point, at)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    return (point.name if at == (x, y) else f"{point.name}, outside"), point.kind, at


def _step(axes: Axes, of: Sequence[Point]) -> None:
    """The border of what the front dominates, to the edges of the panel."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = [of[0].x.mean], [bottom]
    for point, after in zip(of, [*of[1:], None], strict=True):
        x += [point.x.mean, after.x.mean if after else left]
        y += [point.y.mean] * 2
    axes.plot(x, y, color=FRONT, linewidth=1.1, zorder=1)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _label(axes: Axes, names: Sequence[tuple[str, Kind, XY]]) -> None:
    """Each name at the first place around its mark where it covers least: other names, marks, the edge of the panel."""
    from matplotlib.transforms import Bbox

    marks = [axes.transData.transform(at) for *_, at in names]
    pixels = axes.figure.dpi / 72  # a point
    taken: list[Bbox] = []
    for name, kind, at in sorted(names, key=lambda named: named[1] == "frozen"):
        look: Any = {"fontsize": 7.5, "color": LOOK[kind][1], "fontweight": "bold" if kind == "new" else "normal"}
        measured = axes.text(0, 0, name, **look)
        width, height = measured.get_window_extent().size
        measured.remove()
        x, y = axes.transData.transform(at)
        near = LOOK[kind][2] / 2 + 3
        places: list[tuple[int, int, int, int, int, Bbox]] = []
        for ring, (dx, dy) in product(RINGS, PLACES):
            left = x + ring * near * dx * pixels + (dx - 1) / 2 * width
            bottom = y + ring * near * dy * pixels + (dy - 1) / 2 * height
            box = Bbox.from_bounds(left, bottom, width, height)
            names_covered = sum(box.overlaps(other) for other in taken)
            marks_covered = sum(box.padded(4).contains(*mark) for mark in marks)
            outside = not (axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max))
            places.append((4 * outside + 2 * names_covered + marks_covered, len(places), ring, dx, dy, box))
        _, _, ring, dx, dy, box = min(places)
        taken.append(box)
        axes.annotate(
            name, at, (ring * near * dx, ring * near * dy), textcoords="offset points", ha=ENDS[dx][0], va=ENDS[dy][1],
            arrowprops={"arrowstyle": "-", "color": FRONT, "linewidth": 0.5} if ring > 1 else None,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}, zorder=2.5, **look,
        )  # fmt: skip


def _legend(figure: Figure, across: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="none", label=NAMES[kind])
        for kind, (marker, colour, size) in LOOK.items()
    ]
    handles.append(Line2D([], [], color=FRONT, linewidth=1.2, label="Pareto front of the models"))
    legend(figure, handles, "Means over seeds; bars from the lowest to the highest", 2 * across)
