"""The audit: what its rules find in the papers, in numbers made up to break them, and what claims come out as."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import suite as suites
from bench.report.audit.baseline import _cell, beside_lm, significant
from bench.report.audit.claims import CLAIMS, Claim, decided, held, paired, printed, survives
from bench.report.audit.rules import RULES, Finding, Rule
from bench.report.collect import Results, gather
from bench.report.model import Column
from bench.report.published import Printed, Published, load_published
from tests import fake_run
from tests.report_reading import cell, rows

BY_NAME = {rule.name: rule for rule in RULES}


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published()


def findings(rule: str, published: Published) -> list[Finding]:
    return [found for found in BY_NAME[rule].find(published) if found]


def made(*rows: tuple[str, str, str, str], paper: str = "della", table: str = "1") -> list[Printed]:
    """(dataset, method, metric, value) -> printed rows."""
    return [Printed(paper, table, *row, "") for row in rows]


@pytest.mark.parametrize(
    ("rule", "at", "verdict"),
    [
        # methods.md: "Table 8's PTB rows of Optimus and Embed repeat Yelp's; appendix text inverts Self-BLEU"
        ("repeated-rows", ("della", "8", "ptb", "optimus"), "repeated"),
        ("repeated-rows", ("della", "8", "ptb", "embed"), "repeated"),
        ("two-places", ("della", "A.3", "all", "all"), "contradicts"),
        # "MI > KL (19.57 vs 3.51)", which a prior that reads the text allows; above log N it is impossible
        ("mi-kl", ("trace", "2", "yelp", "trace-r"), "possible"),
        ("mi-log-n", ("trace", "2", "yelp", "trace-r"), "cannot hold"),
        # "gamma = 3 and l = 32 force KL(z_1) >= 144 nats"; "[SEP] tokens seem to be in PPL's denominator"
        ("normalised-kl", ("trace", "2", "yelp", "trace-r"), "another quantity"),
        ("tokens", ("trace", "2", "yelp", "trace-r"), "another quantity"),
        # "the paper prints exp((Rec + mean_t KL)/n)"; "the printed GPT-2 PPL of 4-9 must be nats a token"
        ("averaged-kl", ("davam", "2", "ptb", "davam-k512"), "another quantity"),
        ("averaged-kl", ("davam", "2", "snli", "davam-k128"), "another quantity"),
        ("sample-perplexity", ("davam", "4", "yahoo", "15 rows"), "another quantity"),
        # results/published/README.md
        ("tokens", ("della", "1", "yelp", "della"), "contradicts"),
        ("mi-kl", ("della", "8", "snli", "della"), "cannot hold"),
        ("mi-kl", ("trace", "2", "yahoo", "no-recurrence"), "cannot hold"),
        ("repeated-rows", ("della", "8", "snli", "memory"), "repeated"),
        ("repeated-rows", ("trace", "2", "yelp", "gpt2"), "repeated"),
        ("repeated-numbers", ("della", "2", "writingprompts", "embed"), "repeated"),
        ("repeated-numbers", ("davam", "4", "yahoo", "vae-attn"), "repeated"),
        ("range", ("trace", "3", "writingprompts", "cgd"), "cannot hold"),
        ("two-places", ("della", "7", "ptb", "data"), "contradicts"),
        ("two-places", ("della", "5.1", "cnn_dailymail", "data"), "contradicts"),
    ],
)  # fmt: skip
def test_known_inconsistencies_are_found(rule: str, at: tuple, verdict: str, published: Published) -> None:
    assert (at, verdict) in [(found.at, found.verdict) for found in findings(rule, published)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_says_each_finding_once(rule: Rule, published: Published) -> None:
    checked = list(rule.find(published))
    assert len(checked) > 1
    found = [finding for finding in checked if finding]
    assert len({(finding.at, finding.printed) for finding in found}) == len(found), "nothing is said twice"
    assert all(finding.printed and finding.arithmetic for finding in found)
    assert not list(rule.find(Published([])))


def test_half_a_unit_of_the_last_digit_is_no_finding() -> None:
    size = made(("yelp", "data", "test", "1000"))
    for mi, broken in (("6.91", False), ("6.92", True)):  # log 1000 = 6.9078
        found = findings("mi-log-n", Published([*size, *made(("yelp", "embed", "mi", mi))]))
        assert bool(found) == broken
    for kl, broken in (("0.99", False), ("0.98", True)):
        rows = made(("yelp", "embed", "mi", "1.00"), ("yelp", "embed", "kl", kl))
        assert bool(findings("mi-kl", Published(rows))) == broken


def test_tokens_are_those_of_the_row_with_the_smallest_kl() -> None:
    def row(method: str, tokens: float, nll: float, nelbo: float, kl: float) -> list[Printed]:
        values = {"ppl": math.exp(nll / tokens), "nelbo": nelbo, "kl": kl}
        return made(*(("yelp", method, key, f"{value:.4f}") for key, value in values.items()))

    honest = [*row("embed", 100, 300, 300, 0), *row("memory", 100, 290, 299, 12)]
    assert findings("tokens", Published(honest)) == []
    (short,) = findings("tokens", Published([*honest, *row("della", 90, 250, 255, 8)]))
    assert short.at[3] == "della" and short.verdict == "contradicts"
    (long,) = findings("tokens", Published([*honest, *row("della", 110, 290, 299, 12)]))
    assert long.at[3] == "della" and long.verdict == "another quantity"


def test_papers_to_come_are_audited_too() -> None:
    """Rows repeat those before them: of papers that appeared earlier, and of tables, 10 after 2."""
    row = [("yelp", "embed", key, value) for key, value in (("ppl", "12.34"), ("kl", "5.678"), ("mi", "4.321"))]
    again = [("yahoo", *rest) for _, *rest in row]
    for first, second in ((("della", "2"), ("della", "10")), (("trace", "2"), ("later", "1"))):
        rows = [*made(*row, paper=first[0], table=first[1]), *made(*again, paper=second[0], table=second[1])]
        for order in (rows, rows[::-1]):
            (found,) = findings("repeated-rows", Published(order))
            assert found.at[:2] == second


def test_a_bound_with_the_sum_of_its_kl_is_no_finding_and_one_with_the_mean_is() -> None:
    n, rec, kl = 21.0, 60.0, 3.0
    plain = [("ptb", "lstm-vae", "rec", "100.00"), ("ptb", "lstm-vae", "kl", "0.00")]
    plain.append(("ptb", "lstm-vae", "ppl", f"{math.exp(100 / n):.4f}"))

    def davam(ppl: float) -> list[Finding]:
        row = [("rec", rec), ("kl", kl), ("ppl", ppl)]
        rows = [("ptb", "davam-k512", key, f"{value:.4f}") for key, value in row]
        return findings("averaged-kl", Published(made(*plain, *rows, paper="davam", table="2")))

    (mean,) = davam(math.exp((rec + kl) / n))
    assert "the mean KL of a step" in mean.arithmetic and f"{math.exp((rec + 20 * kl) / n):.2f}" in mean.arithmetic
    (without,) = davam(math.exp(rec / n))
    assert "left out" in without.arithmetic
    (neither,) = davam(3 * math.exp(rec / n))
    assert "neither" in neither.arithmetic


def test_thousands_may_be_rounded_and_other_numbers_not() -> None:
    for size, broken in (("42068", False), ("42600", True)):
        rows = [*made(("ptb", "data", "train", "42000")), *made(("ptb", "data", "train", size), paper="davam")]
        assert bool(findings("two-places", Published(rows))) == broken


CLAIM = Claim("della", "1", "", "della", ("embed", "memory"), "ppl", "paper:della/ppl")


def test_a_claim_is_decided_on_paired_differences() -> None:
    noise = {1: 0.0, 2: 5.0, 3: -5.0}  # of a seed, common to all methods
    seeds = {
        method: {seed: mean + wobble * seed + of for seed, of in noise.items()}
        for method, mean, wobble in (("della", 50, 0.0), ("embed", 52, 0.01), ("memory", 60, 0.0))
    }
    outcome, told = decided(seeds, CLAIM)
    assert outcome == "holds" and "embed" in told and "3 seeds" in told
    assert decided(seeds, replace(CLAIM, up=True))[0] == "fails"
    assert decided({**seeds, "embed": {1: 49.0, 2: 58.0, 3: 48.0}}, CLAIM)[0] == "open"
    single = {method: {1: values[1]} for method, values in seeds.items()}
    assert decided(single, CLAIM)[0] == "one seed: holds"
    for of in ({7: 52.0, 8: 53.0}, {1: 52.0, 2: math.inf, 3: 54.0}):
        assert decided({"della": seeds["della"], "embed": of}, CLAIM)[0] == "open", "no seed in common; one diverged"
    worse = {**seeds, "memory": {1: math.nan, 2: math.nan}}
    for rivals in (("embed", "memory"), ("memory", "embed")):
        outcome, told = decided({m: worse[m] for m in ("della", *rivals)}, CLAIM)
        assert outcome == "holds" and told.endswith("memory diverged"), "whichever comes first"
    for values, why in (
        ({1: 51.0, 2: 58.0}, "behind embed by mean, and yet not certainly behind della"),
        ({1: 40.0, 2: math.nan, 3: 40.0}, "diverged in one seed, and ahead in the others"),
    ):
        for rivals in (("embed", "memory"), ("memory", "embed")):
            outcome, told = decided({**{m: seeds[m] for m in ("della", *rivals)}, "memory": values}, CLAIM)
            assert outcome == "open" and "embed" in told and "memory" in told, why
    assert paired({1: 3.0, 2: 5.0}, {2: 1.0, 9: 0.0}).mean == 4.0, "of the seeds that both have"


def test_what_only_the_papers_arithmetic_bears_out_is_said_so() -> None:
    assert survives("holds", "fails") == "no: only by the paper's arithmetic"
    assert survives("one seed: holds", "one seed: fails") == "no: only by the paper's arithmetic, one seed"
    assert (survives("holds", "holds"), survives("", "open"), survives("fails", "fails")) == ("yes", "open", "no")


def test_of_some_of_the_others_only_what_one_decides_is_said_without_saying_so() -> None:
    assert survives("", "one seed: holds", some=True) == "yes, against those here, one seed"
    assert survives("holds", "fails", some=True) == "no: only by the paper's arithmetic, against those here"
    assert (survives("", "open", some=True), survives("", "fails", some=True)) == ("open", "no")


LSTM = "{backbone: {kind: lstm, layers: 1}, importance_examples: 5}"
TWO_BACKBONES = fake_run.YAML.replace(
    "methods: [gpt2, embed, della, della@paper]",
    f"methods: {{gpt2: , embed: , della: , deep: {{use: embed, backbone: {{layers: 9}}}}, lstm-lm: {LSTM}, "
    f"lstm-vae: {LSTM}, davam-k512: {LSTM}}}",
)


@pytest.fixture
def two_backbones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of GPT-2s, of which 4 texts are importance-weighted, and of fewer LSTMs, of which 5 are."""
    monkeypatch.chdir(tmp_path)
    suite = fake_run.write_run(tmp_path, fake_run.write_suite(tmp_path, TWO_BACKBONES))
    for method in suite.methods:
        measured(method, 5 if "lstm" in method or "davam" in method else 4)
    return tmp_path


