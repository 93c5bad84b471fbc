"""``bench score``: its options and how they become a request."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.errors import BenchError


def options(sub: argparse.ArgumentParser) -> None:
    def add(name: str, text: str, **more) -> None:
        sub.add_argument(f"--{name}", help=text, **more)

    file: dict = {"type": Path, "metavar": "FILE"}
    add("generated", "generated texts: UTF-8, one a line, plain or .gz; or a samples .jsonl", required=True, **file)
    add("references", "reference texts; for paired metrics the i-th belongs to the i-th generated text", **file)
    add("sources", "source texts, one for each generated text", **file)
    add("human", "held-out human texts, scored like the generated ones: what a perfect generator would get", **file)
    add("baseline", "another system's texts: adds differences with intervals and p-values", **file)
    add("metrics", "names separated by commas, or 'all' (`bench metrics` lists them); default: n-gram metrics")
    add("option", "an option of one metric (repeatable), e.g. mauve.seed=1", action="append", default=[],
        metavar="METRIC.OPTION=VALUE")  # fmt: skip
    add("resamples", "bootstrap resamples of every metric; 0: no intervals", type=int)
    add("seed", "seed of the bootstrap", type=int)
    add("threads", "CPU threads of metrics that run a model; default: one a CPU", type=int)
    add("cache", "a directory that keeps encoder features of the references", type=Path, metavar="DIR")
    add("details", "show every part: all forms of CND, precision and recall", action="store_true")
    add("json", "also write everything to this file", type=Path, metavar="FILE")


def run(arguments: argparse.Namespace) -> None:
    from bench.files import check_writable, write_json
    from bench.standalone import Request, as_json, report, score

    files = {key: getattr(arguments, key) for key in ("generated", "references", "sources", "human", "baseline")}
    for path in filter(None, files.values()):
        if arguments.json and arguments.json.exists() and path.exists() and path.samefile(arguments.json):
            raise BenchError(f"--json {arguments.json} is the file of texts {path}: it would be lost")
    if arguments.json:
        check_writable(arguments.json)
    request = Request(
        **files,
        metrics=[] if arguments.metrics is None else [name.strip() for name in arguments.metrics.split(",")],
        options=arguments.option, resamples=arguments.resamples, seed=arguments.seed, threads=arguments.threads,
        cache=arguments.cache,
    )  # fmt: skip
    scores = score(request)
    try:
        if arguments.json:
            write_json(arguments.json, as_json(scores))
    finally:  # what cannot be written after all must not cost the table, which may have taken long
        report(scores, arguments.details)
