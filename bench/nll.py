"""-log p of tokens from hidden states, in the memory of one matrix of logits.

The softmax over the vocabulary is most of what training costs. Cross entropy as one composes it holds three matrices of
[tokens, V]: logits, their log-softmax, and its gradient. Here one matrix is all three in turn, and it is [V, tokens]:
the libraries' matrix products are faster by a tenth that way round, on the CPU. Where it would be very large it is made
for some of the tokens at a time, and once more for their gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

AT_ONCE = {"cpu": 1 << 28, "cuda": 1 << 30}  # logits held at a time: 1 GiB, 4 GiB


def linear_nll(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(weight @ h)[target] of each h of ``hidden`` [N, d]; weight [V, d], targets [N]; nats: [N].

    Of ``hidden`` in bfloat16 the products are of bfloat16 numbers; sums, logits and the softmax are in float32.
    """
    tokens = max(1, AT_ONCE[weight.device.type] // len(weight))
    if len(targets) <= tokens:
        nll: Tensor = _LinearNLL.apply(hidden, weight, targets)
        return nll
    return torch.cat([
        checkpoint(_LinearNLL.apply, part, weight, of_part, use_reentrant=False, preserve_rng_state=False)
        for part, of_part in zip(hidden.split(tokens), targets.split(tokens), strict=True)
    ])  # fmt: skip


class _LinearNLL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        scores = _product(weight.to(hidden.dtype), hidden.T)
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
        softmax = softmax.to(hidden.dtype)
        of_hidden = _product(softmax.T, weight.to(hidden.dtype)).to(hidden.dtype)
        return of_hidden, _product(softmax, hidden), None


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, of bfloat16 matrices summed in, and given in, float32."""
    if a.dtype != torch.bfloat16:
        return a @ b
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()