def measured(method: str, n: int) -> None:
    """PPL of a method on ``bbe``, a token and a word, of ``n`` importance-weighted texts."""

    def change(record: dict[str, Any]) -> None:
        ppl = 50.0 + 10 * (method != "davam-k512") + record["seed"] * len(method) / 10
        record["values"]["ppl"] = fake_run.value(ppl, f"ppl|per:token|N:{n}|v:1")
        record["values"]["ppl_word"] = fake_run.value(3 * ppl, f"ppl|per:word|N:{n}|v:1")

    fake_run.edit("bbe", method, change)


def read() -> Results:
    return gather(suites.load("tiny.yaml"), "table1")


def test_claims_are_judged_among_their_own_methods(two_backbones: Path, published: Published) -> None:
    """GPT-2's signatures are in the majority, and have nothing to say of DAVAM and its rivals."""
    table = held(read(), published)
    exactly, survived = (cell(table, "bbe", "davam: DAVAM (K = 512) models language best", key).text
                         for key in ("exact", "survives"))  # fmt: skip
    assert exactly.startswith("154.50, lstm-lm ") and "gpt2" not in exactly and table.footnotes == ()
    assert exactly.endswith("; not here: lstm-vae+anneal, lstm-vae+cyclic, lstm-vae+aggressive, lstm-vae+fbp, "
                            "lstm-vae+pretraining+fbp, gavam, davam-q")  # fmt: skip
    assert survived == "yes, against those here"
    assert cell(table, "bbe", "della: DELLA models language best", "exact").text.endswith(
        "; not here: optimus, memory, softmax"
    )


