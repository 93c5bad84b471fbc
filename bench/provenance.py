"""Where a result comes from: code, data, settings, versions, machine. Facts for a record, never part of a value."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "mauve-text", "safetensors")


def git_state() -> dict[str, Any]:
    """Commit, and whether the working tree differs from it; outside a repository an empty sha, which is dirty."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        sha = git("rev-parse", "HEAD")
        return {"sha": sha, "dirty": not sha or bool(git("status", "--porcelain", "--untracked-files=no"))}
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
