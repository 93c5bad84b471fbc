"""``reports/trace/theorem1``: the KL of the first latent variable, and what Theorem 1 promises of it.

z_1 has the prior N(0, I) (unconditional texts), and its posterior's mean is mu = gamma x_hat + b: x_hat is what layer
normalisation makes, [l] of mean 0 and variance 1, gamma is fixed and b [l] trained (Eq. 11). So (Eq. 37)

    KL(z_1) >= 1/2 |mu|^2 = 1/2 (gamma^2 l + 2 gamma x_hat.b + |b|^2).

Theorem 1's l (gamma^2 + beta^2) / 2, with beta^2 the mean of b_d^2, is that without the cross term, which vanishes for
a bias that is one number, and on average where x_hat averages to 0 in each dimension, as batch normalisation makes it.
For a trained vector it need not: b = -gamma x_hat at a constant x_hat gives KL 0. What remains is, of every text,
KL(z_1) >= 1/2 (gamma sqrt(l) - |b|)^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import registry
from bench import suite as suites
from bench.errors import BenchError
from bench.files import read_json
from bench.metrics.bootstrap import Bootstrap
from bench.metrics.likelihood_file import LikelihoodFile
from bench.paths import CellPaths
from bench.report.model import Cell, Column, Footnotes, Report, Row, RowGroup, Table, number
from bench.report.papers.paper import named
from bench.report.published import Published, load_published
from bench.report.render import write
from bench.report.trace.paper import DEFAULTS, TRACE, row_label
from bench.schema import Suite

BIAS = "normalise.bias"  # of the weights; the first l are of the mean
COLUMNS = (
    Column("kl_1", "mean", "KL(z_1), nats"),
    Column("interval", "95 % interval", "KL(z_1), nats"),
    Column("least", "least", "KL(z_1), nats"),
    Column("guaranteed", "guaranteed", "At least, nats"),
    Column("scale", "l γ²/2", "At least, nats"),
    Column("theorem", "Theorem 1", "At least, nats"),
    Column("kl", "all", "KL, nats"),
)
HEADER = ("dataset", "method", "seed", "quantity", "value", "ci95_low", "ci95_high", "published", "published_note")
ROUNDING = 1e-4  # of a KL that was computed in single precision
ON_AVERAGE = (
    "batch normalisation: on average over all segments of a training batch, where the cross term is 0; of first "
    "segments, or of a single text, nothing is guaranteed"
)


@dataclass(frozen=True)
class Bound:
    """What the trained normalisation of one cell makes of Theorem 1: its scale gamma and bias b of l numbers."""

    kind: str
    gamma: float
    latent: int
    bias: float  # |b|

    @property
    def scale(self) -> float:
        """l gamma^2 / 2, nats."""
        return self.latent * self.gamma**2 / 2

    @property
    def theorem(self) -> float:
        """Theorem 1 at sigma_1 = 1: l (gamma^2 + beta^2) / 2, nats."""
        return self.scale + self.bias**2 / 2

    @property
    def guaranteed(self) -> float:
        """What holds for every text, nats."""
        if self.kind != "layer":
            return 0.0
        return (self.gamma * math.sqrt(self.latent) - self.bias) ** 2 / 2


@dataclass(frozen=True)
class Trained:
    """One cell."""

    cell: suites.Cell
    bound: Bound
    first: np.ndarray  # KL(z_1) of each test example, nats
    total: float  # mean KL of all latent variables, nats

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean KL(z_1) over texts, where there is one."""
        (measured,) = Bootstrap().means(self.first[:, None])
        return measured.ci95


def render(suite: Suite, report: str, out: Path, root: Path = Path()) -> None:
    """Write ``out`` and its siblings, .md .csv .tex .html; ``out`` may name any of them."""
    trained = [read(suite, cell, root) for cell in suites.cells(suite, report)]
    write(build(suite, trained, load_published()), out)


