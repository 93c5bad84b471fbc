"""``reports/curves.*``: rec, KL and beta against the step; a column a method, two rows of panels a dataset."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import suite as suites
from bench.errors import BenchError
from bench.files import atomic
from bench.paths import CellPaths
from bench.schema import Suite

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

COLUMNS = ("step", "beta", "train_rec", "train_kl", "valid_rec", "valid_kl")
TERMS = ("rec", "kl")
ACROSS = 6  # methods side by side; more continue in further rows
TRAIN, VALID, BETA = "#e0863a", "#1f4e8c", "#c9cfd6"
DASHED = (0, (3, 1.2))
KEPT: Any = {"marker": "o", "markersize": 3.5, "linestyle": "none"}
KEPT_LABEL = "kept weights, at the end"
LINEAR_BELOW = 0.1  # nats: KL is linear below, logarithmic above; annealed KL spans 0.01 to 500
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs everywhere
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#eceff2",
    "axes.axisbelow": True,
    "svg.hashsalt": "bench",  # element ids, else random
    "svg.fonttype": "none",  # text stays text
}
METADATA: Mapping[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}

Curve = Mapping[str, Sequence[float]]  # column -> values, NaN where empty; "kept": 1 in a row of kept weights, else 0
Points = list[tuple[float, float]]  # (step, value)


@dataclass(frozen=True)
class Panel:
    """The curves of one method on one dataset, by seed."""

    dataset: str
    method: str
    curves: Mapping[int, Curve]

    @property
    def latent(self) -> bool:
        """Whether there is a KL at all."""
        return any(math.isfinite(beta) for curve in self.curves.values() for beta in curve["beta"])


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the history of every cell of the report."""
    panels = read_panels(suite, report, root)
    save(lambda: draw(panels), out)


def save(make: Callable[[], Figure], out: Path) -> None:
    """A figure as .png and .svg beside ``out``."""
    for form, content in drawn(make).items():
        with atomic(out.with_suffix(f".{form}"), "wb") as stream:
            stream.write(content)


def drawn(make: Callable[[], Figure], forms: Sequence[str] = tuple(METADATA)) -> dict[str, bytes]:
    """A figure by format, in the house style; the same drawing always gives the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, rc_context

    with rc_context(STYLE):
        figure = make()
        streams = {form: io.BytesIO() for form in forms}
        for form, stream in streams.items():
            figure.savefig(stream, format=form, dpi=150, metadata=METADATA[form])
        pyplot.close(figure)
    return {form: stream.getvalue() for form, stream in streams.items()}


def read_panels(suite: Suite, report: str, root: Path = Path()) -> list[Panel]:
    """Histories by dataset and method, in the suite's order."""
    found: dict[tuple[str, str], dict[int, Curve]] = {}
    for cell in suites.cells(suite, report):
        paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
        found.setdefault((cell.dataset, cell.method), {})[cell.seed] = read_history(root / paths.history)
    return [Panel(dataset, method, by_seed) for (dataset, method), by_seed in found.items()]


