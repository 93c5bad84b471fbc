"""Takes the place of ``bench/cli.py`` in a copied tree: every verb writes its outputs at once, small and deterministic.

``fail.txt`` in the working directory, holding a verb, makes that verb fail the way the real ones do. Every call is
noted in ``calls.txt`` with the times at which it began and ended and the plan that it was given; ``slow.txt`` holds
seconds to spend between the two, ``together.txt`` how many calls have to have begun before one of them ends.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

from bench.paths import CellPaths
from bench.pretrained import FILES
from bench.report import catalogue


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb")
    parser.add_argument("--use", action="append", default=[])
    cell = ("suite", "model", "dataset", "method", "row", "seed", "family", "part")
    for option in (*cell, "device", "processes", "frozen", "report", "out"):
        parser.add_argument(f"--{option}")
    parser.add_argument("--decoding", default="")
    given = parser.parse_args()
    began = time.time()
    if _text("fail.txt") == given.verb:
        print(f"bench: {given.verb} of {given.dataset} failed as asked", file=sys.stderr)
        return 2
    time.sleep(float(_text("slow.txt") or 0))
    _wait_for(int(_text("together.txt") or 0))
    for path in _outputs(given):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{given.verb} {given.dataset} {given.method} {given.seed} {given.family} {given.report}\n")
    with open("calls.txt", "a") as stream:
        stream.write(f"{given.verb} {began} {time.time()} {os.environ.get('BENCH_PLAN')} {' '.join(sys.argv[2:])}\n")
    return 0


def _wait_for(others: int) -> None:
    """Until so many calls have begun, or it is clear that they will not."""
    with open("begun.txt", "a") as stream:
        stream.write("1\n")
    until = time.monotonic() + 60
    while _text("begun.txt").count("1") < others and time.monotonic() < until:
        time.sleep(0.05)


def _outputs(given: argparse.Namespace) -> list[Path]:
    name = re.search(r"^name: *(\S+)", _text(given.suite), re.MULTILINE)
    assert name is not None
    paths = CellPaths(name[1], given.dataset, given.row or given.method, given.seed or "0", given.decoding)
    match given.verb:
        case "prepare":
            return [
                paths.data / file for file in ("train.txt", "valid.txt", "test.txt", "tokenizer.json", "manifest.json")
            ]
        case "pretrained":
            return [paths.pretrained(given.model) / file for file in (*FILES, "manifest.json")]
        case "train":
            return [paths.model / "weights.safetensors", paths.history, paths.cost("train")]
        case "likelihood":
            return [paths.likelihood, paths.cost("likelihood")]
        case "generate":
            return [paths.samples, paths.cost("generate")]
        case "interpolate":
            return [paths.interpolation]
        case "attention":
            return [paths.attention]
        case "augment":
            return [paths.augmented(given.part), paths.cost(f"augment-{given.part}")]
        case "untrained":
            return [paths.samples]
        case "score-cell":
            return [paths.scores(given.family)]
        case "record":
            return [paths.record]
        case "report":
            formats = catalogue.FORMATS[catalogue.find(given.report).kind]
        case _:  # compare
            formats = ("md", "csv", "tex", "html")
            figure = [Path(given.out).with_name(f"{Path(given.out).stem}-pareto.{suffix}") for suffix in ("png", "svg")]
            return [*(Path(given.out).with_suffix(f".{suffix}") for suffix in formats), *figure]
    return [Path(given.out).with_suffix(f".{suffix}") for suffix in formats]


def _text(file: str) -> str:
    return Path(file).read_text().strip() if Path(file).exists() else ""
