"""-log p of tokens from their logits, in the memory of the logits.

The softmax over the vocabulary is most of what training costs. Cross entropy as one composes it holds three matrices of
[tokens, V]: logits, their log-softmax, and its gradient. Here one matrix is all three in turn.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def token_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(logits)[target] of logits [N, V] and targets [N], nats: [N]. The logits are gone afterwards.

    They must be the output of an operation that does not look at it again for its gradient: a linear map's.
    """
    nll: Tensor = _TokenNLL.apply(logits, targets)[1]
    return nll


class _TokenNLL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        chosen = logits.gather(1, targets[:, None])[:, 0]
        largest = logits.amax(-1)
        weights = logits.sub_(largest[:, None]).exp_()
        total = weights.sum(-1)
        ctx.mark_dirty(logits)
        ctx.save_for_backward(weights, total, targets)  # as a field of ctx it would live until the next collection
        return logits, total.log() + largest - chosen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, gradient: Tensor) -> tuple[Tensor, None]:
        """softmax(logits) - onehot(target), times the gradient of each."""
        weights, total, targets = ctx.saved_tensors
        softmax = weights.mul_((gradient / total)[:, None])
        softmax[torch.arange(len(targets), device=targets.device), targets] -= gradient
        return softmax, None
