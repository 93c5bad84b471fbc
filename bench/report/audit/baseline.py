"""What a latent variable brings: each method beside the plain language model of its backbone, by exact numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import ttest_1samp

from bench import registry
from bench import suite as suites
from bench.metrics.significance import holm
from bench.report.audit.claims import Values, beside, paired
from bench.report.collect import Results
from bench.report.layout import main_columns
from bench.report.model import NOT_COMPARABLE as NC
from bench.report.model import Cell, Column, Footnotes, Row, RowGroup, Table, number, signed
from bench.suite import UNTRAINED

KEYS = ("ppl", "nelbo", "bleu4", "mauve", "self_bleu4", "dist2")
ALPHA = 0.05
CAPTION = (
    "A method's number minus that of the same seed of the language model on the same backbone, with the 95 % t "
    "interval of the mean over seeds; exact numbers, never a paper's arithmetic. better, worse: so says the paired t "
    "test at 5 %, after Holm's correction for all numbers of the dataset here. Nothing is said where it does not, or "
    "of one seed. The −ELBO of a language model is its negative log-likelihood. -: not measured; n/c: not comparable, "
    "see the footnote."
)

At = tuple[str, str]  # method, quantity


def beside_lm(results: Results) -> Table | None:
    """The table; None where no dataset has a plain language model and a method beside it."""
    of = {column.key: column for column in main_columns(set(KEYS) & set(results.keys()))}
    groups, alone, footnotes = [], [], Footnotes()
    for dataset in results.datasets:
        lm_of = plain_models(results, dataset)
        alone += [f"{method} on {dataset}" for method, lm in lm_of.items() if not lm]
        found = {(m, key): beside(results, dataset, key, lm, [m]) for m, lm in lm_of.items() if lm for key in of}
        refused = {
            at: Cell(NC, marks=(footnotes.mark(f"not comparable: {why}"),))
            for at, measured in found.items()
            for why in measured.refused.values()
        }
        pairs = {at: (m.values[at[0]], m.values[lm_of[at[0]]]) for at, m in found.items() if len(m.values) == 2}
        changed = significant(pairs)
        cells = {at: refused.get(at) or _cell(pairs.get(at), changed.get(at), of[at[1]]) for at in found}
        for lm in dict.fromkeys(filter(None, lm_of.values())):
            methods = [method for method in lm_of if lm_of[method] == lm]
            rows = tuple(Row(method, tuple(cells[method, key] for key in of)) for method in methods)
            groups.append(RowGroup(f"{dataset}: minus {lm}", rows))
    if not groups:
        return None
    without = f" No language model of their backbone is here for {', '.join(alone)}." if alone else ""
    return Table(
        "beside-lm", "Beside the plain language model", CAPTION + without, "Method", tuple(of.values()), tuple(groups),
        footnotes=footnotes.listed(),
    )  # fmt: skip


def plain_models(results: Results, dataset: str) -> dict[str, str]:
    """Method -> the plain language model of the very backbone that it has; "" where there is none of it here."""
    suite = results.suite
    trained = [method for method in results.methods(dataset) if method not in UNTRAINED]
    backbones = {method: suites.backbone_of(suite, dataset, method) for method in trained}
    # the option by which a plain model is named after its backbone
    lms = [m for m in trained if "backbone" in registry.describe(suites.spec_of(suite, m).use).options]
    return {
        method: next((lm for lm in lms if backbones[lm] == backbones[method]), "")
        for method in trained
        if method not in lms
    }


def significant(pairs: Mapping[At, tuple[Values, Values]]) -> dict[At, bool]:
    """Which of the paired differences remain after Holm's correction for all of them; True where they are above 0."""
    tested = {}
    for at, (one, other) in pairs.items():
        differences = np.array([one[seed] - other[seed] for seed in {*one} & {*other}])
        if not np.isclose(differences, differences[:1], rtol=1e-9).all():  # else there is nothing to test
            tested[at] = ttest_1samp(differences, 0)
    corrected = holm([float(test.pvalue) for test in tested.values()])
    return {at: test.statistic > 0 for (at, test), p in zip(tested.items(), corrected, strict=True) if p < ALPHA}


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