def test_what_a_claim_cannot_be_held_against_is_said(two_backbones: Path, published: Published) -> None:
    name = "davam: DAVAM (K = 512) models language best"
    measured("lstm-vae", 4)
    table = held(read(), published)
    exactly = cell(table, "bbe", name, "exact")
    assert "; n/c: lstm-vae; not here: " in exactly.text and exactly.marks == ("a",)
    assert table.footnotes == (("a", "not comparable: N is 4, not 5"),)
    measured("lstm-lm", 4)
    refused = held(read(), published)
    assert cell(refused, "bbe", name, "exact").text.startswith("n/c; not here: ")
    assert cell(refused, "bbe", name, "survives").text == "n/c"


def test_the_language_model_of_a_row_is_that_of_its_backbone(two_backbones: Path) -> None:
    table = beside_lm(read())
    assert table is not None and [group.label for group in table.groups[:2]] == [
        "bbe: minus gpt2",
        "bbe: minus lstm-lm",
    ]
    assert [row for group, row in rows(table) if group.startswith("bbe")] == [
        "embed",
        "della",
        "lstm-vae",
        "davam-k512",
    ]
    assert cell(table, "bbe: minus lstm-lm", "davam-k512", "ppl").value == pytest.approx(-10 + 0.45)
    assert "No language model of their backbone is here for deep on bbe, deep on sotu." in table.caption
    measured("davam-k512", 4)
    table = beside_lm(read())
    assert table is not None
    refused = cell(table, "bbe: minus lstm-lm", "davam-k512", "ppl")
    assert refused.text == "n/c" and dict(table.footnotes)[refused.marks[0]] == "not comparable: N is 4, not 5"
    assert cell(table, "bbe: minus lstm-lm", "lstm-vae", "ppl").value is not None


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text)
def test_every_claim_is_one_that_the_printed_numbers_make(claim: Claim, published: Published) -> None:
    """On every dataset of its table."""
    told = printed(published, claim)
    assert claim.method not in claim.rivals and "printed" not in told
    ahead = []
    for part in told.split("; "):
        words = part.split()
        ours, theirs = float(words[1].rstrip(",")), float(words[-1])
        ahead.append(ours > theirs if claim.up else ours < theirs)
    assert all(ahead), told


