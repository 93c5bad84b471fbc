"""How long a dry run over thousands of cells takes: ``python benchmarks/dryrun.py [CELLS]`` from the repository root.

Writes a suite of CELLS cells (2,000 by default: 2 datasets × methods × 10 seeds, three metric families) to a temporary
directory and times ``snakemake --dry-run`` of all its jobs, none of which has run. Measured on two busy cores: 2.3 ms a
job, 5 % of it in ``bench``, the rest in Snakemake; rules with the same jobs and nothing but files take 1.4.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS = ("gpt2", "embed", "memory", "softmax", "della", "della@paper")
SEEDS = 10


def suite(cells: int) -> str:
    """The YAML: methods are the registered ones under new names, as a suite may have them."""
    count = -(-cells // (2 * SEEDS))
    methods = "\n".join(f"  m{i}: {{use: {METHODS[i % len(METHODS)]}}}" for i in range(count))
    return (
        f"name: dryrun\ndatasets: [bbe, sotu]\nmethods:\n{methods}\nseeds: {list(range(SEEDS))}\n"
        "metrics: [elbo, iw, bleu, cnd, mauve]\n"
    )


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dryrun.yaml"
        file.write_text(suite(cells), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--config", f"suite={file}"]
        began, spent = time.monotonic(), os.times()
        done = subprocess.run([*command, "--quiet", "reason", "rules", "host"], capture_output=True, text=True)
        wall, now = time.monotonic() - began, os.times()
    if done.returncode:
        sys.exit(done.stderr)
    jobs = re.search(r"^total +(\d+)$", done.stdout, re.MULTILINE)
    cpu = now.children_user + now.children_system - spent.children_user - spent.children_system
    total = jobs[1] if jobs else "?"
    print(f"{cells} cells, {total} jobs: {wall:.1f} s, {cpu:.1f} s of CPU; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
