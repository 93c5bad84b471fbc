"""SGD with sparse gradients of embeddings, against PyTorch's SGD after its clipping."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from bench.sgd import SparseSGD, sparse_embeddings

READ = torch.tensor([[3, 5, 5], [1, 3, 9]])


class Model(nn.Module):
    def __init__(self, sparse: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.unread, self.output = nn.Embedding(12, 4), nn.Embedding(5, 4), nn.Linear(4, 12)
        sparse_embeddings(self, sparse)

    def loss(self, step: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.output(self.words(READ + step % 2)).flatten(0, 1), READ.flatten())


def dense(model: Model, largest: float, rate: float) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    for step in range(4):
        optimiser.zero_grad()
        model.loss(step).backward()
        nn.utils.clip_grad_norm_(model.parameters(), largest)
        optimiser.step()


@pytest.mark.parametrize("largest", [1e-3, 0.5, 1e3])
def test_it_is_sgd_after_clipping(largest: float) -> None:
    model, expected = Model(), Model(sparse=False)
    dense(expected, largest, rate=0.7)
    optimiser = SparseSGD(model.parameters(), 0.7)
    for step in range(4):
        model.loss(step).backward()
        assert model.words.weight.grad is not None and model.words.weight.grad.is_sparse
        optimiser.clip(largest)
        optimiser.step()
        optimiser.zero_grad()
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=1e-6, atol=1e-7)


def test_words_that_were_not_read_stay() -> None:
    model = Model()
    before = deepcopy(model.state_dict())
    optimiser = SparseSGD(model.parameters(), 1.0)
    model.loss(0).backward()
    optimiser.clip(1.0)
    optimiser.step()
    read = torch.zeros(12, dtype=torch.bool).index_fill(0, READ.unique(), True)
    changed = (model.words.weight != before["words.weight"]).any(1)
    assert changed.equal(read) and model.unread.weight.equal(before["unread.weight"])


def test_the_scale_is_of_the_gradients_there_were_and_the_step_of_those_there_are() -> None:
    """As ``Stepper.apply`` has it where some parts do not take the step: they count in the norm."""
    model, expected = Model(), Model(sparse=False)
    for each in (model, expected):
        each.loss(0).backward()
    nn.utils.clip_grad_norm_(expected.parameters(), 0.1)
    expected.output.zero_grad()
    torch.optim.SGD(expected.parameters(), lr=1.0).step()
    optimiser = SparseSGD(model.parameters(), 1.0)
    optimiser.clip(0.1)
    model.output.zero_grad()
    optimiser.step()
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=1e-6, atol=1e-7)


def test_frozen_parts_neither_count_nor_change() -> None:
    model = Model()
    model.output.requires_grad_(False)
    before = deepcopy(model.output.state_dict())
    optimiser = SparseSGD(model.parameters(), 1.0)
    model.loss(0).backward()
    assert model.words.weight.grad is not None
    norm = model.words.weight.grad.to_dense().norm()
    optimiser.clip(0.01)
    torch.testing.assert_close(torch.as_tensor(optimiser.scale), 0.01 / (norm + 1e-6))
    optimiser.step()
    torch.testing.assert_close(model.output.state_dict(), before, rtol=0, atol=0)
