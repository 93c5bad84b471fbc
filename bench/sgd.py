"""SGD on the CPU that spends nothing on the words that a batch has not read.

Of 10,000 word embeddings a batch reads a few hundred; the gradients of the others are zeros, which made, measured,
scaled and subtracted like the rest are a sixth of a step of a small LSTM.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SparseSGD(torch.optim.Optimizer):
    """w -= rate * c * gradient, with c = min(1, clip / norm of all gradients) as ``torch.nn.utils.clip_grad_norm_``'s.

    The model's embeddings have sparse gradients from here on.
    """

    def __init__(self, model: nn.Module, rate: float) -> None:
        super().__init__([p for p in model.parameters() if p.requires_grad], {"lr": rate})
        self.scale: float | Tensor = 1.0
        for part in model.modules():
            if isinstance(part, nn.Embedding):
                part.sparse = True

    @torch.no_grad()
    def clip(self, largest: float) -> None:
        """Scale the next step by what the gradients that are there now ask for."""
        norms = []
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                p.grad = p.grad.coalesce() if p.grad.is_sparse else p.grad
                norms.append(torch.linalg.vector_norm(p.grad.values() if p.grad.is_sparse else p.grad))
        self.scale = (largest / (torch.linalg.vector_norm(torch.stack(norms)) + 1e-6)).clamp(max=1.0)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by = -group["lr"] * float(self.scale)
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=by)