def read_history(path: Path) -> Curve:
    """The columns of a ``history.csv`` that are plotted; a bad file is a :class:`BenchError` naming line and column."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"history {path}: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise BenchError(f"history {path}: no rows")
    missing = [column for column in COLUMNS if column not in rows[0]]
    if missing:
        raise BenchError(f"history {path}: no column '{missing[0]}'")
    read = {column: [_number(row[column], path, i, column) for i, row in enumerate(rows, 2)] for column in COLUMNS}
    return {**read, "kept": _kept(rows)}


def _kept(rows: Sequence[Mapping[str, str]]) -> list[float]:
    """1 for the row with which a stage ends: its kept weights, evaluated again at the step of the row before."""
    at = [(row.get("stage"), row["step"]) for row in rows]
    return [float(i > 0 and at[i] == at[i - 1]) for i in range(len(at))]


def points(curve: Curve, column: str) -> Points:
    """What a column has of each step of training."""
    return [(x, y) for x, y, kept in zip(curve["step"], curve[column], curve["kept"], strict=True) if not kept]


def of_kept_weights(curve: Curve, column: str) -> Points:
    """What a column has of the weights that a stage keeps, which are those of an earlier step."""
    return [(x, y) for x, y, kept in zip(curve["step"], curve[column], curve["kept"], strict=True) if kept]


def beta_points(curve: Curve) -> Points:
    """Beta of each row; where a cycle begins anew between two of them, beta falls to 0 at the first.

    History does not say at which step it fell. With a row an epoch it was there, for cycles are of whole epochs.
    """
    found: Points = []
    for step, beta in points(curve, "beta"):
        if found and beta < found[-1][1] and step > found[-1][0]:
            found.append((found[-1][0], 0.0))
        found.append((step, beta))
    return found


def _number(text: str | None, path: Path, line: int, column: str) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        raise BenchError(f"history {path}:{line}: {column} is '{text}', not a number") from None


def draw(panels: Sequence[Panel]) -> Figure:
    """One figure: for each dataset, rec above KL, methods across; scales are shared within a dataset."""
    from matplotlib import pyplot

    bands = list(_bands(panels))
    across = max(len(band) for band in bands)
    heights = [h for _ in bands for h in (1.0, 1.0, 0.5)][:-1]  # the last: room for titles and step labels
    width, height = 1.1 + 2.15 * across, 1.0 + 1.55 * sum(heights)
    figure = pyplot.figure(figsize=(max(width, 6.5), height))
    grid = figure.add_gridspec(
        len(heights), across, height_ratios=heights, hspace=0.12, wspace=0.12,
        left=0.75 / max(width, 6.5), right=1 - 0.6 / max(width, 6.5), top=1 - 0.72 / height, bottom=0.42 / height,
    )  # fmt: skip
    shared: dict[tuple[str, str], Axes] = {}
    largest = max([1.0, *(b for panel in panels for c in panel.curves.values() for b in c["beta"] if math.isfinite(b))])
    for row, band in enumerate(bands):
        rightmost = max((i for i, panel in enumerate(band) if panel.latent), default=-1)  # has beta's scale
        for column, panel in enumerate(band):
            rec, kl = (_subplot(figure, grid[3 * row + i, column], panel, name, shared) for i, name in enumerate(TERMS))
            _draw_rec(rec, panel, first=column == 0)
            _draw_kl(kl, panel, largest, first=column == 0, last=column == rightmost)
    _scale(shared, panels)
    _legend(figure, panels)
    return figure


def _subplot(figure: Figure, spec: SubplotSpec, panel: Panel, term: str, shared: dict[tuple[str, str], Axes]) -> Axes:
    """Axes of one term, on the scales of its dataset."""
    x, y = shared.get((panel.dataset, "step")), shared.get((panel.dataset, term))
    axes = figure.add_subplot(spec, sharex=x, sharey=y)
    for name in ("step", term):
        shared.setdefault((panel.dataset, name), axes)
    return axes


def _bands(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    """Rows of at most ACROSS panels of one dataset."""
    for dataset in dict.fromkeys(panel.dataset for panel in panels):
        of = [panel for panel in panels if panel.dataset == dataset]
        for start in range(0, len(of), ACROSS):
            yield of[start : start + ACROSS]


def _lines(axes: Axes, panel: Panel, term: str) -> None:
    for curve in panel.curves.values():
        train = [(x, y) for x, y in points(curve, f"train_{term}") if math.isfinite(y)]
        if train:
            axes.plot(*zip(*train, strict=True), color=TRAIN, linewidth=0.6, linestyle=DASHED, alpha=0.7)
        axes.plot(*zip(*points(curve, f"valid_{term}"), strict=True), color=VALID, linewidth=0.9, zorder=3)
        if kept := of_kept_weights(curve, f"valid_{term}"):
            axes.plot(*zip(*kept, strict=True), color=VALID, zorder=4, clip_on=False, **KEPT)


def _draw_rec(axes: Axes, panel: Panel, first: bool) -> None:
    axes.set_title(f"{panel.dataset} · {panel.method}" if first else panel.method, loc="left", fontweight="bold")
    axes.set_yscale("log")
    _lines(axes, panel, "rec")
    axes.tick_params(labelbottom=False, labelleft=first)
    if first:
        axes.set_ylabel("rec (nats/example)")


def _draw_kl(axes: Axes, panel: Panel, largest: float, first: bool, last: bool) -> None:
    """``largest``: beta of all panels, which share its scale."""
    axes.set_xlabel("step")
    axes.tick_params(labelleft=first)
    if first:
        axes.set_ylabel("KL (nats/example)")
    if not panel.latent:
        axes.text(0.5, 0.5, "no latent variable", transform=axes.transAxes, ha="center", va="center", color="#7a828c")
        return
    beta = axes.twinx()
    beta.set_ylim(0, 1.05 * largest)
    beta.grid(False)
    curve = next(iter(panel.curves.values()))  # the schedule is the same for every seed
    steps, betas = zip(*beta_points(curve), strict=True)
    beta.fill_between(steps, betas, color=BETA, alpha=0.55, linewidth=0)
    ticks = [0, largest / 2, largest]
    beta.set_yticks(ticks, [f"{tick:g}" if last else "" for tick in ticks])
    beta.tick_params(length=2.5 if last else 0, colors="#7a828c")
    if last:
        beta.set_ylabel("beta", color="#7a828c")
    axes.set_zorder(beta.get_zorder() + 1)  # lines over the shading
    axes.patch.set_visible(False)
    _lines(axes, panel, "kl")


def _scale(shared: Mapping[tuple[str, str], Axes], panels: Sequence[Panel]) -> None:
    """Limits and ticks that all panels of a dataset share."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    for (dataset, name), axes in shared.items():
        of = [curve for panel in panels if panel.dataset == dataset for curve in panel.curves.values()]
        if name == "step":
            axes.set_xlim(0, max(step for curve in of for step in curve["step"]))
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True, prune="upper"))
            continue
        values = [v for curve in of for part in ("train", "valid") for v in curve[f"{part}_{name}"] if math.isfinite(v)]
        if name == "kl":
            scale_kl(axes, values)
            continue
        if values and min(values) > 0:
            low, high = min(values) * 0.92, max(values) * 1.08
            axes.set_ylim(low, high)
            axes.yaxis.set_major_locator(FixedLocator(_log_ticks(low, high)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())


def scale_kl(axes: Axes, values: Sequence[float]) -> None:
    """Linear below a tenth of a nat, logarithmic above: what collapses stays in sight beside what does not.

    It ends with a tick, the first of 1, 3, 10, 30, ... that no value is above.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    largest = max([1.0, *values])
    decade = 10.0 ** math.floor(math.log10(largest))
    top = next(tick for tick in (decade, 3 * decade, 10 * decade) if tick >= largest)
    decades = [10.0**power for power in range(-1, 1 + math.floor(math.log10(top)))]
    shown = decades if len(decades) <= 4 else decades[::-2]
    axes.set_yscale("symlog", linthresh=LINEAR_BELOW, linscale=0.4)
    axes.set_ylim(min([0.0, *values]), top)
    axes.yaxis.set_major_locator(FixedLocator(sorted({0.0, *shown, top})))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between the limits: 1, 2, 5 a decade, finer or coarser where that gives too few or too many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for leading in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        found = [digit * 10.0**power for power in decades for digit in leading if low <= digit * 10.0**power <= high]
        if len(found) >= 3:
            break
    return found


def legend(
    figure: Figure, handles: Sequence[Artist], title: str, columns: int, size: int = 8, handlelength: float = 2.0
) -> None:
    """What lines and marks stand for, above all panels, under a line or two of that size that say what is shown."""
    figure.legend(
        handles=handles, loc="upper left", ncols=columns, frameon=False, borderaxespad=0.2, title=title,
        alignment="left", title_fontsize=size, handlelength=handlelength,
    )  # fmt: skip


def _legend(figure: Figure, panels: Sequence[Panel]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    seeds = max(len(panel.curves) for panel in panels)
    handles: list[Artist] = [
        Line2D([], [], color=VALID, linewidth=1.2, label="validation"),
        Line2D([], [], color=TRAIN, linewidth=1.2, linestyle=DASHED, label="training (mean since the last point)"),
        Patch(color=BETA, alpha=0.55, linewidth=0, label="beta"),
    ]
    if any(any(curve["kept"]) for panel in panels for curve in panel.curves.values()):
        handles.append(Line2D([], [], color=VALID, label=KEPT_LABEL, **KEPT))
    title = "Log scales; KL is summed over latent groups, and its scale is linear below 0.1 nats" + (
        "; one line a seed" if seeds > 1 else ""
    )
    legend(figure, handles, title, len(handles))
