"""A method of one's own beside a frozen run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.freeze import freeze
from tests import fake_run

PLUGIN = """
class Mine:
    variants = {"mine": {}}
"""


@pytest.fixture
def mine(run: str, tmp_path: Path) -> tuple[str, tuple[str, ...]]:
    """A frozen release r1 without the method ``mine``, whose cells are finished."""
    freeze(run, "r1")
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    uses = ("mine.py:Mine",)
    fake_run.write_run(tmp_path, run, uses)
    return run, uses
