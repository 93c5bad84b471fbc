"""``python -m bench score``: text metrics of any two files, one text a line, with what each number may be read against.

Beside each value stands, where it can be had, the same metric of **human** text against the same references
(``--human``: held-out texts; without them MAUVE alone gets a ceiling, one half of the references against the other),
and of a **baseline** (``--baseline``: another system's texts) with the difference, its interval and its p-value.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import __version__, registry
from bench.cpus import cpus
from bench.errors import BenchError, suggest
from bench.files import lines_of, read_bytes
from bench.metrics import api, signatures
from bench.metrics.api import Comparison
from bench.metrics.base import NotInstalled, Quantity, TextInputs, Undefined, Value
from bench.progress import progress
from bench.samples import half_a_character, texts_of

ALL = "all"
WIDTH = 160  # of the table at least: a narrow terminal wraps its lines, so that no number is cut


@dataclass(frozen=True)
class Request:
    """What is to be scored, as given on the command line."""

    generated: Path
    references: Path | None = None
    sources: Path | None = None
    human: Path | None = None
    baseline: Path | None = None
    metrics: Sequence[str] = ()  # names; none: the n-gram metrics; "all": every one that the files allow
    options: Sequence[str] = ()  # "metric.option=value"
    resamples: int | None = None
    seed: int | None = None
    threads: int | None = None  # none: as many as there are CPUs
    cache: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The text files there are, by their role."""
        roles = ("generated", "references", "sources", "human", "baseline")
        return {role: path for role in roles if (path := getattr(self, role)) is not None}


@dataclass(frozen=True)
class TextFile:
    """The texts of one file, and the hash of the very bytes they were read from."""

    path: Path
    sha256: str
    texts: list[str]


@dataclass
class Scores:
    """Values by quantity key: of the generated texts, of human text, and against the baseline; and what had none."""

    files: Mapping[str, TextFile]
    values: dict[str, Value] = field(default_factory=dict)
    human: dict[str, Value] = field(default_factory=dict)
    compared: dict[str, Comparison] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)  # reasons


def score(request: Request) -> Scores:
    """Read, check and score; a metric that was asked for by name and cannot be had is a :class:`BenchError`."""
    files = {role: read_texts(path, role) for role, path in request.files.items()}
    scores = Scores(files)
    asked, chosen = _chosen(request, files)
    options = _options(request, chosen)
    texts = {role: file.texts for role, file in files.items()}
    references, sources = texts.get("references", []), texts.get("sources")
    ours = TextInputs(texts["generated"], references, sources, request.cache)
    baseline = TextInputs(texts.get("baseline", []), references, sources, request.cache)
    human = TextInputs(texts.get("human", [])[: len(ours.generated)], references, None, request.cache)
    halves = _halves(references)
    for name in progress(chosen, len(chosen), "metrics"):
        compute = partial(_compute, scores, name, options[name])
        if values := compute(ours, "", asked):
            scores.values |= values
            if "human" in texts:
                scores.human |= compute(human, "human: ", ())
            elif name == "mauve" and halves:
                scores.human |= compute(halves, "human: ", ())
            if "baseline" in texts and (theirs := compute(baseline, "baseline: ", asked)):
                scores.compared |= api.compared(name, values, theirs, options[name])
    return scores


def _compute(
    scores: Scores, name: str, options: Mapping[str, Any], inputs: TextInputs, whose: str, asked: Collection[str]
) -> dict[str, Value]:
    """One metric; where it has no value, nothing and the reason, or an error where it was asked for."""
    try:
        if whose == "human: " and registry.metric(name).needs in api.PAIRED:
            raise Undefined(f"{name}: pairs texts, and human texts have no reference of their own here")
        return api.compute(name, inputs, options)
    except (Undefined, NotInstalled) as reason:
        if name in asked:
            raise BenchError(f"{whose}{reason}") from None
        scores.left_out.append(f"{whose}{reason}")
        return {}


