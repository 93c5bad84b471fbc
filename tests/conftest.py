"""Shared fixtures: a tiny backbone, a tiny batch, and ``--method`` to run the contract on a method from outside."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from bench import registry

# The same examples every time; `pytest --hypothesis-profile default` draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("long", deadline=None, max_examples=4000)  # 10,400 of tests/test_fuzz.py
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


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """Threads and determinism are the process's: what one test sets is no other's, and each draws from seed 0."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.manual_seed(0)
    yield
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
    torch.utils.deterministic.fill_uninitialized_memory = fill


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads only get in each other's way where every tensor is tiny."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