def test_differences_from_the_language_model_are_corrected_for_their_number() -> None:
    """p of one-sample t tests of the differences: 0.0207, 0.0331, 0.65; by Holm 0.0415 for two, 0.062 for three."""
    lm = dict(enumerate([50.0, 55.0, 45.0, 60.0, 51.0], 1))
    first = {seed: value - d for (seed, value), d in zip(lm.items(), (2.0, 1.0, 3.0, 0.4, 2.6), strict=True)}
    second = {seed: value + d for (seed, value), d in zip(lm.items(), (1.1, 0.1, 2.5, 1.5, 3.0), strict=True)}
    third = {seed: value + d for (seed, value), d in zip(lm.items(), (1.0, -2.0, 0.5, -0.5, 3.0), strict=True)}
    two = {("a", "ppl"): (first, lm), ("b", "ppl"): (second, lm)}
    assert significant(two) == {("a", "ppl"): False, ("b", "ppl"): True}
    assert significant({**two, ("c", "ppl"): (third, lm)}) == {}
    down, up = (Column("x", "x", direction=direction, digits=1) for direction in ("down", "up"))
    assert [_cell((first, lm), False, column).text for column in (down, up)] == [
        "-1.8 ± 1.3, better",
        "-1.8 ± 1.3, worse",
    ]
    assert [_cell((second, lm), True, column).text for column in (down, up)] == [
        "+1.6 ± 1.4, worse",
        "+1.6 ± 1.4, better",
    ]
    assert _cell((second, lm), None, down).text == "+1.6 ± 1.4" and _cell(None, None, down).text == "-"
    assert significant({("a", "ppl"): ({1: 3.0}, {1: 2.0})}) == {}, "one seed"
    assert significant({("a", "ppl"): ({1: 3.0, 2: 4.0}, {1: 2.0, 2: 3.0})}) == {}, "no spread"


def test_methods_stand_beside_the_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = gather(fake_run.write_run(tmp_path, fake_run.write_suite(tmp_path)), "table1")
    table = beside_lm(results)
    assert table is not None and table.groups[0].label == "bbe: minus gpt2"
    assert [row.label for row in table.groups[0].rows] == ["embed", "della", "della@paper"]
    (at,) = (i for i, column in enumerate(table.columns) if column.key == "ppl")
    values = {method: [r.values["ppl"].value for r in results.records["bbe", method]] for method in ("gpt2", "della")}
    first = table.groups[0].rows[1].cells[at]
    assert first.value == pytest.approx(np.mean(values["della"]) - np.mean(values["gpt2"])) and "±" in first.text
    alone = table.groups[-1].rows[0].cells[at]
    assert "±" not in alone.text and alone.value is not None, "one seed"
    only = replace(results, records={key: found for key, found in results.records.items() if key[1] != "gpt2"})
    assert beside_lm(only) is None
