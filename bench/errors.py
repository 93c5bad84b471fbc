"""The one exception a user is meant to see: a single line naming what is wrong and where."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class BenchError(Exception):
    """A mistake in a suite, dataset, sample file, plug-in or environment.

    Raised where the cause is known, caught once (in ``bench.cli``; of the Snakefile, by :func:`heard`), printed as one
    line, exit code 2.
    """


def of_system(error: OSError, where: str) -> str:
    """A full disk, a directory that may not be written: which file, or else where, and why."""
    return f"{error.filename or where}: {error.strerror or error}"


def suggest(word: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'della'?"`` for the nearest allowed word, else the list of what is allowed."""
    allowed = sorted(allowed)
    folded = {name.casefold(): name for name in allowed}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{folded[close[0]]}'?"
    return f"; allowed: {', '.join(allowed)}" if allowed else ""


def one_line(text: str) -> str:
    """For a terminal: a line break is a space, and what moves the cursor or cannot be shown a question mark."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.splitlines()))


def heard(ask: Callable[[], T]) -> T:
    """What is asked for, or a :class:`BenchError` as one line on standard error and exit code 2.

    For the Snakefile: Snakemake prints whatever else is raised there with a traceback.
    """
    try:
        return ask()
    except BenchError as error:
        print(f"bench: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)


def first_line(error: BaseException) -> str:
    """What a library's error says first, or else what it is called."""
    return (str(error).splitlines() or [type(error).__name__])[0]
