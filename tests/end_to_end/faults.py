"""``python -m tests.end_to_end.faults``: kill -9 at random moments, until as many kills as asked, and compare.

Two copies of the repository make the main job at the size of seconds (``tiny.yaml``). One is left alone. In the other
a run is killed at a random moment after its first job has begun: snakemake with all its jobs, or one job alone. Then
it is unlocked and run again, as the README says. Whenever it is through, the results of a random stage of a cell are
deleted, so that there is more to kill; at the end ``bench freeze`` is killed in the same way. All weights, histories,
statistics, samples, scores and recorded values, and the frozen records, must be the undisturbed copy's, byte for
byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.end_to_end.test_run import Place

METHODS = ("gpt2", "della")
FREEZE = (sys.executable, "-m", "bench", "freeze", "--suite", "tiny.yaml", "r1", "--allow-dirty")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Place(Path(folder) / "alone"), Place(Path(folder) / "killed")
        alone.run(*alone.snakemake("all"))
        began = time.monotonic()
        alone.run(*FREEZE)
        freezing = time.monotonic() - began
        draw = random.Random(given.seed)
        counts: Counter[str] = Counter()
        while counts["kills"] < given.kills:
            kill_a_run(killed, draw, counts)
        killed.run("snakemake", "--unlock", "--config", "suite=tiny.yaml")
        killed.run(*killed.snakemake("all"))
        for _ in range(max(1, given.kills // 10)):
            kill_a_freeze(killed, draw.uniform(0, freezing), counts)
        if not frozen(killed):
            killed.run(*FREEZE)
        compare(alone, killed)
    print(", ".join(f"{what} {n}" for what, n in sorted(counts.items())), "- all results are those of the other copy")


def kill_a_run(place: Place, draw: random.Random, counts: Counter[str]) -> None:
    """One run, until it is killed or through."""
    place.run("snakemake", "--unlock", "--config", "suite=tiny.yaml")
    process = place.start(*place.snakemake("all"))
    while not jobs(place) and process.poll() is None:
        time.sleep(0.02)
    deadline = time.monotonic() + draw.expovariate(1 / 6)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    running = jobs(place)
    if process.poll() is None and running:
        counts.update(running.values())
        counts["kills"] += 1
        if draw.random() < 0.7:
            os.killpg(process.pid, signal.SIGKILL)
        else:  # snakemake stays, says which job has failed, and ends
            os.kill(draw.choice(list(running)), signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode in (0, 1, -signal.SIGKILL), output
    if process.returncode == 0:
        counts["runs to the end"] += 1
        forget(place, draw)


def kill_a_freeze(place: Place, after: float, counts: Counter[str]) -> None:
    """A release is there as a whole or not at all."""
    shutil.rmtree(release(place), ignore_errors=True)
    process = place.start(*FREEZE)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    counts["freeze"] += process.returncode == -signal.SIGKILL
    counts["kills"] += process.returncode == -signal.SIGKILL
    assert release(place).exists() == bool(frozen(place))


def jobs(place: Place) -> dict[int, str]:
    """The verbs that run in a place, by process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")
            if command[1:3] == ["-m", "bench"] and Path(os.readlink(folder / "cwd")) == place.root.resolve():
                found[int(folder.name)] = command[3]
        except OSError:  # it has just ended
            continue
    return found


def forget(place: Place, draw: random.Random) -> None:
    """Delete what a random stage of a cell has made, and what comes of it in the end: else nothing is missed."""
    paths = place.cell(draw.choice(METHODS))
    lost = draw.choice([paths.history, paths.history, paths.likelihood, paths.samples, paths.scores("mauve")])
    for path in (lost, *map(paths.scores, ("likelihood", "ngrams", "mauve")), paths.record, "reports/table1.md"):
        (place.root / path).unlink(missing_ok=True)


def release(place: Place) -> Path:
    return place.root / "results" / "frozen" / "r1"


def frozen(place: Place) -> dict[str, str]:
    """The values and per-example statistics of a release's cells."""
    cells = {}
    for file in sorted(release(place).glob("cells/*/*/*.json")):
        cell = json.loads(file.read_text())
        cells[file.name, file.parent.name] = json.dumps([cell["record"]["values"], cell["per_example"]])
    return {"/".join(key): value for key, value in cells.items()}


def compare(alone: Place, killed: Place) -> None:
    for method in METHODS:
        assert killed.results(method) == alone.results(method), method
        assert killed.values(method) == alone.values(method), method
    assert frozen(alone) and frozen(killed) == frozen(alone)
    for report in ("table1.md", "table1.csv"):
        assert (killed.root / "reports" / report).exists()
    known = ("*.sha256", ".snakemake_timestamp")
    hidden = [path for path in (killed.root / "results").rglob(".*") if not any(map(path.match, known))]
    print(f"{len(hidden)} hidden files left behind: {' '.join(path.name for path in hidden[:5])}")
    assert not [path for path in hidden if path.name == ".resume"]


if __name__ == "__main__":
    main()
