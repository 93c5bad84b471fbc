"""Trees to run snakemake in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.tree import ALL, Tree, copy


@pytest.fixture
def fresh(tmp_path: Path) -> Tree:
    """A tree where nothing has run."""
    return copy(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A tree where everything has run. Tests leave its contents as they found them."""
    tree = copy(tmp_path_factory.mktemp("finished"))
    tree.run(*ALL)
    return tree
