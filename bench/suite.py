"""A suite: one YAML naming datasets × methods × seeds × metrics × scale, read and resolved into cells and plans."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from bench import registry, strict_yaml
from bench.errors import BenchError, suggest
from bench.registry import MetricSource
from bench.report import catalogue
from bench.schema import (
    FITTED,
    FRESH,
    Backbone,
    Decoding,
    Generation,
    Likelihood,
    MethodSpec,
    Name,
    Selection,
    Suite,
    Training,
)
from bench.validation import validate

# Rows that score texts nobody generated: held-out human ones, and the sources of a conditional dataset taken as they
# are. Never trained, so their only seed is 0.
HUMAN, COPY = UNTRAINED = ("human", "copy")
RESERVED = ("data", "logs")  # folders that lie beside those named after methods and models


@dataclass(frozen=True, order=True)
class Cell:
    """One (dataset, method, seed) of a suite; its texts are drawn by a decoding of the suite, "" the dataset's own."""

    dataset: str
    method: str
    seed: int
    decoding: str = ""


def load(path: str | Path, methods: tuple[str, ...] = ()) -> Suite:
    """Read, validate and resolve a suite; ``methods`` are specs (see :class:`MethodSpec`) added from outside.

    Raises :class:`BenchError`, one line naming file, key, value and what is allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"suite {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BenchError(f"suite {path}: not valid YAML: {error}") from None
    return _resolved(text, str(path), methods)


@cache
def _resolved(text: str, path: str, methods: tuple[str, ...]) -> Suite:
    from bench import suite_checks  # which looks at cells and plans, as below

    raw = strict_yaml.parse(text, f"suite {path}")
    if not isinstance(raw, dict):
        raise BenchError(f"suite {path}: expected a mapping at the top, found {type(raw).__name__}")
    suite: Suite = validate(Suite, raw, f"suite {path}")
    added = _added(suite, methods)
    suite = suite.model_copy(update={"methods": {**suite.methods, **added}})
    suite_checks.check(suite, f"suite {path}")
    if added and suite.reports:
        if (first := _first_with_values(suite)) is None:
            raise BenchError(f"suite {path}: none of its reports shows values, which '{next(iter(added))}' could join")
        selection = suite.reports[first]
        rows = list(dict.fromkeys([*selection.methods, *added]))
        joined = {first: selection.model_copy(update={"methods": rows})}
        suite = suite.model_copy(update={"reports": {**suite.reports, **joined}})
    suite.read_from(path, methods)
    return suite


def _added(suite: Suite, methods: tuple[str, ...]) -> dict[str, MethodSpec]:
    """The methods given from outside, by name; one that the suite has too is as the suite has it."""
    added: dict[str, MethodSpec] = {}
    for spelling, use in {registry.spelling(use): use for use in methods}.items():
        name, _ = named_spec(use)
        validate(Name, name, f"method '{use}', its name '{name}'")
        own = suite.methods.get(name)
        if name in added or (own and spelling not in (name, registry.spelling(own.use))):
            taken = f"one of suite '{suite.name}'" if own else f"'{added[name].use}'"
            raise BenchError(f"method '{use}': its name '{name}' is that of {taken}: give it another in `variants`")
        added[name] = own or MethodSpec(use=use)
    return added


def _first_with_values(suite: Suite) -> str | None:
    """The report whose rows a method from outside joins, and whose cells stand beside a frozen release."""
    return next((name for name in suite.reports if catalogue.find(name).shows), None)


def named_spec(spec: str) -> tuple[str, str]:
    """``"file.py:Class"`` -> the method's name as the file gives it, and the spec; a plain name is its own."""
    return (registry.describe(spec).name, spec) if ":" in spec else (spec, spec)


def check_words(suite: Suite, dataset: str, decoding: Decoding) -> None:
    """A number of words can be had where tokens are words, the texts unconditional, and the limit is above it."""
    words, size = decoding.words, backbone_of(suite, dataset)
    if words is None:
        return
    if size.tokenizer != "words" or registry.dataset(dataset).conditional:
        raise BenchError(f"decoding of {words} words: {dataset} is no unconditional dataset with tokenizer: words")
    if words + 2 > size.max_tokens:
        raise BenchError(f"decoding of {words} words: max_tokens of {dataset} is {size.max_tokens}, with BOS and EOS")