def read(suite: Suite, cell: suites.Cell, root: Path = Path()) -> Trained:
    """The statistics and the normalisation of one cell; the model is there, since they were measured with it."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    stats = LikelihoodFile.read(root / paths.likelihood)
    if not stats.groups:
        raise BenchError(f"theorem1: {cell.method} on {cell.dataset} has no latent variable")
    bound = read_bound(root / paths.model, stats.mean.shape[2])
    return Trained(cell, bound, stats.kl[:, 0], float(stats.kl.sum(axis=1).mean()))


def read_bound(folder: Path, latent: int) -> Bound:
    """From a model directory; without a normalisation gamma and b are 0."""
    from safetensors import SafetensorError, safe_open

    config = read_json(folder / "config.json", "model config")
    options = {**DEFAULTS, **registry.describe(config["use"]).options, **config["options"]}
    weights = folder / "weights.safetensors"
    try:
        with safe_open(weights, framework="numpy") as file:
            names = set(file.keys())
            bias = file.get_tensor(BIAS)[:latent] if BIAS in names else None
    except (OSError, SafetensorError) as error:
        raise BenchError(f"{weights}: missing or damaged ({error})") from None
    if bias is None:
        return Bound("none", 0.0, latent, 0.0)
    return Bound(options["normalisation"], float(options["gamma"]), latent, float(np.linalg.norm(bias)))


def build(suite: Suite, trained: Sequence[Trained], published: Published) -> Report:
    """The whole report."""
    return Report(
        title=f"Suite {suite.name}, after Theorem 1 of TRACE: how far KL is kept from 0",
        lead=(
            "Theorem 1 says that layer normalisation with a fixed γ keeps KL above l(γ² + β²)/(2σ²). For the first "
            "latent variable, whose prior is N(0, I), that can be computed from the weights and held against the KL "
            "measured."
        ),
        tables=(_measured(trained), _printed(published)),
        notes=(),
        tidy_header=HEADER,
        tidy_rows=tuple(_tidy(trained, published)),
    )


def _measured(trained: Sequence[Trained]) -> Table:
    footnotes = Footnotes()
    groups: dict[str, list[Row]] = {}
    for one in trained:
        label = f"{named(row_label(one.cell.method), one.cell.method)}, seed {one.cell.seed}"
        groups.setdefault(one.cell.dataset, []).append(Row(label, _cells(one, footnotes)))
    return Table(
        name="trace-theorem1",
        title="Measured by this suite, and what follows from the weights",
        caption=(
            "KL(z_1): closed form, of every test text; its mean, a 95 % bootstrap interval of it, and the least of any "
            "text. guaranteed: (γ√l − |b|)²/2, with b the trained bias. Theorem 1: l(γ² + β²)/2 with β² the mean "
            "of b². KL: of all latent variables of a text. Without a normalisation nothing is promised. A KL that is "
            "the same for every text tells none of them apart."
        ),
        stub="Method",
        columns=COLUMNS,
        groups=tuple(RowGroup(dataset, tuple(rows)) for dataset, rows in groups.items()),
        paragraphs=(
            "The mean of z_1 is γ n + b, n being normalised: |n|² = l. Half its square, l γ²/2 + γ n·b + |b|²/2, is at "
            "most KL(z_1). Theorem 1 leaves out the cross term, which is 0 for a bias that is one number, and on "
            "average where n averages to 0 in each dimension; a trained vector b = −γ n at a constant n would bring KL "
            "to 0. What is guaranteed of every text is the column of that name.",
        ),
        footnotes=footnotes.listed(),
        findings=tuple(_findings(trained)),
    )  # fmt: skip


def _cells(one: Trained, footnotes: Footnotes) -> tuple[Cell, ...]:
    values = _values(one)
    cells = {key: Cell(number(value, 2), value) for key, value in values.items()}
    cells["interval"] = Cell(" – ".join(number(end, 2) for end in one.interval)) if one.interval else Cell()
    if one.bound.kind == "batch":
        cells["theorem"] = Cell(number(one.bound.theorem, 2), one.bound.theorem, marks=(footnotes.mark(ON_AVERAGE),))
    return tuple(cells[column.key] for column in COLUMNS)


def _values(one: Trained) -> dict[str, float]:
    return {
        "kl_1": float(one.first.mean()), "least": float(one.first.min()), "guaranteed": one.bound.guaranteed,
        "scale": one.bound.scale, "theorem": one.bound.theorem, "kl": one.total,
    }  # fmt: skip


def _findings(trained: Sequence[Trained]) -> list[str]:
    """Where KL(z_1) is on either side of what is promised."""
    found = []
    for one in trained:
        if one.bound.kind == "none":
            continue
        cell, values = one.cell, _values(one)
        side = "at least" if values["kl_1"] >= values["theorem"] else "below"
        sentence = (
            f"On {cell.dataset} the mean KL(z_1) of {cell.method} (seed {cell.seed}), {values['kl_1']:.2f}, is {side} "
            f"Theorem 1's {values['theorem']:.2f}"
        )
        if one.bound.kind == "layer":
            holds = "at least" if values["least"] >= values["guaranteed"] * (1 - ROUNDING) else "BELOW"
            sentence += (
                f"; the least of any text, {values['least']:.2f}, is {holds} the guaranteed {values['guaranteed']:.2f}"
            )
        found.append(f"{sentence}.")
    return found


def _printed(published: Published) -> Table:
    """The KL that the paper prints, beside its own bound at its own gamma and l."""
    stated = {row.metric: row.value for row in published.table("trace", "5.2")}
    least = stated["latent"] * stated["gamma"] ** 2 / 2
    groups: dict[str, list[Row]] = {}
    for row in published.table("trace", "2"):
        if row.metric == "kl" and row.method in ("trace-r", "trace-p"):
            cells = (Cell(row.text, row.value), Cell(number(least, 0), least))
            groups.setdefault(TRACE.datasets[row.dataset], []).append(Row(row_label(row.method), cells))
    return Table(
        name="trace-theorem1-printed",
        title="As the paper prints it: TRACE, Table 2, beside its own bound",
        caption=(
            f"Printed by {TRACE.source}, not measured here. l γ²/2 at the printed γ = {stated['gamma']:g} and l = "
            f"{stated['latent']:g}, of z_1 alone, without a bias. The printed KL of all latent variables are far below "
            f"it: they cannot be totals of a model to which Theorem 1 applies. A mean over dims of z_1 would be at "
            f"least {least / stated['latent']:g}."
        ),
        stub="Model",
        columns=(Column("kl", "KL"), Column("least", "l γ²/2")),
        groups=tuple(RowGroup(dataset, tuple(rows)) for dataset, rows in groups.items()),
    )


def _tidy(trained: Sequence[Trained], published: Published) -> list[tuple[str, ...]]:
    rows = []
    for one in trained:
        at = (one.cell.dataset, one.cell.method, str(one.cell.seed))
        for key, value in _values(one).items():
            ends = tuple(map(repr, one.interval)) if key == "kl_1" and one.interval else ("", "")
            rows.append((*at, key, repr(value), *ends, "", ""))
    rows += [
        (row.dataset, row.method, "", "kl", "", "", "", row.text, row.note)
        for row in published.table("trace", "2")
        if row.metric == "kl" and row.method in ("trace-r", "trace-p")
    ]
    return rows
