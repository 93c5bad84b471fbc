"""``bench humaneval export`` and ``score``: their options and what they call."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.errors import BenchError, suggest


def options(sub: argparse.ArgumentParser) -> None:
    verbs = sub.add_subparsers(dest="step", required=True, metavar="STEP")
    out = verbs.add_parser("export", help="make blinded, shuffled, balanced sheets of a run's samples")
    out.add_argument("--suite", required=True, metavar="FILE")
    out.add_argument("--use", action="append", default=[], metavar="SPEC", help="a method from outside the suite")
    out.add_argument("--dataset", required=True)
    out.add_argument("--methods", required=True, help="names separated by commas; human: held-out human texts")
    out.add_argument("--cell-seed", type=int, default=1, help="the seed of the cells whose samples are judged")
    out.add_argument("--items", type=int, default=30, help="samples of each method; DELLA 30, TRACE 50")
    out.add_argument("--annotators", type=int, default=5)
    out.add_argument("--ratings", type=int, default=2, help="annotators who score each sample; TRACE 2")
    out.add_argument("--criteria", default="story", help="story, summary, or names separated by commas")
    out.add_argument("--seed", type=int, default=0, help="of the choice, the codes and the order")
    out.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    back = verbs.add_parser("score", help="unblind filled sheets: means, intervals, tests, agreement")
    back.add_argument("folder", type=Path, metavar="FOLDER")
    back.add_argument("--against", default="", metavar="METHOD", help="tested with the others; default: the best")
    back.add_argument("--out", type=Path, help="one of the files to write; its siblings get its stem")


def run(arguments: argparse.Namespace) -> None:
    (_export if arguments.step == "export" else _score)(arguments)


def _export(arguments: argparse.Namespace) -> None:
    from bench import suite as suites
    from bench.humaneval.design import CRITERIA, QUESTIONS, design
    from bench.humaneval.sheets import export, texts_of
    from bench.suite import UNTRAINED

    suite = suites.load(arguments.suite, tuple(arguments.use))
    methods = [name.strip() for name in arguments.methods.split(",")]
    known = (*suite.methods, *UNTRAINED)
    for name, there, what in ((arguments.dataset, suite.datasets, "dataset"), *((m, known, "method") for m in methods)):
        suites.one_of(suite, what, name, there)
    criteria = CRITERIA.get(arguments.criteria) or [name.strip() for name in arguments.criteria.split(",")]
    for name in criteria:
        if name not in QUESTIONS:
            raise BenchError(f"--criteria: no criterion '{name}'{suggest(name, (*CRITERIA, *QUESTIONS))}")
    texts, sources = texts_of(suite, arguments.dataset, methods, arguments.cell_seed)
    plan = design(texts, sources, arguments.items, arguments.annotators, arguments.ratings, arguments.seed)
    about = {
        "suite": suite.name, "dataset": arguments.dataset, "methods": methods, "cell_seed": arguments.cell_seed,
        "annotators": arguments.annotators, "ratings": arguments.ratings, "seed": arguments.seed,
    }  # fmt: skip
    export(plan, criteria, about, arguments.out)
    print(f"{arguments.out}: {arguments.annotators} sheets; keep key.csv to yourself")


def _score(arguments: argparse.Namespace) -> None:
    from bench.humaneval.report import FORMATS, score
    from bench.report import catalogue
    from bench.report.render import render

    if arguments.out is not None:
        catalogue.check_out(arguments.out, FORMATS)
    print(render(score(arguments.folder, arguments.against, arguments.out), "md"))
