"""Filled sheets -> means with intervals, paired tests against one method, agreement; unblinded, as a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, suggest
from bench.files import read_json
from bench.humaneval.agreement import Scores, fleiss_kappa, mean_cohen_kappa, wilcoxon
from bench.humaneval.sheets import read_key, read_sheets
from bench.metrics.bootstrap import Bootstrap
from bench.metrics.significance import holm
from bench.report.model import Cell, Column, Report, Row, RowGroup, Table, number, rank
from bench.report.render import write

Floats = NDArray[np.float64]
ByItem = Mapping[str, Mapping[int, float]]  # method -> item -> mean score over annotators
Tests = Mapping[str, Mapping[str, tuple[float, float]]]  # criterion -> method -> p, as it is and adjusted
FORMATS = ("md", "csv", "tex", "html")
HEADER = ("criterion", "method", "mean", "ci95_low", "ci95_high", "items", "scores", "p", "p_holm", "against")


def score(folder: Path, against: str = "", out: Path | None = None) -> Report:
    """The report of a folder's sheets, and its files beside ``out``. ``against``: the method that others are tested
    with; by default the one with the highest mean over criteria."""
    criteria, scores = read_sheets(folder)
    key = read_key(folder)
    items = {name: by_item(scores[name], key) for name in criteria}
    methods = list(dict.fromkeys(method for _, method in key.values()))
    if against and against not in methods:
        raise BenchError(f"{folder}: no method '{against}' was scored{suggest(against, methods)}")
    mean = {m: float(np.mean([np.mean(list(items[name][m].values())) for name in criteria])) for m in methods}
    best = against or max(methods, key=lambda method: mean[method])
    tested = {name: tests(items[name], methods, best, chosen=not against) for name in criteria}
    family = "the number of these tests" if against else "all pairs of methods, since the scores say which is best"
    about = read_json(folder / "protocol.json", "protocol")
    low, high = about["scale"]
    made = Report(
        title=f"Human evaluation on {about['dataset']}",
        lead=(
            f"Scores from {low} (worst) to {high} (best), each a mean over annotators, then over items; ± is half the "
            f"95 % bootstrap interval over items. p: Wilcoxon's signed-rank test of each method against {best} on the "
            f"items of both, adjusted (Holm) for {family}, a criterion at a time."
        ),
        tables=(_means(criteria, methods, items, tested, best), _agreement(criteria, scores, range(low, high + 1))),
        notes=(),
        tidy_header=HEADER,
        tidy_rows=tuple(_tidy(criteria, methods, items, scores, key, tested, best)),
    )
    if out is not None:
        write(made, out, FORMATS)
    return made


def by_item(scores: Scores, key: Mapping[str, tuple[int, str]]) -> dict[str, dict[int, float]]:
    """The mean score of each method's sample of each item, over the annotators who scored it."""
    found: dict[str, dict[int, float]] = {}
    for code, of in scores.items():
        item, method = key[code]
        found.setdefault(method, {})[item] = float(np.mean(list(of.values())))
    return found


def tests(items: ByItem, methods: Sequence[str], best: str, chosen: bool) -> dict[str, tuple[float, float]]:
    """Method -> p of its difference from ``best`` on the items that both have, as it is and adjusted.

    Adjusted for all pairs of methods where the scores have ``chosen`` which is best, else for those with it alone.
    """
    pairs = [pair for pair in combinations(methods, 2) if chosen or best in pair]
    found = []
    for pair in pairs:
        shared = sorted({*items[pair[0]]} & {*items[pair[1]]})
        found.append(wilcoxon(*(np.array([items[m][i] for i in shared]) for m in pair)) if shared else 1.0)
    of = dict(zip(map(frozenset, pairs), zip(found, holm(found), strict=True), strict=True))
    return {method: of[frozenset((method, best))] for method in methods if method != best}


def _interval(values: Floats) -> tuple[float, float] | None:
    (measured,) = Bootstrap().means(values[:, None])
    return measured.ci95


def _means(
    criteria: Sequence[str],
    methods: Sequence[str],
    items: Mapping[str, ByItem],
    tested: Tests,
    best: str,
) -> Table:
    columns: list[Column] = []
    by_column: list[list[Cell]] = []
    for name in criteria:
        values = {method: np.array(list(items[name][method].values())) for method in methods}
        emphasis = rank([float(values[method].mean()) for method in methods], "up", 2)
        cells = []
        for method, mark in zip(methods, emphasis, strict=True):
            ends = _interval(values[method])
            spread = number((ends[1] - ends[0]) / 2, 2) if ends else ""
            cells.append(
                Cell(number(float(values[method].mean()), 2), float(values[method].mean()), spread, emphasis=mark)
            )
        p = tested[name]
        columns += [Column(name, "mean", name, "up"), Column(f"{name}/p", "p", name)]
        by_column += [cells, [Cell(f"{p[m][1]:.3g}", p[m][1]) if m in p else Cell() for m in methods]]
    rows = [Row(method, tuple(column[i] for column in by_column)) for i, method in enumerate(methods)]
    caption = f"Best in bold, second underlined. p is against {best}, whose own row has none."
    return Table("humaneval", "Scores", caption, "Method", tuple(columns), (RowGroup("", tuple(rows)),))


def _agreement(criteria: Sequence[str], scores: Mapping[str, Scores], scale: Sequence[int]) -> Table:
    columns = (
        Column("fleiss", "Fleiss' κ"), Column("cohen", "Cohen's κ"), Column("weighted", "weighted κ"),
        Column("texts", "texts"), Column("scores", "scores"),
    )  # fmt: skip
    rows = []
    for name in criteria:
        kappas = (
            fleiss_kappa(scores[name], scale),
            mean_cohen_kappa(scores[name], scale),
            mean_cohen_kappa(scores[name], scale, weighted=True),
        )
        counts = (len(scores[name]), sum(map(len, scores[name].values())))
        shown = [Cell() if kappa is None else Cell(number(kappa, 2), kappa) for kappa in kappas]
        rows.append(Row(name, (*shown, *(Cell(str(n)) for n in counts))))
    caption = (
        "Cohen's κ is a mean over pairs of annotators, weighted by the texts that both scored; weighted κ counts a "
        "disagreement by the square of its distance. Fleiss' κ is of the texts with as many scores as any has."
    )
    return Table("agreement", "Agreement of annotators", caption, "Criterion", columns, (RowGroup("", tuple(rows)),))


def _tidy(
    criteria: Sequence[str],
    methods: Sequence[str],
    items: Mapping[str, ByItem],
    scores: Mapping[str, Scores],
    key: Mapping[str, tuple[int, str]],
    tested: Tests,
    best: str,
) -> Iterator[tuple[str, ...]]:
    for name in criteria:
        p = tested[name]
        for method in methods:
            values = np.array(list(items[name][method].values()))
            ends = _interval(values) or ("", "")
            n = sum(len(of) for code, of in scores[name].items() if key[code][1] == method)
            test = (*map(repr, p[method]), best) if method in p else ("", "", "")
            yield (name, method, repr(float(values.mean())), *map(str, ends), str(len(values)), str(n), *test)
