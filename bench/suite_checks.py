"""What a suite names has to exist and to go together: told once, in one line, before anything runs."""

from __future__ import annotations

from bench import pretrained, registry
from bench.errors import BenchError, suggest
from bench.report import catalogue
from bench.schema import Selection, Suite
from bench.suite import (
    RESERVED,
    UNTRAINED,
    Cell,
    backbone_of,
    cells,
    check_words,
    drawn,
    generation_of,
    pretrained_of,
    spec_of,
    training_of,
)

OWN_TEXTS = "texts of your own are dataset 'local', pairs 'local-pairs'"


def check(suite: Suite, where: str) -> None:
    """Raise :class:`BenchError` at the first thing that is amiss."""
    try:
        _methods(suite)
        _datasets(suite)
        _metrics(suite)
        _models(suite)
        if any(map(_augments, suite.reports)):
            check_augmentation(suite)
        for name, selection in suite.reports.items():
            _report(suite, name, selection)
        for cell in cells(suite):
            _cell(suite, cell)
        _words(suite)
    except BenchError as error:
        raise BenchError(f"{where}: {error}") from None


def _methods(suite: Suite) -> None:
    for name, spec in suite.methods.items():
        if name in (*UNTRAINED, *RESERVED):
            of = "a row without a model" if name in UNTRAINED else "a folder beside those of methods"
            raise BenchError(f"'methods.{name}': that is the name of {of}")
        source = registry.describe(spec.use or name)
        options = registry.method_options(source) if spec.options else None
        for key in spec.options:
            if options is not None and key not in options:
                raise BenchError(f"'methods.{name}.options': unknown key '{key}'{suggest(key, options)}")


def _datasets(suite: Suite) -> None:
    for dataset, part in suite.datasets.items():
        if part.data_dir is not None:
            _own_texts(dataset)
        registry.dataset(dataset)
        plan = training_of(suite, dataset)
        if plan.warmup_steps and plan.decay == "plateau":
            raise BenchError("'training.warmup_steps' has no effect: 'decay: plateau' begins at the whole rate")


def _own_texts(dataset: str) -> None:
    """Only some datasets are read from files of a user's, and a name of the user's is none of them."""
    known = registry.datasets()
    if dataset not in known:
        raise BenchError(f"unknown dataset '{dataset}'{suggest(dataset, known)}; {OWN_TEXTS}")
    if not known[dataset].data_dir:
        raise BenchError(f"'datasets.{dataset}.data_dir': {dataset} takes none; {OWN_TEXTS}")


def _metrics(suite: Suite) -> None:
    paired = any(registry.dataset(dataset).conditional for dataset in suite.datasets)
    for metric, given in suite.metrics.items():
        if registry.metric(metric).paired and not paired:
            raise BenchError(
                f"metric '{metric}' pairs each generated text with a reference of its own, and the datasets of "
                "this suite are unconditional; `python -m bench score` computes it on any two files"
            )
        options = registry.metric_options(metric)
        for key in given:
            if key not in options:
                raise BenchError(f"'metrics.{metric}': unknown option '{key}'{suggest(key, options)}")


def _models(suite: Suite) -> None:
    for name in suite.models:
        if name in RESERVED:
            raise BenchError(f"'models.{name}': that is the name of a folder beside those of models")
        pretrained.kind_of(suite, name)


def check_augmentation(suite: Suite) -> None:
    """The language model that is trained on more texts is one of the suite's methods."""
    model = suite.augmentation.model
    if model not in suite.methods:
        raise BenchError(f"'augmentation.model': no method '{model}' in the suite{suggest(model, suite.methods)}")


def _augments(report: str) -> bool:
    return "augmentation" in catalogue.find(report).reads


def _report(suite: Suite, name: str, selection: Selection) -> None:
    about = catalogue.find(name)
    if selection.decodings and not about.decodings:
        raise BenchError(f"'reports.{name}.decodings': the report shows the datasets' own decoding alone")
    for kind, chosen, known in (
        ("dataset", selection.datasets, suite.datasets),
        ("method", selection.methods, suite.methods),
        ("decoding", selection.decodings, suite.decodings),
    ):
        for item in chosen:
            if item not in known:
                raise BenchError(f"'reports.{name}': no {kind} '{item}' in the suite{suggest(item, known)}")
        if not chosen and kind != "decoding":
            raise BenchError(f"'reports.{name}': no {kind}")
    for dataset in selection.datasets:
        if about.conditional is not None and registry.dataset(dataset).conditional != about.conditional:
            kind = "conditional" if about.conditional else "unconditional"
            raise BenchError(f"'reports.{name}': dataset '{dataset}' is not {kind}, as the report is")
    if not cells(suite, name):
        raise BenchError(f"'reports.{name}': no cell, since none of its methods is of its datasets' backbone")


def _cell(suite: Suite, cell: Cell) -> None:
    size, plan = backbone_of(suite, cell.dataset, cell.method), training_of(suite, cell.dataset, cell.method)
    kind, conditional = size.kind, registry.dataset(cell.dataset).conditional
    found = {model: pretrained.kind_of(suite, model) for model in pretrained_of(suite, cell.dataset, cell.method)}
    kinds = registry.describe(spec_of(suite, cell.method).use).backbones
    own = found.get(size.weights, kind)
    for wrong, what in (
        (own != kind, f"weights '{size.weights}' are of kind {own}, not {kind}"),
        (kind == "bart" and not conditional, "backbone bart attends to a condition; it has none"),
        (kind not in kinds, f"its backbone is {' or '.join(kinds)}, not {kind}"),
        (kind == "lstm" and plan.compile, "compile is of blocks; lstm has none"),
        (kind != "lstm" and plan.graphs, f"graphs are of steps of LSTMs, not of {kind}"),
        (kind == "lstm" and conditional, "backbone lstm reads no condition; it has one"),
    ):
        if wrong:
            raise BenchError(f"{cell.method} on {cell.dataset}: {what}")


def _words(suite: Suite) -> None:
    """Of every decoding that some report draws a dataset's texts by."""
    wanted = {(cell.dataset, cell.decoding) for name in suite.reports for cell in drawn(suite, name)}
    if not suite.reports:
        wanted = {(cell.dataset, "") for cell in cells(suite)}
    for dataset, decoding in sorted(wanted):
        check_words(suite, dataset, generation_of(suite, dataset, decoding).decoding)
    for name in filter(_augments, suite.reports):
        for dataset in suite.reports[name].datasets:
            check_words(suite, dataset, suite.augmentation.decoding)
