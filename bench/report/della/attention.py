"""Figures 6 and 7: attention on the memory token, in the first and in the second half of the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench import suite as suites
from bench.errors import BenchError
from bench.files import read_json
from bench.paths import CellPaths
from bench.report.figures import DASHED, legend, save
from bench.schema import Suite
from bench.validation import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpecBase

Which = Literal["average", "max", "min"]
SHOWN: tuple[Which, ...] = ("average", "max", "min")
FIRST_HALF = "della/figure6"
COLOURS: Mapping[Which, str] = {"average": "#1f4e8c", "max": "#e0863a", "min": "#5aa9a3"}
MARKERS: Mapping[Which, str] = {"average": "o", "max": "^", "min": "v"}
MEMORY = "#c2410c"  # of the column "z" and its label
MAP, STRIP = 1.75, 1.25  # inches: a map's side, the strip's height
LONGEST = 9  # characters of a token's label
LEGEND = (
    "Attention weights while the decoder reads a test text, a row a query; z is the memory token, a posterior sample.\n"
    "Numbers: mean weight on z over the test texts. Max and min: the layer's heads with the most and the least of it."
)


@dataclass(frozen=True)
class Layer:
    """One layer: by head the mean weight on the memory, and the maps of the example text."""

    layer: int
    mean: tuple[float, ...]
    by_position: tuple[tuple[float, ...], ...]
    heads: Mapping[Literal["max", "min"], int]
    maps: Mapping[Which, tuple[tuple[float, ...], ...]]

    def on_memory(self, which: Which) -> float:
        """Mean weight on the memory over texts and positions."""
        return sum(self.mean) / len(self.mean) if which == "average" else self.mean[self.heads[which]]


@dataclass(frozen=True)
class Attention:
    """An ``attention.json``; see ``bench.attention``."""

    seed: int
    texts: int
    example: int
    tokens: tuple[str, ...]
    layers: tuple[Layer, ...]
    uniform: float
    uniform_by_position: tuple[float, ...]

    @property
    def columns(self) -> list[str]:
        """Labels of a map's columns: the memory, the prompt where there is one, the text."""
        extra = len(self.layers[0].maps["average"][0]) - len(self.tokens)
        return [*["z", "c"][:extra], *self.tokens]


