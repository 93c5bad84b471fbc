"""``python -m tests.end_to_end.full_disk``, as root on Linux: every verb where the disk is full, or may not be written.

The main job at the size of seconds (``tiny.yaml``) is finished on a small file system of its own. Then each verb runs
again while so many bytes are free, from none at all until it succeeds, and once while the file system is read-only. It
must say so in one line and exit with 2; what was there must stay as it was, and nothing may be left behind.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.files import sha256
from tests.end_to_end.test_run import Place

CELL = ("--suite", "tiny.yaml", "--dataset", "bbe", "--method", "della", "--seed", "1")
VERBS = {
    "prepare": ("prepare", "--suite", "tiny.yaml", "--dataset", "bbe"),
    "train": ("train", *CELL),
    "likelihood": ("likelihood", *CELL),
    "generate": ("generate", *CELL),
    "score-cell": ("score-cell", *CELL, "--family", "ngrams"),
    "record": ("record", *CELL),
    "report": ("report", "--suite", "tiny.yaml", "--report", "table1", "--out", "reports/table1.md"),
    "figure": ("report", "--suite", "tiny.yaml", "--report", "curves", "--out", "reports/curves.png"),
    "freeze": ("freeze", "--suite", "tiny.yaml", "r1", "--allow-dirty"),
}
FREE = (0, 4, 16, 64, 256, 1024, 4096)  # KB


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
        try:
            place = Place(Path(folder) / "tree")
            place.run(*place.snakemake("all"))
            for name, verb in VERBS.items():
                print(f"{name}: {check(place, verb)}", flush=True)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def check(place: Place, verb: tuple[str, ...]) -> str:
    """Run a verb with ever more room; says how often it failed as it should."""
    before = contents(place)
    with read_only(place):
        refuses(place, verb)
    for failed, free in enumerate(FREE, 1):
        with filled(place, free):
            process = run(place, verb)
        if process.returncode == 0:
            return f"refused {failed} times, done with {free} KB free"
        refuses(place, verb, process)
        assert contents(place) == before, f"{verb[0]}, {free} KB free: {changed(before, contents(place))}"
    raise AssertionError(f"{verb[0]} needs more than {FREE[-1]} KB")


def run(place: Place, verb: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "bench", *verb)
    return subprocess.run(command, cwd=place.root, env=place.environment, text=True, capture_output=True, check=False)


def refuses(place: Place, verb: tuple[str, ...], process: subprocess.CompletedProcess[str] | None = None) -> None:
    process = process or run(place, verb)
    last = process.stderr.splitlines()[-1:]
    assert process.returncode == 2 and "Traceback" not in process.stderr, f"{verb[0]}: {process.stderr}"
    assert "No space left" in last[0] or "Read-only file system" in last[0], f"{verb[0]}: {process.stderr}"


@contextmanager
def filled(place: Place, free: int) -> Iterator[None]:
    """All but ``free`` KB of the file system taken."""
    ballast = place.root / "ballast"
    with open(ballast, "wb") as stream:
        status = subprocess.run(["stat", "-f", "-c", "%a %S", place.root], capture_output=True, text=True, check=True)
        blocks, size = map(int, status.stdout.split())
        stream.write(bytes(max(0, blocks * size - free * 1024)))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", place.root.parent], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", place.root.parent], check=True)


def contents(place: Place) -> dict[str, str]:
    """All results and reports, hidden files too, by hash. Logs are no results, nor what an attempt cost."""
    files = [path for top in ("results", "reports") for path in (place.root / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(place.root)): sha256(path) for path in files if not {"logs", "cost"} & {*path.parts}}


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(path for path in before | after if before.get(path) != after.get(path))


if __name__ == "__main__":
    main()
