"""What must hold of printed numbers, whoever measured them: each rule reads results/published and nothing else.

Of every row that a rule can be applied to, it yields a :class:`Finding`, with the arithmetic, or None where the row is
as it must be. Printed numbers are rounded: half a unit of the last digit is never a finding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.report.papers.known import PAPERS
from bench.report.published import SETTINGS, Printed, Published

Verdict = Literal["cannot hold", "another quantity", "repeated", "contradicts", "possible"]
Entry = tuple[str, str, str, str]  # paper, table, dataset, method
Values = Mapping[str, Printed]  # metric -> printed

CLOSE = 0.005  # relative: a printed number that a formula meets this well is that formula's
TOKENS = 0.01  # relative: by this much two rows of a dataset may differ in tokens a text
READS_TEXT = ("cgd", "trace-")  # whose prior of z_t depends on the text before segment t
SEGMENTS = ("ind", "cgd", "trace-")  # whose texts have separators, which some count
SEQUENCE = (
    "vae-attn",
    "gavam",
    "davam-k",
)  # whose latent variable is one a step; all of DAVAM's KL is averaged over them
HUNDRED = ("bleu", "rouge1", "rouge2", "rougeL", "bertscore", "self_bleu", "dist")  # printed times 100
ONE = ("mauve", "js", "kappa", "p_value", "dist1", "dist2")


@dataclass(frozen=True)
class Finding:
    """One row that breaks a rule: what is printed, what it is held against, and what follows."""

    at: Entry
    printed: str
    arithmetic: str
    verdict: Verdict


@dataclass(frozen=True)
class Rule:
    """``find`` yields a finding or, where a row is as it must be, None."""

    name: str
    title: str
    why: str
    find: Callable[[Published], Iterator[Finding | None]]


def entries(published: Published) -> dict[Entry, dict[str, Printed]]:
    """The printed numbers by row of a table."""
    found: dict[Entry, dict[str, Printed]] = {}
    for row in published.rows:
        found.setdefault((row.paper, row.table, row.dataset, row.method), {})[row.metric] = row
    return found


def half_unit(printed: Printed) -> float:
    """Half a unit of the last digit as printed.

    >>> half_unit(Printed("", "", "", "", "", "10.78", ""))
    0.005
    """
    _, _, decimals = printed.text.partition(".")
    return 0.5 * 10.0 ** -len(decimals)


def test_texts(published: Published, paper: str, dataset: str) -> int | None:
    """How many texts a paper tests on, by its own table of datasets."""
    found = [row for row in published.rows if (row.dataset, row.method, row.metric) == (dataset, "data", "test")]
    own = [row for row in found if row.paper == paper]
    return int(own[0].value) if own else None


def mi_within_log_n(published: Published) -> Iterator[Finding | None]:
    for at, values in entries(published).items():
        n = test_texts(published, at[0], at[2])
        if "mi" not in values or n is None:
            continue
        mi, cap = values["mi"], math.log(n)
        broken = mi.value - half_unit(mi) > cap
        yield Finding(at, f"MI {mi.text}", f"log {n:,} = {cap:.2f}", "cannot hold") if broken else None


def mi_within_kl(published: Published) -> Iterator[Finding | None]:
    for at, values in entries(published).items():
        if not {"mi", "kl"} <= values.keys():
            continue
        mi, kl = values["mi"], values["kl"]
        slack = half_unit(mi) + half_unit(kl) + 1e-9
        if mi.value - kl.value <= slack:
            yield None
            continue
        reads = at[3].startswith(READS_TEXT)
        yield Finding(
            at, f"MI {mi.text}, KL {kl.text}", f"MI - KL = {mi.value - kl.value:.2f} > 0",
            "possible" if reads else "cannot hold",
        )  # fmt: skip


def tokens_a_text(published: Published) -> Iterator[Finding | None]:
    """ELBO / ln PPL is at least the number of tokens a text, and above it only by what importance weights win."""
    rows = {at: values for at, values in entries(published).items() if {"ppl", "nelbo", "kl"} <= values.keys()}
    implied = {at: values["nelbo"].value / math.log(values["ppl"].value) for at, values in rows.items()}
    for at, values in rows.items():
        same = [other for other in rows if (other[0], other[2]) == (at[0], at[2])]
        reference = min(same, key=lambda other: (other[3].startswith(SEGMENTS), rows[other]["kl"].value))
        tokens, nelbo, ppl, kl = implied[reference], *(values[key] for key in ("nelbo", "ppl", "kl"))
        nll = tokens * math.log(ppl.value)
        most = tokens * nelbo.value / max(nelbo.value - kl.value, 1e-9)  # where importance weights win back all the KL
        printed = f"-ELBO {nelbo.text}, PPL {ppl.text}"
        smallest = rows[reference]["kl"].text
        against = f"{tokens:.1f} tokens a text in {reference[3]}'s row (table {reference[1]}, KL {smallest})"
        if nll > nelbo.value * (1 + TOKENS):
            yield Finding(
                at, printed,
                f"{nelbo.text} / ln {ppl.text} = {implied[at]:.1f} tokens, {against}: there an NLL of {nll:.1f} > "
                f"{nelbo.text}",
                "contradicts",
            )  # fmt: skip
        elif implied[at] > most * (1 + TOKENS):
            yield Finding(
                at, f"{printed}, KL {kl.text}",
                f"{nelbo.text} / ln {ppl.text} = {implied[at]:.1f} tokens, {against}, at most {most:.1f} if importance "
                "weights won back the whole KL",
                "another quantity",
            )  # fmt: skip
        else:
            yield None


def averaged_kl(published: Published) -> Iterator[Finding | None]:
    """PPL = exp((Rec + KL) / n): n, the words and EOS of a text, is that of the row without KL."""
    rows = {at: values for at, values in entries(published).items() if {"ppl", "rec", "kl"} <= values.keys()}
    for at, values in rows.items():
        same = [other for other in rows if other[:3] == at[:3] and not other[3].startswith(SEQUENCE)]
        if not same:
            continue
        reference = min(same, key=lambda other: rows[other]["kl"].value)
        rec, ppl, kl = (values[key] for key in ("rec", "ppl", "kl"))
        n = rows[reference]["rec"].value / math.log(rows[reference]["ppl"].value)
        formula, without = math.exp((rec.value + kl.value) / n), math.exp(rec.value / n)
        printed = f"Rec {rec.text}, KL {kl.text}, PPL {ppl.text}"
        steps = n - 1  # EOS has no latent variable
        averaged = at[3].startswith(SEQUENCE) and kl.value > 0
        summed = f"summed over {steps:.1f} steps, exp(({rec.text} + {steps * kl.value:.1f}) / {n:.2f}) = "
        summed += f"{math.exp((rec.value + steps * kl.value) / n):.2f}"
        if averaged and abs(ppl.value / formula - 1) <= CLOSE:
            told = f"exp(({rec.text} + {kl.text}) / {n:.2f}) = {formula:.2f}, the mean KL of a step; {summed}"
            yield Finding(at, printed, told, "another quantity")
        elif kl.value > 0 and abs(ppl.value / without - 1) <= CLOSE < abs(formula / without - 1):
            told = f"exp({rec.text} / {n:.2f}) = {without:.2f}: the KL is left out; with it {formula:.2f}"
            yield Finding(at, printed, told, "another quantity")
        elif averaged or ppl.value > formula * (1 + CLOSE):
            told = f"exp(({rec.text} + {kl.text}) / {n:.2f}) = {formula:.2f}"
            told += f" and exp({rec.text} / {n:.2f}) = {without:.2f}: neither"
            yield Finding(at, printed, f"{told}; {summed}" if averaged else told, "another quantity")
        else:
            yield None


def normalised_kl(published: Published) -> Iterator[Finding | None]:
    """With mu = gamma x_hat, x_hat of mean square 1 over l dimensions, KL(q || N(0, I)) >= gamma^2 l / 2."""
    setting = {row.metric: row.value for row in published.rows if (row.paper, row.metric) in _OF_TRACE}
    if len(setting) < len(_OF_TRACE):
        return
    least = setting["gamma"] ** 2 * setting["latent"] / 2
    for at, values in entries(published).items():
        if at[0] != "trace" or not at[3].startswith("trace-") or at[3].endswith(("-ln", "+bn")) or "kl" not in values:
            continue
        kl = values["kl"]
        told = (
            f"{setting['gamma']:g}² × {setting['latent']:g} / 2 = {least:g} nats of z_1 alone, without a bias; a mean "
        )
        told += f"over dimensions would be {least / setting['latent']:g}"
        yield Finding(at, f"KL {kl.text}", told, "another quantity") if kl.value < least else None


_OF_TRACE = {("trace", "gamma"), ("trace", "latent")}


def in_range(published: Published) -> Iterator[Finding | None]:
    for row in published.rows:
        at = (row.paper, row.table, row.dataset, row.method)
        low, high = 0.0, math.inf
        if row.metric in (*HUNDRED, *ONE):
            high = 100.0 if row.metric in HUNDRED else 1.0
        elif row.metric == "ppl":
            low = 1.0
        elif row.metric not in ("kl", "mi", "nelbo", "rec"):
            continue
        broken = not low <= row.value <= high
        told = f"is in {low:g} to {high:g}"
        if row.metric == "js" and broken:
            told += "; if times 100, the other tables' 0.3 to 0.6 are below one percent"
        yield Finding(at, f"{row.metric} {row.text}", told, "cannot hold") if broken else None


def perplexity_of_samples(published: Published) -> Iterator[Finding | None]:
    """No text is easier for a language model than those it was fitted to: one finding a table."""
    fitted = [row for row in published.rows if (row.method, row.metric) == ("gpt2", "ppl")]
    tables: dict[tuple[str, str, str], list[Printed]] = {}
    for row in published.rows:
        if row.metric == "gpt2_ppl":
            tables.setdefault((row.paper, row.table, row.dataset), []).append(row)
    for (paper, table, dataset), rows in tables.items():
        best = min((row for row in fitted if row.dataset == dataset), key=lambda row: row.value, default=None)
        if best is None:
            continue
        low, high = min(rows, key=lambda row: row.value), max(rows, key=lambda row: row.value)
        if high.value >= best.value:
            yield None
            continue
        yield Finding(
            (paper, table, dataset, f"{len(rows)} rows"), f"PPL of GPT-2 {low.text} to {high.text}",
            f"all below {best.text}, the PPL of GPT-2 fitted to {dataset} ({best.paper}, table {best.table}); as "
            f"nats a token they are perplexities of {math.exp(low.value):.0f} to {math.exp(high.value):.0f}",
            "another quantity",
        )  # fmt: skip


def one_number_in_two_places(published: Published) -> Iterator[Finding | None]:
    """The same quantity of the same model, or the same split of the same data, stated twice."""
    stated: dict[tuple[str, ...], list[Printed]] = {}
    for row in published.rows:
        data = row.method == "data"
        if data and row.metric in ("length", "source_length"):
            continue  # of words or tokens, which papers count differently
        stated.setdefault(("" if data else row.paper, row.dataset, row.method, row.metric), []).append(row)
    for rows in stated.values():
        first = rows[0]
        for row in rows[1:]:
            unit = max(_coarse(row), _coarse(first))
            at = (row.paper, row.table, row.dataset, row.method)
            if abs(row.value - first.value) <= unit:
                yield None
                continue
            place = f"table {first.table}" if first.table.isdigit() else first.table
            where = place if first.paper == row.paper else f"{first.paper}, {place}"
            yield Finding(at, f"{row.metric} {row.text}", f"{first.text} in {where}", "contradicts")


def _coarse(printed: Printed) -> float:
    """Half a unit of the last digit, where trailing zeros of a whole number may be rounding: 42000 is 42k."""
    if "." in printed.text or not printed.text.endswith("000"):
        return half_unit(printed)
    zeros = len(printed.text) - len(printed.text.rstrip("0"))
    return 0.5 * 10.0 ** min(zeros, 3)


def repeated_rows(published: Published) -> Iterator[Finding | None]:
    """Two rows, of different data or in different papers, with three numbers in common."""
    rows = {at: values for at, values in entries(published).items() if at[3] != "data" and at[2] not in SETTINGS}
    for two, second in rows.items():
        yield next((found for one, first in rows.items() if (found := _repeats(one, first, two, second))), None)


def _repeats(one: Entry, first: Values, two: Entry, second: Values) -> Finding | None:
    """What row ``two`` has in common with a row of an earlier table or paper; of one run there may be many tables."""
    if (one[0], one[2:]) == (two[0], two[2:]) or _place(one) >= _place(two):
        return None
    shared = [metric for metric in first if metric in second and _digits(first[metric]) >= 2]
    equal = [metric for metric in shared if first[metric].text == second[metric].text]
    if len(equal) < 3 or sum(_digits(first[metric]) for metric in equal) < 8:
        return None
    rest = ", ".join(f"{m} {second[m].text} for {first[m].text}" for m in shared if m not in equal)
    told = f"as {one[3]} on {one[2]} in {one[0]}, table {one[1]}" + (f"; but {rest}" if rest else "")
    return Finding(two, ", ".join(f"{m} {first[m].text}" for m in equal), told, "repeated")


def _place(at: Entry) -> tuple[int, str, int, str]:
    """Papers in the order they appeared, others after them; tables in theirs, sections after them."""
    paper, table = at[:2]
    order = [*PAPERS, paper].index(paper)
    return order, paper, int(table) if table.isdigit() else 1000, table


def repeated_numbers(published: Published) -> Iterator[Finding | None]:
    """Three digits or more twice under one head of one table and dataset, or four of one metric on two datasets."""
    whole = {found.at for found in repeated_rows(published) if found}
    rows = [row for row in published.rows if row.method != "data" and "@" not in row.method and _digits(row) >= 3]
    for index, row in enumerate(rows):
        at = (row.paper, row.table, row.dataset, row.method)
        found = next((other for other in rows[:index] if _same_number(row, other)), None)
        if found is None or at in whole:
            yield None
        else:
            where = f"as in the row of {found.method}"
            where += "" if found.dataset == row.dataset else f" on {found.dataset}, table {found.table}"
            yield Finding(at, f"{row.metric} {row.text}", where, "repeated")


def _same_number(row: Printed, other: Printed) -> bool:
    if (row.paper, row.metric, row.text) != (other.paper, other.metric, other.text):
        return False
    neighbours = (row.table, row.dataset) == (other.table, other.dataset)
    return neighbours or (row.dataset != other.dataset and _digits(row) >= 4)


def _digits(printed: Printed) -> int:
    return len(printed.text.replace(".", "").lstrip("0"))


RULES = (
    Rule(
        "mi-log-n", "Mutual information above log N",
        "The estimate by the aggregated posterior of N texts, mean log q(z|x) - mean log (1/N) sum q(z|x'), is at most "
        "log N, whatever the model. N is the test set of the paper's own table.",
        mi_within_log_n,
    ),
    Rule(
        "mi-kl", "Mutual information above the KL",
        "Where the prior does not read the text, KL = MI + KL(q(z) || p(z)), so MI is at most the KL. A prior that "
        "reads the text before a segment (CGD, TRACE) can know of z what z tells of the text: there MI above KL is "
        "possible.",
        mi_within_kl,
    ),
    Rule(
        "tokens", "Importance-weighted NLL above the ELBO, or another number of tokens",
        "PPL = exp(NLL / T), and the NLL is at most -ELBO. So -ELBO / ln PPL is at least T, the tokens of a test "
        "text: one number for all rows of a dataset, and about that of the row whose KL is the smallest. A row with "
        "fewer tokens contradicts that one: what either has under one of its heads is something else.",
        tokens_a_text,
    ),
    Rule(
        "averaged-kl", "A KL that is averaged over steps, or left out",
        "The bound of a latent sequence has the sum of its KL. PPL is recomputed from Rec and KL as printed; n, the "
        "words and EOS of a text, is Rec / ln PPL of the row with the smallest KL. Rows of one Gaussian latent "
        "variable that are below the formula are as importance weights make them, and no finding.",
        averaged_kl,
    ),
    Rule(
        "normalised-kl", "A KL below what layer normalisation allows",
        "TRACE's posterior mean is gamma x_hat + b, x_hat normalised over the l dimensions. Without b the KL to "
        "N(0, I) of the first segment is at least gamma² l / 2; a bias learnt against it can lower that (see "
        "trace/theorem1).",
        normalised_kl,
    ),
    Rule(
        "sample-perplexity", "A perplexity that is none",
        "GPT-2 without fitting cannot find sampled texts easier than a GPT-2 fitted to the data finds real ones.",
        perplexity_of_samples,
    ),
    Rule("range", "Values out of range", "Fractions, percentages and distances have limits.", in_range),
    Rule(
        "two-places", "One number, stated twice, differently",
        "The same quantity of the same method and data, or the size of the same split of the same data; numbers "
        "that are printed in thousands may differ by half a thousand.",
        one_number_in_two_places,
    ),
    Rule(
        "repeated-rows", "Rows that repeat other rows",
        "Three equal numbers, of eight digits together, do not happen by chance. On other data it is a copying "
        "error; in another paper the same run, or one copied.",
        repeated_rows,
    ),
    Rule(
        "repeated-numbers", "Numbers that repeat their neighbours",
        "The same number of three digits under one head of one table and dataset, or of four digits on two datasets: a "
        "copying error, or chance.",
        repeated_numbers,
    ),
)  # fmt: skip
