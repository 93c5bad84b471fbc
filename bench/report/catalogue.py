"""Every report there is: its name, how it is written, what it reads, and the module that makes it. Light: no imports.

A report is named after what it reproduces: ``della/table2`` is Table 2 of the DELLA paper. Which cells it shows is the
suite's to say (``reports:`` of a suite YAML). Its module has ``render(suite, report, out, root)``, which writes every
file of :attr:`Report.files` beside ``out``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.errors import BenchError, suggest

Kind = Literal["table", "figure", "site"]
Reads = Literal["records", "histories", "samples", "interpolation", "attention", "costs", "statistics", "augmentation"]
Source = Literal["likelihood", "texts"]
FORMATS: dict[Kind, tuple[str, ...]] = {
    "table": ("md", "csv", "tex", "html"),
    "figure": ("png", "svg"),
    "site": ("html",),
}


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes
    ----------
    reads: the files of each of its cells, besides every dataset's manifest.
    shows: of records, the values it shows; a cell that no report shows the texts of draws and scores none.
    conditional: the kind of dataset it is about; None for either.
    decodings: whether it can show texts of the same cells drawn by several decodings.
    own: whether it shows the datasets' own decoding besides those that a suite names.
    """

    name: str
    kind: Kind
    reads: tuple[Reads, ...]
    module: str
    shows: tuple[Source, ...] = ()
    conditional: bool | None = None
    decodings: bool = False
    own: bool = False

    @property
    def texts(self) -> bool:
        """Whether it shows texts or values from them."""
        return "texts" in self.shows or "samples" in self.reads


BOTH: tuple[Source, ...] = ("likelihood", "texts")


def _tables(
    module: str,
    *names: str,
    shows: tuple[Source, ...] = BOTH,
    conditional: bool | None = None,
    decodings: bool = False,
) -> list[Report]:
    module = f"bench.report.{module}"
    return [Report(name, "table", ("records",), module, shows, conditional, decodings) for name in names]


_ALL = (
    *_tables("table", "table1", conditional=False),
    Report("curves", "figure", ("histories",), "bench.report.figures"),
    Report(
        "index", "site", ("records", "histories", "samples"), "bench.report.site.page", BOTH, decodings=True, own=True
    ),
    *_tables("audit.report", "audit", conditional=False),
    *_tables("della.tables", "della/table1", "della/table8", conditional=False),
    *_tables("della.tables", "della/table2", "della/table9", conditional=True),
    *_tables("della.tables", "della/table4", "della/table5", shows=("likelihood",), conditional=False),
    *_tables("della.cost", "della/table6", shows=("likelihood",)),
    Report("della/table7", "table", (), "bench.report.della.data"),
    Report("della/figure2", "figure", ("records",), "bench.report.della.layers", ("likelihood",), conditional=False),
    Report("della/figure3", "table", ("interpolation",), "bench.report.della.interpolation", conditional=False),
    Report("della/figure4", "table", ("samples",), "bench.report.papers.samples"),
    Report("della/figure5", "figure", ("histories",), "bench.report.figures"),
    Report("della/figure6", "figure", ("attention",), "bench.report.della.attention"),
    Report("della/figure7", "figure", ("attention",), "bench.report.della.attention"),
    Report("trace/table1", "table", (), "bench.report.trace.data"),
    *_tables("trace.tables", "trace/table2", "trace/table5", conditional=False),
    *_tables("trace.tables", "trace/table3", shows=("texts",), conditional=True),
    *_tables("trace.decodings", "trace/table6", shows=("texts",), conditional=False, decodings=True),
    Report("trace/figure2", "figure", ("costs",), "bench.report.trace.speed"),
    Report("trace/figure3", "figure", ("records",), "bench.report.trace.segments", ("texts",), conditional=False),
    Report("trace/figure4", "table", ("samples",), "bench.report.papers.samples", conditional=True),
    Report("trace/theorem1", "table", ("statistics",), "bench.report.trace.theorem", conditional=False),
    Report("davam/table1", "table", (), "bench.report.davam.data"),
    *_tables("davam.tables", "davam/table2", shows=("likelihood",), conditional=False),
    Report("davam/table3", "table", ("records", "samples"), "bench.report.davam.samples", ("texts",), False, True),
    Report("davam/table4", "table", ("records", "statistics"), "bench.report.davam.lengths", ("texts",), False, True),
    *_tables("davam.lengths", "davam/table5", shows=("texts",), conditional=False, decodings=True),
    *(
        Report(f"davam/figure4{part}", "figure", ("records",), "bench.report.davam.sweep", ("likelihood",), False)
        for part in "abc"
    ),
    Report("davam/figure3", "figure", ("augmentation",), "bench.report.davam.augmentation", conditional=False),
    Report("davam/figure4d", "figure", ("histories",), "bench.report.davam.dynamics", conditional=False),
)
REPORTS = {report.name: report for report in _ALL}
DEFAULT = ("table1", "curves")  # of a suite that names none


def find(name: str) -> Report:
    """One report by name."""
    if name not in REPORTS:
        raise BenchError(f"no report '{name}'{suggest(name, REPORTS)}")
    return REPORTS[name]
