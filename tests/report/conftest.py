"""A finished run of invented numbers in a temporary directory, which is also the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fake_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the suite whose run is finished."""
    monkeypatch.chdir(tmp_path)
    suite = fake_run.write_suite(tmp_path)
    fake_run.write_run(tmp_path, suite)
    return suite
