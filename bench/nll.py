"""-log p of tokens from hidden states, in the memory of one matrix of logits.

The softmax over the vocabulary is most of what training costs. Cross entropy as one composes it holds three matrices of
[tokens, V]: logits, their log-softmax, and its gradient. Here one matrix is all three in turn, and it is [V, tokens]:
the libraries' matrix products are faster by a tenth that way round, on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_nll(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(weight @ h)[target] of each h of ``hidden`` [N, d]; weight [V, d], targets [N]; nats: [N]."""
    nll: Tensor = _LinearNLL.apply(hidden, weight, targets)
    return nll


class _LinearNLL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        scores = weight @ hidden.T
        chosen = scores.gather(0, targets[None])[0]
        largest = scores.amax(0)
        weights = scores.sub_(largest).exp_()
        total = weights.sum(0)
        ctx.save_for_backward(hidden, weight, targets, weights, total)  # as fields they would outlive the step
        return total.log() + largest - chosen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """softmax - onehot(target), times the gradient of each, through the linear map."""
        hidden, weight, targets, weights, total = ctx.saved_tensors
        softmax = weights.mul_(gradient / total)
        softmax[targets, torch.arange(len(targets), device=targets.device)] -= gradient
        return softmax.T @ weight, softmax @ hidden, None
