"""Where a result comes from: code, data, settings, versions, machine. Facts for a record, never part of a value."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "mauve-text", "safetensors")


def git_state(plug_in: Path | None = None) -> dict[str, Any]:
    """Commit, and whether code differs from it; outside a repository an empty sha, which is dirty.

    It differs where a tracked file does, where ``bench/`` holds one that git neither tracks nor ignores, and where the
    method's own file, the ``plug_in``, is not tracked here.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        sha = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
        added = git("ls-files", "--others", "--exclude-standard", "--", "bench")
        foreign = plug_in is not None and not git("ls-files", "--", str(plug_in))
        return {"sha": sha, "dirty": not sha or bool(changed or added) or foreign}
    except FileNotFoundError:  # no git on this machine
        return {"sha": "", "dirty": True}


def versions() -> dict[str, str]:
    """Installed versions of the packages whose code enters the numbers, read without importing them."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