def read_texts(path: Path, role: str) -> TextFile:
    """One text a line, UTF-8, blank lines being empty texts; or a ``.jsonl`` of samples; either plain or ``.gz``."""
    data = read_bytes(path, role)
    lines = lines_of(data, path, role)
    texts = texts_of(lines, path) if path.name.lower().removesuffix(".gz").endswith(".jsonl") else lines
    if not texts:
        raise BenchError(f"{role} {path}: no text")
    for number, text in enumerate(texts, start=1):
        if half_a_character(text):  # JSON can spell one, and no model's tokeniser takes it
            raise BenchError(f"{role} {path}: line {number} holds half of a surrogate pair, which is no character")
    return TextFile(path, hashlib.sha256(data).hexdigest(), texts)


def _halves(references: Sequence[str]) -> TextInputs | None:
    """One random half of the references against the other."""
    if len(references) < 2:
        return None
    shuffled = np.random.default_rng(0).permutation(len(references))
    first, second = ([references[i] for i in half] for half in np.array_split(shuffled, 2))
    return TextInputs(first, second)


def _chosen(request: Request, files: Collection[str]) -> tuple[list[str], list[str]]:
    """The metrics asked for by name, and those to compute, in order."""
    asked = [name for name in dict.fromkeys(request.metrics) if name != ALL]
    for name in asked:
        api.text_metric(name)
    if ALL in request.metrics:
        every = [name for name, source in registry.metrics().items() if source.from_texts]
    else:
        every = [] if asked else api.ngram_metrics("references" in files)
    return asked, list(dict.fromkeys([*asked, *every]))


