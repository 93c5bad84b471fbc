"""Where the methods of a report stand on the axis of segment lengths, which Figures 2 and 3 share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import suite as suites
from bench.errors import BenchError
from bench.report.papers.lines import options_of
from bench.report.trace.paper import DEFAULTS
from bench.schema import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Point:
    """A method of a suite: trace-r or trace-p at one segment length, in tokens."""

    line: str
    length: int
    method: str


def read_points(suite: Suite, report: str, lines: Collection[str]) -> list[Point]:
    """The methods of a report, which are to be ``lines`` at different segment lengths; shortest first."""
    selection = suites.select(suite, report)
    for dataset in selection.datasets:
        if suite.datasets[dataset].sentences:
            raise BenchError(f"report '{report}': segments of {dataset} are sentences, and have no length to vary")
    found: dict[tuple[str, int], Point] = {}
    for method in selection.methods:
        spec = suites.spec_of(suite, method)
        if spec.use not in lines:
            raise BenchError(f"report '{report}': '{method}' is {spec.use}, not {' or '.join(lines)}")
        length = options_of(suite, method, DEFAULTS)["segment_length"]
        if not isinstance(length, int) or length < 1:
            raise BenchError(f"report '{report}': segment_length of '{method}' is {length!r}, not a number of tokens")
        point = Point(spec.use, length, method)
        other = found.setdefault((point.line, point.length), point).method
        if other != method:
            raise BenchError(f"report '{report}': '{other}' and '{method}' both have segments of {point.length} tokens")
    return sorted(found.values(), key=lambda point: point.length)


def length_axis(axes: Axes, points: Sequence[Point]) -> None:
    """A logarithmic scale with a tick at each length there is."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    lengths = sorted({point.length for point in points})
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.set_xlabel("segment length (tokens)")
    axes.margins(0.08, 0.15)
