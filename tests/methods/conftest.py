"""Every registered method at debug size, for every task there is, its weights moved off their special starting point.

A task is a backbone, with conditions or without. For each task ``variant`` is every registered name, ``method`` each
that computes something of its own (names that differ in training alone come once), and ``first`` one of each class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from bench import model as models
from bench import registry
from bench.batch import Batch, Sequences
from bench.errors import BenchError
from bench.methods.base import Method
from bench.schema import Backbone, MethodSpec

SEQUENCES = [[0, 10, 11, 12, 13, 14, 1], [0, 20, 21, 1], [0, 200, 201, 202, 203, 1], [0, 1]]
SOURCES = [[0, 30, 31, 1], [0, 40, 41, 42, 43, 44, 1], [0, 1], [0, 50, 51, 52, 1]]
# options that change nothing but what is trained on; and at debug size all codebooks are as small
TRAINING = {"annealing", "kl_reduction", "free_bits", "bow", "aggressive", "pretraining", "codes"}


@dataclass(frozen=True)
class Task:
    """A backbone, and whether its texts have conditions."""

    kind: Literal["gpt2", "llama", "bart", "lstm"] = "gpt2"
    conditional: bool = False

    @property
    def size(self) -> Backbone:
        return Backbone(
            kind=self.kind, layers=1 if self.kind == "lstm" else 3, width=16, heads=2,
            kv_heads=1 if self.kind == "llama" else None, vocabulary=260, max_tokens=24, max_source_tokens=16,
        )  # fmt: skip

    @property
    def sequences(self) -> Sequences:
        return Sequences(SEQUENCES, SOURCES if self.conditional else None)

    def batch(self, *rows: int) -> Batch:
        """These examples, by default all."""
        return self.sequences.batch(rows or range(len(SEQUENCES)))

    def continued(self, texts: Sequence[Sequence[int]], row: int) -> Batch:
        """Other texts for the condition of one example."""
        return Sequences(texts, [SOURCES[row]] * len(texts) if self.conditional else None).batch(range(len(texts)))


UNCONDITIONAL = Task()
TASKS = {
    "gpt2": UNCONDITIONAL, "gpt2-prompt": Task(conditional=True), "bart": Task("bart", conditional=True),
    "llama": Task("llama"), "llama-prompt": Task("llama", conditional=True), "lstm": Task("lstm"),
}  # fmt: skip
TRANSFORMERS = {name: task for name, task in TASKS.items() if task.kind != "lstm"}
TINY = UNCONDITIONAL.size


def build(name: str, task: Task = UNCONDITIONAL, seed: int = 0) -> Method:
    """A debug-size method with perturbed weights: an identity or zero start would hide mistakes."""
    torch.set_num_threads(1)
    method = models.build(MethodSpec(use=name, options=debug_options(name)), task.size, seed, task.conditional)
    perturb(method, seed + 1)
    return method.eval()


DEBUG = {"segment_length": 2, "codes": 6, "prior_layers": 3, "prior_width": 8}


def debug_options(name: str) -> dict[str, int]:
    """Segments so short that the texts have several, and not all as many; few codes, and small priors of them."""
    return known_options(name, DEBUG)


def known_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that a method has."""
    known = {field.name for field in fields(registry.load_class(registry.describe(name)).Options)}
    return {option: value for option, value in options.items() if option in known}


def perturb(module: nn.Module, seed: int = 1) -> None:
    """Move all weights, and the running statistics of batch norms."""
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d)]
    with torch.no_grad():
        for tensor in [*module.parameters(), *(m.running_mean for m in norms if m.running_mean is not None)]:
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var *= 2.0
        for part in module.modules():
            if parametrize.is_parametrized(part, "weight"):
                for _ in range(20):  # power iterations, as training would have had
                    part.train().weight  # noqa: B018


def distinct(names: list[str], ignored: Callable[[str], bool] = TRAINING.__contains__) -> list[str]:
    """The first of the names whose class and options, without the ignored ones, are the same."""
    first: dict[tuple[str, str], str] = {}
    for name in names:
        source = registry.describe(name)
        options = {key: value for key, value in source.options.items() if not ignored(key)}
        first.setdefault((f"{source.file}:{source.cls}", repr(sorted(options.items()))), name)
    return list(first.values())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = [*registry.methods(), *metafunc.config.getoption("--method")]
    if "distinct_name" in metafunc.fixturenames:
        metafunc.parametrize("distinct_name", distinct(names))
    if "first_name" in metafunc.fixturenames:
        metafunc.parametrize("first_name", distinct(names, ignored=lambda option: option != "backbone"))


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


@pytest.fixture
def method(distinct_name: str, task: Task) -> Method:
    return build_or_skip(distinct_name, task)


@pytest.fixture
def first(first_name: str, task: Task) -> Method:
    return build_or_skip(first_name, task)


@pytest.fixture
def variant(method_name: str, task: Task) -> Method:
    if task.kind == "llama" and method_name not in distinct(list(registry.methods())):
        pytest.skip("a name that differs in training alone: on the other backbones is enough")
    return build_or_skip(method_name, task)


def build_or_skip(name: str, task: Task) -> Method:
    """Which combinations may be skipped is a test of its own."""
    try:
        return build(name, task)
    except BenchError as error:
        if name in registry.methods() or task.kind not in registry.describe(name).backbones:
            pytest.skip(str(error))
        raise


@pytest.fixture
def batch(task: Task) -> Batch:
    return task.batch()
