"""The site of one finished run, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser, browser
from tests.report.site import site_run


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``index.html``."""
    return site_run.write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One page of a headless Chromium, where it is installed."""
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with browser() as page:
        yield page
