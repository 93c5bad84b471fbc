"""SGD on the CPU that spends nothing on the words that a batch has not read.

Of 10,000 word embeddings a batch reads a few hundred; the gradients of the others are zeros, which made, measured,
scaled and subtracted like the rest are a sixth of a step of a small LSTM.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def sparse_embeddings(model: nn.Module, sparse: bool) -> None:
    """Whether the gradients of its embeddings are of rows that were read, and not of all."""
    for part in model.modules():
        if isinstance(part, nn.Embedding):
            part.sparse = sparse


class SparseSGD(torch.optim.Optimizer):
    """w -= rate * c * gradient, c = min(1, clip / norm of all gradients) as in ``torch.nn.utils.clip_grad_norm_``."""

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})
        self.scale = 1.0

    @torch.no_grad()
    def clip(self, largest: float) -> None:
        """Scale the next step by what the gradients that are there now ask for."""
        norms = []
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                p.grad = p.grad.coalesce() if p.grad.is_sparse else p.grad
                norms.append(torch.linalg.vector_norm(p.grad.values() if p.grad.is_sparse else p.grad))
        self.scale = float((largest / (torch.linalg.vector_norm(torch.stack(norms)) + 1e-6)).clamp(max=1.0))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by = -group["lr"] * self.scale
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=by)
