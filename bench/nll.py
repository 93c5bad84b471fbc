"""-log p of tokens from hidden states, in the memory of one matrix of logits.

The softmax over the vocabulary is most of what training costs. Cross entropy as one composes it holds three matrices of
[tokens, V]: logits, their log-softmax, and its gradient. Here one matrix is all three in turn, and it is [V, tokens]:
the libraries' matrix products are faster by a tenth that way round, on the CPU. Where it would be very large it is made
for some of the tokens at a time, and once more for their gradients.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

WORDS_AT_ONCE = 2048  # whose scores are held at a time in bfloat16 on the CPU
AT_ONCE = {"cpu": 1 << 28, "cuda": 1 << 30}  # logits held at a time: 1 GiB, 4 GiB


def linear_nll(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(weight @ h)[target] of each h of ``hidden`` [N, d]; weight [V, d], targets [N]; nats: [N].

    Of ``hidden`` in bfloat16 the products are of bfloat16 numbers; sums, logits and the softmax are in float32.
    """
    if hidden.dtype == torch.bfloat16 and not hidden.is_cuda:
        lower: Tensor = _LoweredNLL.apply(hidden, weight, targets)
        return lower
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


class _LoweredNLL(torch.autograd.Function):
    """The same in bfloat16 on the CPU, where products may take a tenth of the time, and passes over memory do not.

    So scores are made of some words at a time, few enough for the caches, and once more for the gradients.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        read, rounded = hidden.float(), weight.bfloat16().float()
        scores = read.new_empty(len(read), min(len(weight), WORDS_AT_ONCE))
        largest, total = torch.full_like(read[:, :1], float("-inf")), torch.zeros_like(read[:, :1])  # of words so far
        with lowered():
            for words in rounded.split(WORDS_AT_ONCE):
                of_words = torch.mm(read, words.T, out=scores[:, : len(words)])
                before, largest = largest, torch.maximum(largest, of_words.amax(1, keepdim=True))
                total = total * (before - largest).exp_() + of_words.sub_(largest).exp_().sum(1, keepdim=True)
        log_sum = total.log_().add_(largest)
        ctx.save_for_backward(hidden, weight, targets, log_sum)
        return log_sum[:, 0] - (read * rounded[targets]).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """The softmax times the gradient of each, through the linear map; onehot(target) apart."""
        hidden, weight, targets, log_sum = ctx.saved_tensors
        read, rounded, gradient = hidden.float(), weight.bfloat16().float(), gradient[:, None]
        scores = read.new_empty(len(read), min(len(weight), WORDS_AT_ONCE))
        weighted, of_hidden, of_weight = read * gradient, torch.zeros_like(read), torch.empty_like(weight)
        with lowered():
            for words, of_words in zip(rounded.split(WORDS_AT_ONCE), of_weight.split(WORDS_AT_ONCE), strict=True):
                softmax = torch.mm(read, words.T, out=scores[:, : len(words)]).sub_(log_sum).exp_()
                torch.mm(softmax.T, weighted, out=of_words)
                of_hidden.addmm_(softmax, words)
        of_weight.index_add_(0, targets, weighted, alpha=-1)
        return of_hidden.sub_(rounded[targets]).mul_(gradient).to(hidden.dtype), of_weight, None


@contextlib.contextmanager
def lowered(low: bool = True) -> Iterator[None]:
    """Products of float32 matrices may be of their roundings to bfloat16, summed and given in float32.

    They are on CPUs that have instructions for it; on others they stay as they are.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16" if low else before
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, of bfloat16 matrices summed in, and given in, float32."""
    return torch.mm(a, b, out_dtype=torch.float32) if a.dtype == torch.bfloat16 else a @ b
