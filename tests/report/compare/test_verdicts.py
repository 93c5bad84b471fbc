"""What counts, the correction over its family, and the tally."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.freeze import Release
from bench.metrics.seeds import Estimate
from bench.metrics.significance import holm
from bench.report.collect import Measured, quantity
from bench.report.compare.difference import Difference, Side
from bench.report.compare.pairs import Compared, Comparison, Method, Pair
from bench.report.compare.verdicts import counted, decide, notes, sentences, summary
from bench.report.layout import shown_columns

COLUMNS = {c.key: c for c in shown_columns({"ppl", "nelbo", "bleu4", "mauve", "self_bleu4", "rougeL", "bertscore_f1"})}
NONE = Release("r1", {}, {})
SIDE = Side(Measured(Estimate(1.0, None, 1), None, 5, "s", "d"), [1.0], [{}])


def comparison(
    dataset: str, old: str, found: Mapping[str, tuple[float, float | None]], new: str = "mine"
) -> Comparison:
    """Of differences and their p, by quantity."""
    compared = {
        key: Compared(key, SIDE, SIDE, Difference(value, None, p, "paired" if p is not None else ""), "")
        for key, (value, p) in found.items()
    }
    return Comparison(Pair(dataset, Method(new, (), ()), Method(old, (), ()), NONE), compared)


def verdicts(comparisons: list[Comparison]) -> list[list[str]]:
    return [[found.verdict for found in c.found.values()] for c in decide(comparisons)]


def test_the_direction_of_a_quantity_decides() -> None:
    better = {"ppl": (-1.0, 0.001), "bleu4": (1.0, 0.001), "self_bleu4": (-1.0, 0.001)}
    worse = {key: (-value, p) for key, (value, p) in better.items()}
    alike = {key: (value, 0.2) for key, (value, _) in better.items()}
    made = [comparison("bbe", old, of) for old, of in (("a", better), ("b", worse), ("c", alike))]
    assert verdicts(made) == [["win"] * 3, ["loss"] * 3, ["tie"] * 3]


def test_no_question_has_two_votes() -> None:
    """-ELBO is the same likelihood as PPL: it gets no verdict, and no share of the correction."""
    found = {"ppl": (-1.0, 0.04), "nelbo": (-1.0, 0.04), "kl": (1.0, 0.001), "dist2": (9.0, 0.001)}
    assert verdicts([comparison("bbe", "della", found)]) == [["win", "", "", ""]]
    assert all(quantity(key).direction != "none" for dataset in ("bbe", "kjv2bbe") for key in counted(dataset))


def test_texts_with_references_are_judged_by_them() -> None:
    found = {"bleu4": (1.0, 0.001), "rougeL": (1.0, 0.001), "bertscore_f1": (1.0, 0.001)}
    assert verdicts([comparison("kjv2bbe", "della", found)]) == [["", "win", "win"]]
    assert verdicts([comparison("bbe", "della", found)]) == [["win", "", ""]]


def test_a_family_is_one_pair_of_methods_on_all_datasets() -> None:
    """0.03 stands alone, and not beside another test of the same two methods on another dataset."""
    alone = comparison("bbe", "della", {"ppl": (-1.0, 0.03)})
    beside = comparison("sotu", "della", {"ppl": (-1.0, 0.5)})
    other = comparison("sotu", "embed", {"ppl": (-1.0, 0.5)})
    assert verdicts([alone, other])[0] == ["win"]
    assert verdicts([alone, beside])[0] == ["tie"]
    assert verdicts([alone, comparison("sotu", "della", {"ppl": (-1.0, 0.5)}, new="yours")])[0] == ["win"]


keys = st.sampled_from(["ppl", "bleu4", "mauve", "self_bleu4"])
tests = st.dictionaries(keys, st.tuples(st.floats(-1, 1).filter(bool), st.none() | st.floats(0, 1)))


@given(st.lists(tests, min_size=1, max_size=3))
def test_the_tally_counts_every_test_once(found: list[dict[str, tuple[float, float | None]]]) -> None:
    made = [comparison(dataset, "della", of) for dataset, of in zip(("bbe", "sotu", "ptb"), found, strict=False)]
    p = [p for of in found for _, p in of.values() if p is not None]
    significant = sum(corrected < 0.05 for corrected in holm(p))
    decided = [verdict for row in verdicts(made) for verdict in row if verdict]
    assert len(decided) == len(p) and len(p) - decided.count("tie") == significant
    table = summary(decide(made), COLUMNS)
    counted_here = [cell.value for group in table.groups for row in group.rows for cell in row.cells[:3]]
    assert sum(counted_here) == len(p) * (2 if len(found) > 1 else 1), "by dataset, and over all"


def test_the_table_and_its_sentence() -> None:
    made = decide([
        comparison("bbe", "della", {"ppl": (-1.0, 0.001), "bleu4": (1.0, 0.5), "mauve": (0.1, None)}),
        comparison("bbe", "embed", {"ppl": (-1.0, 0.001)}),
        comparison("sotu", "della", {"ppl": (1.0, 0.001)}),
    ])  # fmt: skip
    table = summary(made, COLUMNS)
    assert [column.key for column in table.columns] == ["win", "tie", "loss", "ppl", "bleu4", "mauve"]
    shown = {
        (group.label, row.label): [cell.text for cell in row.cells] for group in table.groups for row in group.rows
    }
    assert shown == {
        ("bbe: mine against frozen", "della"): ["1", "1", "0", "win", "tie", "untested"],
        ("bbe: mine against frozen", "embed"): ["1", "0", "0", "win", "-", "-"],
        ("sotu: mine against frozen", "della"): ["0", "0", "1", "loss", "-", "-"],
        ("all datasets: mine against frozen", "della"): ["1", "1", "1", "1/0/1", "0/1/0", "-"],
    }
    assert table.paragraphs == (
        "mine wins 2, ties 1 and loses 0 against 2 frozen methods on bbe (PPL (IW) 2/0/0, BLEU-4 0/1/0); "
        "it wins 0, ties 0 and loses 1 against frozen della on sotu; it wins 2, ties 1 and loses 1 in all. "
        "0 of the 3 wins and losses are over seeds; the others are about these trained models: training again may "
        "turn them.",
    )
    assert [note.term for note in notes(made, COLUMNS)] == ["PPL (IW)\xa0↓", "BLEU-4\xa0↑", "MAUVE\xa0↑", "SB-4\xa0↓"]


@pytest.mark.parametrize(("how", "marks"), [("paired", ("a",)), ("combined", ("a",)), ("Welch", ())])
def test_verdicts_about_trained_models_are_marked(how: str, marks: tuple[str, ...]) -> None:
    made = Compared("ppl", SIDE, SIDE, Difference(-1.0, None, 0.001, how), "")
    pair = Pair("bbe", Method("mine", (), ()), Method("della", (), ()), NONE)
    (decided,) = decide([Comparison(pair, {"ppl": made})])
    table = summary([decided], COLUMNS)
    assert table.groups[0].rows[0].cells[-1].marks == tuple(mark for mark, _ in table.footnotes) == marks
    assert ("training again" in sentences([decided], COLUMNS)[0]) == bool(marks)


def test_what_is_not_comparable_is_no_tie() -> None:
    pair = Pair("bbe", Method("mine", (), ()), Method("della", (), ()), NONE)
    (decided,) = decide([Comparison(pair, {"ppl": Compared("ppl", SIDE, SIDE, None, "the data differ")})])
    assert [cell.text for cell in summary([decided], COLUMNS).groups[0].rows[0].cells] == ["0", "0", "0", "n/c"]