@dataclass(frozen=True)
class Block:
    """What is drawn of one method on one dataset."""

    title: str
    attention: Attention
    layers: Sequence[Layer]


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its sibling, .png and .svg, from the attention of the first seed of every method."""
    blocks = read_blocks(suite, report, root)
    save(lambda: draw(blocks), out)


def read_blocks(suite: Suite, report: str, root: Path = Path()) -> list[Block]:
    """One a dataset and method, with the layers that the figure is of."""
    found: dict[tuple[str, str], Block] = {}
    for cell in suites.cells(suite, report):
        if (cell.dataset, cell.method) not in found:
            path = root / CellPaths(suite.name, cell.dataset, cell.method, cell.seed).attention
            read = validate(Attention, read_json(path, "attention"), f"attention {path}")
            half = (suites.backbone_of(suite, cell.dataset, cell.method).layers + 1) // 2
            layers = [layer for layer in read.layers if (layer.layer < half) == (report == FIRST_HALF)]
            if not layers:
                raise BenchError(f"report '{report}': '{cell.method}' has no memory token in that half of its layers")
            title = f"{cell.dataset} · {cell.method}, seed {cell.seed}"
            found[cell.dataset, cell.method] = Block(title, read, layers)
    return list(found.values())


def draw(blocks: Sequence[Block]) -> Figure:
    """Three columns of maps a block, a row a layer, under the strip of all layers."""
    from matplotlib import pyplot
    from matplotlib.cm import ScalarMappable

    rows = max(len(block.layers) for block in blocks)
    width = 1.0 + len(blocks) * (3 * (MAP + 0.12) + 0.75)
    height = 1.6 + STRIP + 0.55 + rows * (MAP + 0.3)
    figure = pyplot.figure(figsize=(width, height))
    outer = figure.add_gridspec(
        1, len(blocks), left=0.75 / width, right=1 - 0.95 / width, top=1 - 0.85 / height, bottom=0.7 / height,
        wspace=0.75 / (3 * (MAP + 0.12)),
    )  # fmt: skip
    top = 1.1 * max(layer.on_memory(which) for block in blocks for layer in block.attention.layers for which in SHOWN)
    for i, block in enumerate(blocks):
        grid = outer[i].subgridspec(2, 1, height_ratios=[STRIP, rows * (MAP + 0.3)], hspace=0.55 / (height / 2 - 1))
        _strip(figure.add_subplot(grid[0]), block, top)
        _maps(figure, grid[1].subgridspec(rows, 3, wspace=0.06, hspace=0.3 / MAP), block)
    bar = figure.add_axes((1 - 0.8 / width, 0.7 / height, 0.12 / width, min(2.2, rows * MAP) / height))
    figure.colorbar(ScalarMappable(_norm(), _colours()), cax=bar, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    bar.set_yticklabels(["0", "0.01", "0.05", "0.1", "0.25", "0.5", "1"])
    bar.set_title("weight\n(square-root\nscale)", fontsize=7, loc="left")
    _legend(figure)
    return figure


def _strip(axes: Axes, block: Block, top: float) -> None:
    """Mean weight on the memory of every layer, also those that another figure shows."""
    layers = block.attention.layers
    at = [layer.layer for layer in layers]
    for which in SHOWN:
        axes.plot(at, [layer.on_memory(which) for layer in layers], color=COLOURS[which], marker=MARKERS[which],
                  markersize=4, linewidth=1)  # fmt: skip
    axes.axhline(block.attention.uniform, color="#5b6470", linestyle=DASHED, linewidth=0.9)
    axes.set_title(block.title, loc="left", fontweight="bold")
    axes.set_ylim(0, top)
    axes.margins(x=0.03)
    axes.set_xticks(at)
    axes.set_xlabel("layer", labelpad=1)
    axes.set_ylabel("weight on z")


def _maps(figure: Figure, grid: GridSpecBase, block: Block) -> None:
    for row, layer in enumerate(block.layers):
        for column, which in enumerate(SHOWN):
            axes = figure.add_subplot(grid[row, column])
            head = "average" if which == "average" else f"head {layer.heads[which]} ({which})"
            axes.set_title(f"layer {layer.layer}, {head}: {layer.on_memory(which):.3f}", fontsize=6.5, pad=3)
            _map(axes, layer.maps[which], block.attention.columns)
            tokens = block.attention.tokens if column == 0 else ()
            _labels(axes, tokens, block.attention.columns if row == len(block.layers) - 1 else ())


def _map(axes: Axes, weights: Sequence[Sequence[float]], columns: Sequence[str]) -> None:
    """Queries down, keys across; what a query may not see is left blank."""
    import numpy as np

    values = np.array(weights)
    before = len(columns) - len(values)  # columns that every query sees
    future = np.arange(len(columns))[None] > np.arange(len(values))[:, None] + before
    axes.imshow(np.ma.masked_array(values, future), norm=_norm(), cmap=_colours(), aspect="auto")
    axes.grid(False)
    axes.axvline(0.5, color=MEMORY, linewidth=0.8)


def _labels(axes: Axes, down: Sequence[str], across: Sequence[str]) -> None:
    axes.set_yticks(range(len(down)), [_token(t) for t in down], fontsize=5.5, parse_math=False)
    axes.set_xticks(range(len(across)), [_token(t) for t in across], fontsize=5.5, rotation=90, parse_math=False)
    axes.tick_params(length=1.5, pad=1.5)
    if across:
        axes.get_xticklabels()[0].set(color=MEMORY, fontweight="bold")


def _token(token: str) -> str:
    """A token as a tick label: what separates it from the word before is shown as ␣."""
    shown = "".join(c if c.isprintable() else "?" for c in token.replace(" ", "␣"))
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def _norm() -> Normalize:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, 0, 1)


def _colours() -> Colormap:
    from matplotlib import colormaps

    return colormaps["Blues"]


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    names = {"average": "average over heads", "max": "head max", "min": "head min"}
    handles = [Line2D([], [], color=COLOURS[w], marker=MARKERS[w], markersize=4, label=names[w]) for w in SHOWN]
    handles.append(Line2D([], [], color="#5b6470", linestyle=DASHED, label="all positions alike"))
    legend(figure, handles, LEGEND, 4, size=7)
