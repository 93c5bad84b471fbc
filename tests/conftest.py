"""Shared fixtures: a tiny backbone, a tiny batch, and ``--method`` to run the contract on a method from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from bench import registry

# The same examples every time; `pytest --hypothesis-profile default` draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("long", deadline=None, max_examples=2500, print_blob=True)  # of tests/test_fuzz.py: an hour
settings.register_profile("few", deadline=None, max_examples=25, phases=(Phase.generate,), report_multiple_bugs=False)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--method", action="append", default=[], metavar="SPEC",
        help="also run the method contract on path/to/file.py:Class or package.module:Class",
    )  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "method_name" in metafunc.fixturenames:
        names = [*registry.methods(), *metafunc.config.getoption("--method")]
        metafunc.parametrize("method_name", names)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads only get in each other's way where every tensor is tiny."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
