"""Win, tie or loss: which quantities count, the tests of one pair of methods corrected together, and the tally.

One quantity counts for each question, so that no question has two votes: −ELBO, NLL and every paper's PPL are the same
likelihood again; CND, JS, Dist and BLEU of other orders ask again what BLEU-4, MAUVE and Self-BLEU-4 ask; of KL, MI
and AU neither direction is better. Of conditional texts, which have a reference each, ROUGE-L and BERTScore take the
places of BLEU-4 and MAUVE.

A verdict is a win or a loss where p < 0.05 after Holm's correction over its family: all counted quantities of one new
method and one frozen method, on all datasets. Whichever other methods a release holds, the verdicts against one are
the same, and the probability that chance alone made any of them a win or a loss is at most 0.05. Else it is a tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bench import registry
from bench.metrics.significance import holm
from bench.report.compare.pairs import Compared, Comparison
from bench.report.model import NOT_COMPARABLE, Cell, Column, Note, Row, RowGroup, Table

UNCONDITIONAL: Mapping[str, str] = {
    "ppl": "how well the model predicts held-out text. −ELBO and each paper's own PPL are the same likelihood and do "
    "not count again. A bound from above where there is a latent variable: a win over a plain language model is one, a "
    "loss may be the bound's",
    "bleu4": "whether what is generated consists of phrases that people write",
    "mauve": "whether generated texts as a whole are distributed as human ones are",
    "self_bleu4": "Self-BLEU-4, whether generated texts differ from each other; below human text's it is no merit",
}
CONDITIONAL: Mapping[str, str] = {
    "ppl": UNCONDITIONAL["ppl"],
    "rougeL": "how much of its reference's wording a text has",
    "bertscore_f1": "how much of its reference's meaning a text has",
    "self_bleu4": UNCONDITIONAL["self_bleu4"],
}
OUTCOMES: Mapping[str, str] = {"win": "wins", "tie": "ties", "loss": "losses"}
UNTESTED, EVERYWHERE = "untested", "all datasets"
TRAINED = "about these trained models: training again may turn"
K = TypeVar("K", bound=Hashable)


def counted(dataset: str) -> Mapping[str, str]:
    """The quantities that count on a dataset, and the question that each answers."""
    return CONDITIONAL if registry.dataset(dataset).conditional else UNCONDITIONAL


def decide(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With the corrected p of every test that counts; a family is one new method and one frozen one."""
    families: dict[tuple[str, str], list[tuple[int, str, float]]] = {}
    for i, comparison in enumerate(comparisons):
        for key in counted(comparison.pair.dataset):
            found = comparison.found.get(key)
            if found and found.difference and found.difference.p is not None:
                families.setdefault(_names(comparison), []).append((i, key, found.difference.p))
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
    namesakes = all(c.pair.new.name == c.pair.frozen.name for c in comparisons)
    groups: dict[str, list[Row]] = {}
    for where, here in {**_by(comparisons, _dataset), EVERYWHERE: comparisons}.items():
        for (new, old), met in _by(here, _names).items():
            against = "each against its frozen namesake" if namesakes else f"{new} against frozen"
            if where != EVERYWHERE or len(met) > 1:
                groups.setdefault(f"{where}: {against}", []).append(_row(old, met, keys))
    marked = any(cell.marks for rows in groups.values() for row in rows for cell in row.cells)
    return Table(
        name="verdicts",
        title="Wins, ties and losses",
        caption=(
            "Of the new method against each frozen one. A win or a loss: p < 0.05 of the two-sided test that "
            "Differences names, corrected (Holm) over all counted quantities of the two methods on all datasets; a "
            "tie: not so. untested: no interval on one side; n/c: not comparable; -: not measured."
        ),
        stub="Frozen method",
        columns=(*counts, *shown),
        groups=tuple(RowGroup(label, tuple(rows)) for label, rows in groups.items()),
        footnotes=(("a", f"{TRAINED} it"),) if marked else (),
        paragraphs=tuple(sentences(comparisons, columns)),
    )


def _dataset(comparison: Comparison) -> str:
    return comparison.pair.dataset


def _names(comparison: Comparison) -> tuple[str, str]:
    return comparison.pair.new.name, comparison.pair.frozen.name


