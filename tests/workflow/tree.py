"""A copy of the repository whose verbs are stubs (``stub_cli.py``), and snakemake run in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = """\
name: tiny
datasets: [bbe, sotu]
methods: [gpt2, embed, della]
seeds: [1]
metrics:
  elbo:
  bleu:
  cnd:
"""
ALL = ("--config", "suite=tiny.yaml", "--", "all", "reports/compare.md")
RELEASE = {"suite": {"name": "tiny"}, "cells": [{"dataset": "bbe", "method": "gpt2"}], "signatures": {"bbe": {}}}
PLUGIN = "from bench.methods.base import Method\nclass Mine(Method):\n    variants = {'mine': {}}\n"


@dataclass(frozen=True)
class Tree:
    """The copy."""

    root: Path

    def snakemake(self, *arguments: str, cores: int = 2) -> subprocess.CompletedProcess[str]:
        """Run snakemake here on the suite ``tiny.yaml``."""
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--scheduler", "greedy", *arguments]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `python` of the rules
        environment = {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def pending(self, *arguments: str) -> set[str]:
        """The exact jobs a run would do, as "rule dataset method seed [decoding] [family]".

        Read from ``--summary``, a table of every output with its rule and plan; the text of a dry run is for people.
        """
        done = self.snakemake("--summary", *(arguments or ("--config", "suite=tiny.yaml")))
        assert done.returncode == 0, done.stderr
        head, *rows = (line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
        assert (head[0], head[2], head[-1]) == ("output_file", "rule", "plan")
        assert {row[-1] for row in rows} <= {"update pending", "no update"}
        return {f"{row[2]} {_wildcards(row[0])}".strip() for row in rows if row[-1] == "update pending"}

    def run(self, *arguments: str, cores: int = 2) -> None:
        """A run that succeeds."""
        done = self.snakemake(*(arguments or ("--config", "suite=tiny.yaml")), cores=cores)
        assert done.returncode == 0, done.stderr

    @contextmanager
    def edited(self, file: str, change: Callable[[str], str]) -> Iterator[None]:
        """Change a file for a while; it is then as before but for its time."""
        path = self.root / file
        before = path.read_text()
        after = change(before)
        assert after != before, f"{file}: nothing changed"
        path.write_text(after)
        yield
        path.write_text(before)

    def calls(self) -> list[tuple[str, float, float]]:
        """(verb, began, ended) of every verb that ran."""
        lines = (line.split() for line in (self.root / "calls.txt").read_text().splitlines())
        return [(verb, float(began), float(ended)) for verb, began, ended, *_ in lines]


def _wildcards(path: str) -> str:
    """.../bbe/della/seed1/decoding-greedy/scores/ngrams.json -> "bbe della 1 greedy ngrams"; reports/a.md -> "a"."""
    if path.startswith("reports/"):
        return "" if "compare" in path else path.removeprefix("reports/").rpartition(".")[0]
    cell, file = r"([^/]+)/seed(\d+)/(?:decoding-([^/]+)/)?", r"(?:scores/(.*)\.json|.*)"
    found = re.fullmatch(rf"results/runs/[^/]+/(?:pretrained/([^/]+)/.*|([^/]+)/(?:data/.*|{cell}{file}))", path)
    return " ".join(filter(None, found.groups())) if found else ""


def copy(to: Path) -> Tree:
    """What the DAG is made of, without results, and with stubs for verbs."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("bench", "workflow"):
        shutil.copytree(ROOT / folder, to / folder, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", to)
    shutil.copy(Path(__file__).with_name("stub_cli.py"), to / "bench" / "cli.py")
    (to / "results" / "frozen" / "r1").mkdir(parents=True)
    (to / "results" / "frozen" / "r1" / "manifest.json").write_text(json.dumps(RELEASE))
    (to / "tiny.yaml").write_text(SUITE)
    (to / "mine.py").write_text(PLUGIN)
    return Tree(to)