def _options(request: Request, chosen: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """``--resamples``, ``--seed``, ``--threads`` for the metrics that know them; ``--option`` for the one it names."""
    given: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for name in chosen:
        defaults = registry.load_metric(name).defaults
        if "resamples" in defaults:
            common = {"resamples": request.resamples, "seed": request.seed}
            given[name] |= {key: value for key, value in common.items() if value is not None}
        if "threads" in defaults:
            given[name]["threads"] = cpus() if request.threads is None else request.threads
    for option in request.options:
        where, equals, value = option.partition("=")
        name, dot, key = where.partition(".")
        if not (equals and dot and key):
            raise BenchError(f"--option '{option}': expected metric.option=value, e.g. mauve.seed=1")
        if name not in given:
            raise BenchError(f"--option '{option}': the metric '{name}' is not computed{suggest(name, given)}")
        from bench import strict_yaml  # needs a package that nothing else here does

        given[name][key] = strict_yaml.parse(value, f"--option '{option}'")
    return dict(given)


def as_json(scores: Scores) -> dict[str, Any]:
    """Everything, for other programs: inputs with their hashes; value, ci95, n and signature of each metric."""
    quantities = _quantities(scores)
    return {
        "bench": __version__,
        "inputs": {
            role: {
                "file": os.fsencode(file.path).decode(errors="replace"),
                "sha256": file.sha256,
                "texts": len(file.texts),
            }
            for role, file in scores.files.items()
        },
        "left_out": scores.left_out,
        "values": {
            key: {
                **value.as_dict(),
                "label": quantities[key].label,
                "unit": quantities[key].unit,
                "better": quantities[key].direction,
                **({"human": scores.human[key].as_dict()} if key in scores.human else {}),
                **({"baseline": scores.compared[key].as_dict()} if key in scores.compared else {}),
            }
            for key, value in scores.values.items()
        },
    }


def _quantities(scores: Scores) -> dict[str, Quantity]:
    every = (q for name, s in registry.metrics().items() if s.from_texts for q in registry.load_metric(name).quantities)
    return {quantity.key: quantity for quantity in every if quantity.key in scores.values}


def report(scores: Scores, details: bool = False) -> None:
    """Print the table, what it is to be read by, and the signatures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = ["", "value", "95 % interval", "n"]
    heads += ["human"] if scores.human else []
    heads += ["baseline", "difference", "95 % interval", "p"] if scores.compared else []
    for head in heads:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    quantities = _quantities(scores)
    for key, value in scores.values.items():
        quantity = quantities[key]
        if quantity.detail and not details:
            continue
        arrow = {"up": " ↑", "down": " ↓", "none": ""}[quantity.direction]
        row = [quantity.label + arrow, number(value.value, quantity), interval(value.ci95, quantity), f"{value.n:,}"]
        if scores.human:
            row.append(number(scores.human[key].value, quantity) if key in scores.human else "-")
        if scores.compared:
            row += _compared(scores.compared.get(key), quantity)
        table.add_row(*map(Text, row))
    console.print(table)
    for line in _notes(scores):
        console.print(Text(line))


def number(value: float, quantity: Quantity) -> str:
    """Percentages of at least one with two decimals, everything else with four digits, small percentages with two."""
    if quantity.unit != "percent":
        return f"{value:.4g}"
    return f"{value:.2f}" if abs(value) >= 1 or not value else f"{value:.2g}"


def interval(ends: tuple[float, float] | None, quantity: Quantity) -> str:
    """``[1.20, 3.40]``, or "-"."""
    return f"[{number(ends[0], quantity)}, {number(ends[1], quantity)}]" if ends else "-"


def _compared(found: Comparison | None, quantity: Quantity) -> list[str]:
    if found is None:
        return ["-"] * 4
    difference = number(found.difference, quantity)
    return [
        number(found.baseline, quantity),
        difference if difference.startswith("-") else f"+{difference}",
        interval(found.ci95, quantity),
        f"{found.p:.3f}" if found.p is not None else "-",
    ]


def _notes(scores: Scores) -> list[str]:
    """What a reader needs to read the table by."""
    lines = [f"{role}: {_sizes(file.texts)}" for role, file in scores.files.items()]
    made = dict.fromkeys(value.interval for value in scores.values.values() if value.ci95)
    lines += [f"95 % intervals over examples: {'; '.join(made)}"] if made else []
    without = {key: v.interval.removeprefix("none: ") for key, v in scores.values.items() if "none: " in v.interval}
    lines += [f"no interval of {keys_and_why}" for keys_and_why in _grouped(without)]
    if scores.human:
        lines.append(_human_note(scores))
    if scores.compared:
        tests = dict.fromkeys(found.test for found in scores.compared.values())
        lines.append(f"difference: generated minus baseline; {'; '.join(tests)}")
    for whose, noted in (("", scores.values), ("human: ", scores.human), ("baseline: ", scores.compared)):
        lines += [whose + line for line in _grouped({key: of.note for key, of in noted.items() if of.note})]
    lines += [f"left out: {reason}" for reason in scores.left_out]
    return ["", *lines, "", "signatures", *(f"  {line}" for line in _signatures(scores))]


def _grouped(texts: Mapping[str, str]) -> list[str]:
    """``"a, b: text"``: keys that have one text in one line."""
    return [
        f"{', '.join(key for key in texts if texts[key] == text)}: {text}" for text in dict.fromkeys(texts.values())
    ]


def _sizes(texts: Sequence[str]) -> str:
    empty = sum(not text.strip() for text in texts)
    return f"{len(texts):,} text{'s' * (len(texts) != 1)}" + (f", {empty:,} of them empty" if empty else "")


def _human_note(scores: Scores) -> str:
    if "human" not in scores.files:
        return (
            "human: no --human file, so MAUVE of one half of the references against the other: a ceiling at half the N"
        )
    n, held_out = len(scores.files["generated"].texts), len(scores.files["human"].texts)
    if held_out < n:
        return f"human: all {held_out:,} held-out texts: fewer than generated ones, which matters where N does"
    return f"human: the first {n:,} held-out texts against the same references"


def _signatures(scores: Scores) -> list[str]:
    """One line a metric; parts in which its quantities differ show every value."""
    by_name: dict[str, list[str]] = {}
    for value in scores.values.values():
        by_name.setdefault(value.signature.partition("|")[0], []).append(value.signature)
    return [signatures.merged(list(dict.fromkeys(signed))) for signed in by_name.values()]
