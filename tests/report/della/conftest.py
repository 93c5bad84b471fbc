"""A finished run with every kind of dataset and method that DELLA's tables are about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import suite as suites
from bench.schema import Suite
from tests import fake_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once, copied for each test."""
    root = tmp_path_factory.mktemp("della")
    fake_run.write_run(root, fake_run.write_suite(root, fake_run.DELLA_YAML))
    return root


@pytest.fixture
def della(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite of a finished run in the working directory."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).parents[3] / "results" / "published", "results/published")
    return suites.load(str(tmp_path / "tiny.yaml"))
