"""Every report there is: its name, how it is written, what it reads, and the module that makes it, by name alone.

A report is named after what it reproduces: ``della/table2`` is Table 2 of the DELLA paper. Which cells it shows is the
suite's to say (``reports:`` of a suite YAML). Its module has ``render(suite, report, out, root)``, which writes every
file of :attr:`Report.files` beside ``out``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import BenchError, suggest
from bench.paths import RENDERED

Kind = Literal["table", "figure", "site"]
Reads = Literal[
    "records", "histories", "samples", "interpolation", "attention", "costs", "statistics", "models", "augmentation"
]
Source = Literal["likelihood", "texts"]
FORMATS: dict[Kind, tuple[str, ...]] = {
    "table": ("md", "csv", "tex", "html"),
    "figure": ("png", "svg"),
    "site": ("html",),
}


def check_out(out: Path, forms: Sequence[str]) -> None:
    """:class:`BenchError` unless ``out`` names a file of one of these formats, where it and its siblings may lie."""
    if out.suffix.removeprefix(".") not in forms:
        raise BenchError(f"--out {out}: expected the name of a file that ends in {' or '.join(f'.{f}' for f in forms)}")
    for path in (out.with_suffix(f".{form}") for form in forms):
        if path.exists() and not path.is_file():
            raise BenchError(f"--out {out}: {path} is there and no regular file")


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
    whole: of a site: whether it shows every other report of the suite, or only those that need no cell but its own.
    """

    name: str
    kind: Kind
    reads: tuple[Reads, ...]
    module: str
    shows: tuple[Source, ...] = ()
    conditional: bool | None = None
    decodings: bool = False
    own: bool = False
    whole: bool = False

    @property
    def title(self) -> str:
        """What it is about, in a few words."""
        return TITLES[self.name]

    @property
    def paper(self) -> str:
        """The paper whose table or figure it makes, ``"DELLA"``; "" where it is of none."""
        return self.name.rpartition("/")[0].upper()

    @property
    def head(self) -> str:
        """Which table or figure of its paper it is, and what it is about: "Table 4: Ablations"."""
        number = re.sub(r"^[a-z]+", r"\g<0> ", self.name.rpartition("/")[2]).capitalize()
        return f"{number}: {self.title}" if self.paper else self.title

    @property
    def page(self) -> Path:
        """The file that a browser shows."""
        return RENDERED / f"{self.name}.{'svg' if self.kind == 'figure' else 'html'}"

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
    *(
        Report(
            name,
            "site",
            ("records", "samples"),
            "bench.report.site.page",
            BOTH,
            decodings=True,
            own=True,
            whole=name == "whole",
        )
        for name in ("index", "whole")
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
    Report("trace/theorem1", "table", ("statistics", "models"), "bench.report.trace.theorem", conditional=False),
    Report("davam/table1", "table", (), "bench.report.davam.data"),
    *_tables("davam.tables", "davam/table2", shows=("likelihood",), conditional=False),
    Report(
        "davam/table3",
        "table",
        ("records", "samples"),
        "bench.report.davam.samples",
        ("texts",),
        conditional=False,
        decodings=True,
    ),
    Report(
        "davam/table4",
        "table",
        ("records", "statistics"),
        "bench.report.davam.lengths",
        ("texts",),
        conditional=False,
        decodings=True,
    ),
    *_tables("davam.lengths", "davam/table5", shows=("texts",), conditional=False, decodings=True),
    *(
        Report(
            f"davam/figure4{part}",
            "figure",
            ("records",),
            "bench.report.davam.sweep",
            ("likelihood",),
            conditional=False,
        )
        for part in "abc"
    ),
    Report("davam/figure3", "figure", ("augmentation",), "bench.report.davam.augmentation", conditional=False),
    Report("davam/figure4d", "figure", ("histories",), "bench.report.davam.dynamics", conditional=False),
)
TITLES = {
    "table1": "The main quantities, exactly and by the papers' arithmetic",
    "curves": "Learning curves",
    "index": "The site: tables, texts and cells",
    "whole": "The site with every report of the suite",
    "audit": "The audit of published numbers and claims",
    "della/table1": "Language modelling and generation of long texts",
    "della/table2": "Conditional generation: stories and summaries",
    "della/table4": "Ablations",
    "della/table5": "Other ways against KL vanishing, and larger backbones",
    "della/table6": "Training cost",
    "della/table7": "The datasets",
    "della/table8": "Language modelling and generation of sentences",
    "della/table9": "Conditional generation: paraphrases",
    "della/figure2": "Latent variables from a layer up, or up to a layer",
    "della/figure3": "Interpolation between two posterior samples",
    "della/figure4": "Generated texts side by side",
    "della/figure5": "Learning curves of the models with latent variables",
    "della/figure6": "Attention on the memory token, first half of the layers",
    "della/figure7": "Attention on the memory token, second half of the layers",
    "trace/table1": "The datasets",
    "trace/table2": "Unconditional generation",
    "trace/table3": "Conditional generation",
    "trace/table5": "Ablations",
    "trace/table6": "Texts of the same models by several decodings",
    "trace/figure2": "Seconds a training step, by segment length",
    "trace/figure3": "CND and Self-BLEU, by segment length",
    "trace/figure4": "Generated texts side by side",
    "trace/theorem1": "The KL of the first latent variable beside its bound",
    "davam/table1": "The datasets",
    "davam/table2": "Reconstruction, perplexity and KL",
    "davam/table3": "Samples of given lengths",
    "davam/table4": "Fluency, by length",
    "davam/table5": "Entropy and distinct n-grams, by length",
    "davam/figure3": "A language model trained on generated texts besides others",
    "davam/figure4a": "Reconstruction and KL, by codebook size",
    "davam/figure4b": "Reconstruction and KL, by beta_max",
    "davam/figure4c": "Reconstruction and KL, by code dimension",
    "davam/figure4d": "Reconstruction and KL over training",
}
REPORTS = {report.name: report for report in _ALL}
DEFAULT = ("table1", "curves")  # of a suite that names none


def find(name: str) -> Report:
    """One report by name."""
    if name not in REPORTS:
        raise BenchError(f"no report '{name}'{suggest(name, REPORTS)}")
    return REPORTS[name]
