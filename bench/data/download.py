"""Files of a repository on the Hugging Face hub, at a pinned revision. None of the hub's code is ever run.

The library keeps what it fetches under ``$HF_HOME``, each file whole or absent, and goes on in the middle of a file
where a connection breaks off. What is there already needs no network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from bench.errors import BenchError

WAITS = (1, 2, 4, 8)  # seconds before a failed request is made again
PASSING = (408, 429)  # HTTP statuses besides 5xx that another try may not meet
T = TypeVar("T")

Kind = Literal["dataset", "model"]


def cached(kind: Kind, repository: str, revision: str, patterns: Sequence[str]) -> Path | None:
    """The revision's folder in the library's cache, whatever it holds of the files that match; None without any."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repository, repo_type=kind, revision=revision, allow_patterns=list(patterns), local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return Path(found)


def fetch(kind: Kind, repository: str, revision: str, patterns: Sequence[str], instead: str) -> None:
    """Bring the files that match into the library's cache; ``instead``: what to do where that cannot be."""
    from huggingface_hub import HfApi, hf_hub_download

    try:  # the library makes most requests again by itself, but not a download that is answered with 5xx
        for file in HfApi().list_repo_files(repository, repo_type=kind, revision=revision):
            if any(fnmatch(file, pattern) for pattern in patterns):
                _again(partial(hf_hub_download, repository, file, repo_type=kind, revision=revision))
    except _failures() as error:
        if _of_this_machine(error):
            raise
        cause = str(error.__cause__ or error).partition("\n")[0]
        raise BenchError(
            f"cannot fetch {repository}@{revision[:7]} ({cause}): {instead}, or bring the hub's cache ($HF_HOME) from "
            "a machine with a network"
        ) from None


def _again(request: Callable[[], T]) -> T:
    """The result of a request, made again after each of ``WAITS`` while it fails for a reason that may pass."""
    for wait in WAITS:
        try:
            return request()
        except _failures() as error:
            status = getattr(getattr(error, "response", None), "status_code", 500)
            if _of_this_machine(error) or (status < 500 and status not in PASSING):
                raise
            time.sleep(wait)
    return request()


def _failures() -> tuple[type[Exception], ...]:
    """What the library raises where a request fails."""
    from huggingface_hub.errors import HTTPError

    return HTTPError, OSError, RuntimeError


def _of_this_machine(error: Exception) -> bool:
    """Whether it is the system's: a full disk, a folder that may not be written."""
    return isinstance(error, OSError) and error.errno is not None