def _asked(comparison: Comparison, key: str) -> bool:
    found = comparison.found.get(key)
    return key in counted(comparison.pair.dataset) and found is not None and bool(found.new or found.frozen)


def _row(label: str, met: Sequence[Comparison], keys: Sequence[str]) -> Row:
    """A frozen method's row: verdicts where the new one met it on one dataset, else their tallies."""
    tally = _tally(met)
    counts = [Cell(str(tally[outcome]), tally[outcome]) for outcome in OUTCOMES]
    if len(met) == 1:
        return Row(label, (*counts, *(_cell(met[0], key) for key in keys)))
    by_key = (_tally(met, [key]) for key in keys)
    return Row(label, (*counts, *(Cell(_three(of)) if of.total() else Cell() for of in by_key)))


def _cell(comparison: Comparison, key: str) -> Cell:
    found = comparison.found.get(key) if _asked(comparison, key) else None
    if found is None or found.new is None or found.frozen is None:
        return Cell()
    text = NOT_COMPARABLE if found.problem else found.verdict or UNTESTED
    models = found.verdict in ("win", "loss") and not _over_seeds(found)
    return Cell(text, emphasis="best" if text == "win" else "", marks=("a",) if models else ())


def _over_seeds(found: Compared) -> bool:
    return found.difference is not None and found.difference.how == "Welch"


def _three(tally: Mapping[str, int]) -> str:
    return "/".join(str(tally[outcome]) for outcome in OUTCOMES)


def _tally(comparisons: Iterable[Comparison], keys: Iterable[str] | None = None) -> Counter[str]:
    """How often each outcome; of these quantities or of all."""
    verdicts = (
        found.verdict for c in comparisons for key, found in c.found.items() if keys is None or key in keys
    )  # fmt: skip
    return Counter(verdict for verdict in verdicts if verdict)


def sentences(comparisons: Sequence[Comparison], columns: Mapping[str, Column]) -> list[str]:
    """What the table says: for each new method its tally on each dataset, and on all."""
    found = []
    for new, of in _by(comparisons, lambda c: c.pair.new.name).items():
        datasets = _by(of, _dataset)
        parts = [f"{_sentence(here)} on {dataset}{_detail(here, columns)}" for dataset, here in datasets.items()]
        if len(datasets) > 1:
            parts.append(f"{_three_words(of)} in all")
        decided = [c for one in of for c in one.found.values() if c.verdict in ("win", "loss")]
        over_seeds = sum(map(_over_seeds, decided))
        how = f" {over_seeds} of the {len(decided)} wins and losses are over seeds; the others are {TRAINED} them."
        found.append(f"{new} {'; it '.join(parts)}.{how if over_seeds < len(decided) else ''}")
    return found


def _sentence(met: Sequence[Comparison]) -> str:
    against = f"frozen {met[0].pair.frozen.name}" if len(met) == 1 else f"{len(met)} frozen methods"
    return f"{_three_words(met)} against {against}"


def _three_words(met: Sequence[Comparison]) -> str:
    wins, ties, losses = (_tally(met)[outcome] for outcome in OUTCOMES)
    return f"wins {wins}, ties {ties} and loses {losses}"


def _detail(met: Sequence[Comparison], columns: Mapping[str, Column]) -> str:
    """Wins, ties and losses by quantity, where there are several frozen methods."""
    by_key = {columns[key].label: _tally(met, [key]) for key in counted(met[0].pair.dataset) if key in columns}
    parts = [f"{label} {_three(tally)}" for label, tally in by_key.items() if tally.total()]
    return f" ({', '.join(parts)})" if parts and len(met) > 1 else ""


def _by(comparisons: Sequence[Comparison], key: Callable[[Comparison], K]) -> dict[K, list[Comparison]]:
    found: dict[K, list[Comparison]] = {}
    for comparison in comparisons:
        found.setdefault(key(comparison), []).append(comparison)
    return found


def notes(comparisons: Sequence[Comparison], columns: Mapping[str, Column]) -> tuple[Note, ...]:
    """Each quantity that counts, and why."""
    asked = dict(question for c in comparisons for question in counted(c.pair.dataset).items())
    return tuple(Note(columns[key].head, f"{text}.") for key, text in asked.items() if key in columns)
