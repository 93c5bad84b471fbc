"""Progress that behaves: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
SECONDS = 15.0  # between two lines of a log


def progress(items: Iterable[T], total: int, label: str, start: int = 0) -> Iterator[T]:
    """Yield ``items``, reporting how far it is on standard error; ``start`` were done before (a resumed run)."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, initial=start, desc=label, unit="", mininterval=0.5)
        return
    began = last = time.monotonic()
    done = start
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS or done == total:
            last = now
            rate = (done - start) / max(now - began, 1e-9)
            print(f"{label}: {done}/{total}, {now - began:.0f} s, {rate:.1f}/s", file=sys.stderr, flush=True)
