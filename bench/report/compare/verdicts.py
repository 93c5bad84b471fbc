"""Win, tie or loss: which quantities count, the tests of one pair of methods corrected together, and the tally.

One quantity counts for each question, so that no question has two votes: −ELBO, NLL and every paper's PPL are the same
likelihood again; CND, JS, Dist and BLEU of other orders ask again what BLEU-4, MAUVE and Self-BLEU-4 ask; of KL, MI
and AU neither direction is better. Of conditional texts, which have a reference each, ROUGE-L and BERTScore take the
places of BLEU-4 and MAUVE.

A verdict is a win or a loss where p < 0.05 after Holm's correction over its family: all counted quantities of one new
method and one frozen method, on all datasets. Whichever other methods a release holds, the verdicts against one are
the same, and with probability 0.95 or more none of them is chance. Otherwise it is a tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench import registry
from bench.metrics.significance import holm
from bench.report.compare.pairs import Compared, Comparison
from bench.report.model import MISSING, NOT_COMPARABLE, Cell, Column, Note, Row, RowGroup, Table

UNCONDITIONAL: Mapping[str, str] = {
    "ppl": "how well the model predicts held-out text. −ELBO and each paper's own PPL are the same likelihood and do "
    "not count again. A bound from above where there is a latent variable: a win over a plain language model is one, a "
    "loss may be the bound's",
    "bleu4": "whether what is generated consists of phrases that people write",
    "mauve": "whether generated texts as a whole are distributed as human ones are",
    "self_bleu4": "whether generated texts differ from each other; below the human row it is no merit any more",
}
CONDITIONAL: Mapping[str, str] = {
    "ppl": UNCONDITIONAL["ppl"],
    "rougeL": "how much of its reference's wording a text has",
    "bertscore_f1": "how much of its reference's meaning a text has",
    "self_bleu4": UNCONDITIONAL["self_bleu4"],
}
OUTCOMES: Mapping[str, str] = {"win": "wins", "tie": "ties", "loss": "losses"}
UNTESTED = "untested"


def counted(dataset: str) -> Mapping[str, str]:
    """The quantities that count on a dataset, and the question that each answers."""
    return CONDITIONAL if registry.dataset(dataset).conditional else UNCONDITIONAL


def decide(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With the corrected p of every test that counts; a family is one new method and one frozen one."""
    families: dict[tuple[str, str], list[tuple[int, str, float]]] = {}
    for i, comparison in enumerate(comparisons):
        pair = comparison.pair
        for key in counted(pair.dataset):
            found = comparison.found.get(key)
            if found and found.difference and found.difference.p is not None:
                family = families.setdefault((pair.new.name, pair.frozen.name), [])
                family.append((i, key, found.difference.p))
    corrected: dict[tuple[int, str], float] = {}
    for family in families.values():
        corrected |= {(i, key): p for (i, key, _), p in zip(family, holm([p for *_, p in family]), strict=True)}
    return [
        replace(comparison, found={
            key: replace(found, p=corrected.get((i, key))) for key, found in comparison.found.items()
        })
        for i, comparison in enumerate(comparisons)
    ]  # fmt: skip


def summary(comparisons: Sequence[Comparison], columns: Mapping[str, Column]) -> Table:
    """The tally of each pair by dataset, then over all datasets; above it, each new method's in a sentence."""
    keys = [key for key in {**UNCONDITIONAL, **CONDITIONAL} if any(_asked(c, key) for c in comparisons)]
    counts = [Column(outcome, heading, "Counted") for outcome, heading in OUTCOMES.items()]
    shown = [Column(key, columns[key].label, "Verdict", columns[key].direction, align="left") for key in keys]
    runs: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        runs.setdefault((comparison.pair.dataset, comparison.pair.new.name), []).append(comparison)
    groups = [
        RowGroup(f"{dataset}: {new} against frozen", tuple(_row(of, keys) for of in run))
        for (dataset, new), run in runs.items()
    ]
    return Table(
        name="verdicts",
        title="Wins, ties and losses",
        caption=(
            "Of the new method against each frozen one. A win or a loss: p < 0.05 of the two-sided test that "
            "Differences names, corrected (Holm) over all counted quantities of the two methods on all datasets; a "
            "tie: not so. paired and combined tests are about these trained models, and training again may turn such "
            "a verdict; Welch's is over seeds. untested: no interval on one side; n/c: not comparable; -: not measured."
        ),
        stub="Frozen method",
        columns=(*counts, *shown),
        groups=(*groups, *_overall(comparisons, keys)),
        paragraphs=tuple(sentences(comparisons, columns)),
    )


