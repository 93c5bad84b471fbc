"""What a latent variable brings: each method beside the plain language model of the same texts, by exact numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_1samp

from bench.metrics.significance import holm
from bench.report.audit.claims import by_seed, paired
from bench.report.collect import Results
from bench.report.layout import main_columns
from bench.report.model import Cell, Column, Row, RowGroup, Table, number, signed
from bench.suite import UNTRAINED

LMS = ("gpt2", "lstm-lm")
KEYS = ("ppl", "nelbo", "bleu4", "mauve", "self_bleu4", "dist2")
ALPHA = 0.05
CAPTION = (
    "A method's number minus the language model's of the same seed, with the 95 % t interval of the mean over seeds; "
    "exact numbers, never a paper's arithmetic. better, worse: so says the paired t test at 5 %, after Holm's "
    "correction for all numbers of the dataset here. Nothing is said where it does not, or of one seed. The −ELBO of a "
    "language model is its negative log-likelihood."
)

Values = Mapping[int, float]  # seed -> value
At = tuple[str, str]  # method, quantity


def beside_lm(results: Results) -> Table | None:
    """The table; None where no dataset has a plain language model and a method beside it."""
    columns = main_columns(set(KEYS) & set(results.keys()))
    groups = []
    for dataset in results.datasets:
        trained = [method for method in results.methods(dataset) if method not in UNTRAINED]
        lm = next((method for method in trained if method in LMS), None)
        others = [method for method in trained if method != lm]
        if lm is not None and others:
            pairs = _pairs(results, dataset, lm, others, columns)
            changed = significant(pairs)
            rows = (
                Row(method, tuple(_cell(pairs.get((method, c.key)), changed.get((method, c.key)), c) for c in columns))
                for method in others
            )
            groups.append(RowGroup(f"{dataset}: minus {lm}", tuple(rows)))
    if not groups:
        return None
    return Table("beside-lm", "Beside the plain language model", CAPTION, "Method", columns, tuple(groups))


def significant(pairs: Mapping[At, tuple[Values, Values]]) -> dict[At, bool]:
    """Which of the paired differences remain after Holm's correction for all of them; True where they are above 0."""
    tested = {}
    for at, (one, other) in pairs.items():
        differences = np.array([one[seed] - other[seed] for seed in {*one} & {*other}])
        if not np.isclose(differences, differences[:1], rtol=1e-9).all():  # else there is nothing to test
            tested[at] = ttest_1samp(differences, 0)
    corrected = holm([float(test.pvalue) for test in tested.values()])
    return {at: test.statistic > 0 for (at, test), p in zip(tested.items(), corrected, strict=True) if p < ALPHA}


def _pairs(
    results: Results, dataset: str, lm: str, others: Sequence[str], columns: Sequence[Column]
) -> dict[At, tuple[Values, Values]]:
    """The method's values and the language model's, where they may be compared."""
    found: dict[At, tuple[Values, Values]] = {}
    for column in columns:
        seeds = by_seed(results, dataset, column.key)
        if lm in seeds:
            found |= {(method, column.key): (seeds[method], seeds[lm]) for method in others if method in seeds}
    return found


def _cell(pair: tuple[Values, Values] | None, above: bool | None, column: Column) -> Cell:
    if pair is None:
        return Cell()
    difference = paired(*pair)
    text = signed(difference.mean * column.scale, column.digits)
    if difference.half_width is not None:
        text += f" ± {number(difference.half_width * column.scale, column.digits)}"
    if above is not None:
        text += ", better" if above == (column.direction == "up") else ", worse"
    return Cell(text, difference.mean)