def augmented_parts(suite: Suite) -> dict[str, tuple[int, float]]:
    """``"1000x0.5"`` -> how many texts of train a language model sees, and times how many generated ones."""
    plan = suite.augmentation
    return {f"{size}x{factor:g}": (size, factor) for size in plan.sizes for factor in plan.factors}


SOURCE_OF = {"likelihood": "likelihood", "generate": "texts"}  # stage -> what it makes for metrics


def trained_stages(suite: Suite, dataset: str, method: str, decoding: str = "") -> list[str]:
    """The stages of a trained cell that its record knows of: what its metrics are computed from, and training."""
    of = families_of(suite, dataset, method, decoding).values()
    return ["train", *(stage for stage, source in SOURCE_OF.items() if source in of)]


def select(suite: Suite, report: str) -> Selection:
    """The cells of one report; all of the suite's where it names no reports."""
    if not suite.reports:
        return Selection(datasets=list(suite.datasets), methods=list(suite.methods))
    return suite.reports[one_of(suite, "report", report, suite.reports)]


def one_of(suite: Suite, kind: str, name: str, known: Collection[str]) -> str:
    """The name, which has to be that of something the suite has."""
    if name not in known:
        raise BenchError(f"suite '{suite.name}' has no {kind} '{name}'{suggest(name, known)}")
    return name


def cells(suite: Suite, report: str | None = None) -> list[Cell]:
    """Every trained cell, or those of one report; datasets outermost, in the order of the YAML.

    A method that is the plain model of one backbone (``gpt2``, ``bart``) has no cell where the backbone is another.
    """
    wanted = set()
    for selection in [select(suite, report)] if report else suite.reports.values() or [select(suite, "")]:
        for dataset in selection.datasets:
            part = suite.datasets[dataset]
            methods = [method for method in selection.methods if _fits(suite, dataset, method)]
            for seed in next(s for s in (selection.seeds, part.seeds, suite.seeds) if s is not None):
                wanted |= {Cell(dataset, method, seed) for method in methods}
    datasets, methods = list(suite.datasets), list(suite.methods)
    return sorted(wanted, key=lambda cell: (datasets.index(cell.dataset), methods.index(cell.method), cell.seed))


def drawn(suite: Suite, report: str) -> list[Cell]:
    """The cells of one report under each decoding that it shows; rows without a model are drawn by none."""
    return [replace(cell, decoding=name) for name in _decodings(suite, report) for cell in cells(suite, report)]


def _decodings(suite: Suite, report: str) -> list[str]:
    named = select(suite, report).decodings
    return ["", *named] if catalogue.find(report).own or not named else named


def compared(suite: Suite, methods: Collection[str] = ()) -> list[Cell]:
    """The cells that stand beside a frozen release: of the first report of values, of these methods or of all.

    Their texts are those of the datasets' own decoding; no release has others.
    """
    return [cell for cell in cells(suite, _first_with_values(suite)) if not methods or cell.method in methods]


def _fits(suite: Suite, dataset: str, method: str) -> bool:
    kind = backbone_of(suite, dataset, method).kind
    return registry.describe(spec_of(suite, method).use).options.get("backbone", kind) == kind


def untrained(suite: Suite, report: str | None = None) -> list[Cell]:
    """The rows of human text and of copied sources that stand beside those cells where texts are shown."""
    if report and not catalogue.find(report).texts:
        return []
    samples = report is not None and "samples" in catalogue.find(report).reads
    datasets = dict.fromkeys(cell.dataset for cell in cells(suite, report))
    return [
        Cell(dataset, row, 0)
        for dataset in datasets
        for row in (UNTRAINED if registry.dataset(dataset).conditional else (HUMAN,))
        if samples or metrics_of(suite, dataset, row)
    ]