def _asked(comparison: Comparison, key: str) -> bool:
    found = comparison.found.get(key)
    return key in counted(comparison.pair.dataset) and found is not None and bool(found.new or found.frozen)


def _row(comparison: Comparison, keys: Sequence[str]) -> Row:
    tally = _tally([comparison])
    found = [comparison.found[key] if _asked(comparison, key) else None for key in keys]
    return Row(comparison.pair.frozen.name, (*_counts(tally), *map(_cell, found)))


def _cell(found: Compared | None) -> Cell:
    if found is None or found.new is None or found.frozen is None:
        return Cell()
    text = NOT_COMPARABLE if found.problem else found.verdict or UNTESTED
    return Cell(text, emphasis="best" if text == "win" else "")


def _counts(tally: Mapping[str, int]) -> list[Cell]:
    return [Cell(str(tally[outcome]), tally[outcome]) for outcome in OUTCOMES]


def _overall(comparisons: Sequence[Comparison], keys: Sequence[str]) -> list[RowGroup]:
    """A group a new method, of the frozen methods it met on several datasets."""
    groups = []
    for new in dict.fromkeys(c.pair.new.name for c in comparisons):
        rows = []
        for old in dict.fromkeys(c.pair.frozen.name for c in comparisons if c.pair.new.name == new):
            met = [c for c in comparisons if (c.pair.new.name, c.pair.frozen.name) == (new, old)]
            if len(met) > 1:
                by_key = (_tally(met, [key]) for key in keys)
                cells = [Cell("/".join(str(of[o]) for o in OUTCOMES) if of.total() else MISSING) for of in by_key]
                rows.append(Row(f"{old}, {len(met)} datasets", (*_counts(_tally(met)), *cells)))
        if rows:
            groups.append(RowGroup(f"all datasets: {new} against frozen", tuple(rows)))
    return groups


def _tally(comparisons: Iterable[Comparison], keys: Iterable[str] | None = None) -> Counter[str]:
    """How often each outcome; of these quantities or of all."""
    verdicts = (
        found.verdict for c in comparisons for key, found in c.found.items() if keys is None or key in keys
    )  # fmt: skip
    return Counter(verdict for verdict in verdicts if verdict)


def sentences(comparisons: Sequence[Comparison], columns: Mapping[str, Column]) -> list[str]:
    """What the table says, a sentence for each new method and dataset, and one for all datasets."""
    found = []
    for new in dict.fromkeys(c.pair.new.name for c in comparisons):
        of = [c for c in comparisons if c.pair.new.name == new]
        datasets = list(dict.fromkeys(c.pair.dataset for c in of))
        for dataset in datasets:
            here = [c for c in of if c.pair.dataset == dataset]
            by_key = {columns[key].label: _tally(here, [key]) for key in counted(dataset) if key in columns}
            parts = [f"{label} {'/'.join(str(t[o]) for o in OUTCOMES)}" for label, t in by_key.items() if t.total()]
            detail = f" (wins/ties/losses: {', '.join(parts)})" if parts and len(here) > 1 else ""
            found.append(f"{_sentence(new, here)} on {dataset}{detail}.")
        if len(datasets) > 1:
            found.append(f"{_sentence(new, of)} on all {len(datasets)} datasets.")
    return found


def _sentence(new: str, comparisons: Sequence[Comparison]) -> str:
    methods = list(dict.fromkeys(c.pair.frozen.name for c in comparisons))
    against = f"frozen {methods[0]}" if len(methods) == 1 else f"{len(methods)} frozen methods"
    wins, ties, losses = (_tally(comparisons)[outcome] for outcome in OUTCOMES)
    return f"{new} wins {wins}, ties {ties} and loses {losses} against {against}"


def notes(comparisons: Sequence[Comparison], columns: Mapping[str, Column]) -> tuple[Note, ...]:
    """Each quantity that counts, and why."""
    asked = dict(question for c in comparisons for question in counted(c.pair.dataset).items())
    return tuple(Note(columns[key].head, f"{text}.") for key, text in asked.items() if key in columns)
