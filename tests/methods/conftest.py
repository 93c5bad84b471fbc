"""Every registered method at debug size, its weights moved off their special starting point."""

from __future__ import annotations

import pytest
import torch

from bench import model as models
from bench.batch import Batch, collate
from bench.methods.base import Method
from bench.suite import Backbone, MethodSpec

TINY = Backbone(layers=3, width=16, heads=2, vocabulary=260, max_tokens=24)
SEQUENCES = [[0, 10, 11, 12, 13, 14, 1], [0, 20, 21, 1], [0, 200, 201, 202, 203, 1], [0, 1]]


def build(name: str, seed: int = 0) -> Method:
    """A debug-size method with perturbed weights: an identity or zero start would hide mistakes."""
    torch.set_num_threads(1)
    method = models.build(MethodSpec(use=name), TINY, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return method.eval()


@pytest.fixture
def method(method_name: str) -> Method:
    return build(method_name)


@pytest.fixture
def batch() -> Batch:
    return collate(SEQUENCES)
