"""``python -m bench VERB``: parsing; what the verbs do is in bench/verbs.py.

A mistake of the user's (``BenchError``) is one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bench import cli_humaneval, cli_score, verbs
from bench.errors import BenchError, of_system, one_line
from bench.paths import SUITE

CELL = "DATASET/METHOD/SEED of the suite's run, or RELEASE:DATASET/METHOD/SEED of a frozen one"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    _open_streams()
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()  # here, where a reader that has left is understood
    except BenchError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refuse(of_system(error, arguments.verb))
    except MemoryError as error:
        return _refuse(f"{arguments.verb}: not enough memory {error}")
    return 0


def _refuse(message: str) -> int:
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
        self.exit(_refuse(f"{message} ({self.prog} --help tells more)"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m bench", description=__doc__.split("\n\n")[0])
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run, text: str, *groups) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        for group in groups:
            group(sub)
        return sub

    data = verb("data", verbs.data, "list a suite's datasets and pretrained models: where from, whether here", _suite)
    data.add_argument("--check", action="store_true", help="exit code 2 where one is missing or not as papers use it")
    verb("prepare", verbs.prepare, "write a dataset's splits, tokenizer and manifest", _suite, _dataset)
    adopt = verb("pretrained", verbs.pretrained, "take over a pretrained model for backbones", _suite)
    adopt.add_argument("--model", required=True, metavar="NAME", help="of the suite, e.g. smollm2")
    train = verb("train", verbs.train, "train one cell", _suite, _cell, _device)
    train.add_argument("--processes", type=int, default=1, metavar="N", help="train with N processes, one a GPU")
    verb("likelihood", verbs.likelihood, "measure a trained cell's per-example statistics", _suite, _cell, _device)
    verb("generate", verbs.generate, "draw a trained cell's samples", _suite, _cell, _decoding, _device)
    verb("interpolate", verbs.interpolate, "decode between a trained cell's posterior samples", _suite, _cell, _device)
    verb(
        "attention",
        verbs.attention,
        "measure a trained cell's attention to its memory position",
        _suite,
        _cell,
        _device,
    )
    augment = verb(
        "augment",
        verbs.augment,
        "train a language model on texts of train and on generated ones",
        _suite,
        _cell,
        _device,
    )
    augment.add_argument("--part", required=True, help="texts of train x generated ones a text, e.g. 1000x0.5")
    rows = verb("untrained", verbs.untrained, "take the texts of a row without a model", _suite, _dataset)
    rows.add_argument("--row", required=True, choices=("human", "copy"))
    score_cell = verb("score-cell", verbs.score_cell, "compute one metric family of one cell", _suite, _cell, _decoding)
    score_cell.add_argument("--family", required=True, help="metric family, e.g. ngrams")
    verb("record", verbs.record, "collect a cell's scores and provenance", _suite, _cell, _decoding)
    report = verb(
        "report", verbs.report, "render a table (md, csv, tex, html) or plot a figure (png, svg)", _suite, _out
    )
    report.add_argument("--report", required=True, metavar="NAME", help="e.g. table1 or della/figure2")
    report.add_argument(
        "--frozen", action="append", default=[], metavar="RELEASE",
        help="of the cells in this frozen release of the suite, in place of a run (repeatable)",
    )  # fmt: skip
    compare = verb("compare", verbs.compare, "put a method beside frozen rows", _suite, _out)
    compare.add_argument(
        "--frozen", action="append", required=True, metavar="RELEASE",
        help="a directory of results/frozen (repeatable: rows of releases that have no method in common)",
    )  # fmt: skip
    freeze = verb("freeze", verbs.freeze, "keep a finished run's records as results/frozen/RELEASE", _suite_alone)
    freeze.add_argument("release", help="name of the release, e.g. 2026.11-embedded")
    freeze.add_argument("--finished", action="store_true", help="keep what is finished, and name what is not")
    freeze.add_argument("--allow-dirty", action="store_true", help="accept records made from uncommitted code")
    ls = verb("ls", verbs.ls, "list a suite's cells: how far each is, and its main values", _any_suite)
    ls.add_argument("--dataset", default="", help="of this dataset alone")
    ls.add_argument("--method", default="", help="of this method alone")
    show = verb(
        "show", verbs.show, "show all that is known of one cell, and the command that makes it again", _any_suite
    )
    show.add_argument("cell", metavar="CELL", help=CELL)
    diff = verb("diff", verbs.diff, "show how two cells differ, and what was not alike", _any_suite)
    diff.add_argument("one", metavar="CELL", help=CELL)
    diff.add_argument("other", metavar="CELL")
    for sub in (show, diff):
        sub.add_argument("--all", action="store_true", help="every quantity, not those of tables alone")
    verb("score", cli_score.run, "score any file of generated texts, with no suite", cli_score.options)
    verb("humaneval", cli_humaneval.run, "make sheets for annotators, and score filled ones", cli_humaneval.options)
    metrics = verb("metrics", verbs.metrics, "list metrics: formulas, directions, ranges, sources, signatures, options")
    metrics.add_argument("names", nargs="*", metavar="NAME", help="these metrics alone")
    verb("methods", verbs.methods, "list every registered method and dataset")
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
    sub.add_argument("--out", required=True, type=Path, help="one of the files to write; its siblings get its stem")
