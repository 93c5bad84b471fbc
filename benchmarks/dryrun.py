"""How long Snakemake takes to find out what is to be done: ``python -m benchmarks.dryrun``, from the repository root.

Two questions about a suite of 2 datasets × methods × 10 seeds with three metric families, seven jobs a cell. How long
is a dry run of all jobs of 2,000 cells, none of which has run? And a run that finds 200 cells finished? The latter
are finished by stubs in a copy of the repository (``tests/workflow``), which takes some minutes.

``floor`` is the same dry run of rules that have files and a shell command and nothing else: what is Snakemake's
alone.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.workflow.tree import Tree, copy

METHODS = ("gpt2", "embed", "memory", "softmax", "della", "della@paper")
SEEDS = 10
DIRECTIVES = ("message", "conda", "benchmark", "log", "params", "resources", "threads", "priority")


def suite(cells: int) -> str:
    """The YAML: methods are the registered ones under new names, as a suite may have them."""
    count = -(-cells // (2 * SEEDS))
    methods = "\n".join(f"  m{i}: {{use: {METHODS[i % len(METHODS)]}}}" for i in range(count))
    return (
        f"name: dryrun\ndatasets: [bbe, sotu]\nmethods:\n{methods}\nseeds: {list(range(SEEDS))}\n"
        "metrics: [elbo, iw, bleu, cnd, mauve]\n"
    )


def bare(rules: Path) -> None:
    """Take from rules what is not files."""
    for file in rules.glob("*.smk"):
        text = file.read_text(encoding="utf-8")
        for directive in DIRECTIVES:
            text = re.sub(rf"^    {directive}:.*\n(?:     .*\n)*", "", text, flags=re.MULTILINE)
        file.write_text(re.sub(r'"logged [^"]*"', '"true"', text), encoding="utf-8")


def timed(tree: Tree, what: str, *arguments: str) -> None:
    """Print the seconds and memory of one run of snakemake, and its seconds a job."""
    began, spent = time.monotonic(), os.times()
    done = tree.snakemake("--config", "suite=dryrun.yaml", *arguments, cores=1)
    wall, now = time.monotonic() - began, os.times()
    if done.returncode:
        sys.exit(done.stderr)
    jobs = re.search(r"^total +(\d+)$", done.stdout, re.MULTILINE)
    cpu = now.children_user + now.children_system - spent.children_user - spent.children_system
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    each = f", {1000 * cpu / int(jobs[1]):.1f} ms of CPU a job" if jobs else ""
    print(f"{what}: {jobs[1] if jobs else 0} jobs, {wall:.1f} s, {cpu:.1f} s of CPU{each}, at most {memory:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cells", type=int, default=2000, help="of the dry run")
    parser.add_argument("--finished", type=int, default=200, help="cells of the run that finds nothing to do")
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    dry = ("--dry-run", "--quiet", "reason", "rules", "host")
    with tempfile.TemporaryDirectory() as folder:
        tree = copy(Path(folder))
        file = tree.root / "dryrun.yaml"
        if given.finished:
            file.write_text(suite(given.finished), encoding="utf-8")
            tree.run("--config", "suite=dryrun.yaml", cores=os.cpu_count() or 1)
            timed(tree, f"{given.finished} finished cells")
        file.write_text(suite(given.cells).replace("name: dryrun", "name: other"), encoding="utf-8")
        timed(tree, f"dry run of {given.cells} cells", *dry)
        bare(tree.root / "workflow" / "rules")
        timed(tree, "the same of bare rules, the floor", *dry)


if __name__ == "__main__":
    main()
