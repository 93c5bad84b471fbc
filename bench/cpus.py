"""How many CPUs this process may use: decides how fast a number is had, never what it is."""

from __future__ import annotations

import os


def cpus() -> int:
    """At least 1; where the system tells, those the process is confined to."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