def metrics_of(suite: Suite, dataset: str, method: str, decoding: str = "") -> dict[str, MetricSource]:
    """The metrics that one cell has, by name: those that a report shows which the cell is in.

    Those of a pair (text, reference) need a conditional dataset; held-out human texts belong to other references.
    Under a named decoding a cell has metrics of texts alone: its likelihood is the same under all.
    """
    paired = registry.dataset(dataset).conditional and method != HUMAN
    shown = _shown(suite, dataset, method, decoding)
    sources = {name: registry.metric(name) for name in suite.metrics}
    return {
        name: source
        for name, source in sources.items()
        if ("texts" if source.from_texts else "likelihood") in shown and (paired or not source.paired)
    }


def _shown(suite: Suite, dataset: str, method: str, decoding: str) -> set[str]:
    """What reports show of one cell: values from its likelihood, from texts, or both."""
    if not suite.reports:
        shown = {"likelihood", "texts"}
    else:
        about = [(name, s) for name, s in suite.reports.items() if dataset in s.datasets]
        if method not in UNTRAINED:  # the others stand beside the rows of every report, and of every decoding
            about = [(name, s) for name, s in about if method in s.methods and decoding in _decodings(suite, name)]
        shown = {source for name, _ in about for source in catalogue.find(name).shows}
    return shown - {"likelihood"} if decoding or method in UNTRAINED else shown


def families_of(
    suite: Suite, dataset: str, method: str, decoding: str = ""
) -> dict[str, Literal["texts", "likelihood"]]:
    """The metric families that one cell has, and what they are computed from, in the order they are first named."""
    sources = metrics_of(suite, dataset, method, decoding).values()
    return {source.family: "texts" if source.from_texts else "likelihood" for source in sources}


def spec_of(suite: Suite, method: str) -> MethodSpec:
    """The spec of one method of the suite, its registered name filled in."""
    spec = suite.methods[method]
    return spec if spec.use else spec.model_copy(update={"use": method})


TRAINING = {"epochs", "batch_size", "learning_rate", "warmup_steps"}  # parts of the plan that a dataset may have


def training_of(suite: Suite, dataset: str, method: str = "") -> Training:
    """The training plan of one cell: the suite's, with what its dataset and its method have of their own.

    Likelihoods and samples take the suite's number of threads whatever the training of a method took; an augmentation
    takes its language model's.
    """
    own = suite.datasets[dataset].model_dump(include=TRAINING, exclude_none=True)
    if method:
        own |= suite.methods[method].model_dump(include={"learning_rate", "epochs", "threads"}, exclude_none=True)
    return suite.training.model_copy(update=own)


def likelihood_of(suite: Suite, dataset: str, method: str) -> Likelihood:
    """The likelihood plan of one cell, likewise."""
    examples = suite.methods[method].importance_examples or suite.datasets[dataset].importance_examples
    return suite.likelihood.model_copy(update={"importance_examples": examples}) if examples else suite.likelihood


def backbone_of(suite: Suite, dataset: str, method: str = "") -> Backbone:
    """The backbone of one cell: the suite's, with what its dataset and its method have different."""
    part = suite.datasets[dataset]
    changed = part.model_dump(include={"tokenizer", "vocabulary", "max_tokens", "max_source_tokens"}, exclude_none=True)
    changed |= part.backbone.model_dump(exclude_none=True)
    if method:
        changed |= suite.methods[method].backbone.model_dump(exclude_none=True)
    if not changed:
        return suite.backbone
    backbone: Backbone = validate(
        Backbone, {**suite.backbone.model_dump(), **changed}, f"backbone of {method or 'methods'} on {dataset}"
    )
    return backbone


def generation_of(suite: Suite, dataset: str, decoding: str = "") -> Generation:
    """The generation plan on one dataset: the suite's, by the decoding of that name or else the dataset's own."""
    chosen = suite.decodings[decoding] if decoding else suite.datasets[dataset].decoding
    return suite.generation.model_copy(update={"decoding": chosen}) if chosen else suite.generation


def pretrained_of(suite: Suite, dataset: str, method: str = "") -> list[str]:
    """The pretrained models that a dataset's tokenizer, and with a method a cell's weights, are of."""
    size = backbone_of(suite, dataset, method)
    weights = [size.weights] if method and size.weights != FRESH else []
    return sorted({*weights, *([size.tokenizer] if size.tokenizer not in FITTED else [])})
