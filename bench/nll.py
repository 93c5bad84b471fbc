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

    Of ``hidden`` in bfloat16 the products are of bfloat16 numbers; sums, logits and the softmax are in float32. On the
    CPU the products of the gradients are also given in bfloat16.
    """
    on_cpu = hidden.dtype == torch.bfloat16 and not hidden.is_cuda
    function: type[torch.autograd.Function] = _LoweredNLL if on_cpu else _LinearNLL
    tokens = max(1, AT_ONCE[weight.device.type] // len(weight))
    if len(targets) <= tokens:
        nll: Tensor = function.apply(hidden, weight, targets)
        return nll
    return torch.cat([
        checkpoint(function.apply, part, weight, of_part, use_reentrant=False, preserve_rng_state=False)
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

    So scores are made of some words at a time, few enough for the caches, and their exponentials kept in bfloat16 for
    the gradients. They are relative to the largest score so far, which ``shares`` put right: one number for a token.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        read, low = hidden.float(), weight.bfloat16()
        scores = read.new_empty(len(read), min(len(weight), WORDS_AT_ONCE))
        largest, total = torch.full_like(read[:, :1], float("-inf")), torch.zeros_like(read[:, :1])  # of words so far
        keep = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        weights, shifts = [], []  # of some words each
        for words in low.split(WORDS_AT_ONCE):
            with lowered():
                of_words = torch.mm(read, words.float().T, out=scores[:, : len(words)])
            before, largest = largest, torch.maximum(largest, of_words.amax(1, keepdim=True))
            total = total * (before - largest).exp_() + of_words.sub_(largest).exp_().sum(1, keepdim=True)
            if keep:
                weights.append(of_words.bfloat16())
                shifts.append(largest)
        log_sum = total.log_().add_(largest)
        ctx.save_for_backward(hidden, low, targets, *weights, *((shift - log_sum).exp_() for shift in shifts))
        return log_sum[:, 0] - (read * low[targets].float()).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """The softmax times the gradient of each, through the linear map; onehot(target) apart."""
        hidden, low, targets, *kept = ctx.saved_tensors
        weighted, of_hidden = hidden.float() * gradient[:, None], torch.zeros_like(hidden, dtype=torch.float32)
        of_weight = torch.empty_like(low, dtype=torch.float32)
        weights_of, shares = kept[: len(kept) // 2], kept[len(kept) // 2 :]
        parts = zip(low.split(WORDS_AT_ONCE), of_weight.split(WORDS_AT_ONCE), weights_of, shares, strict=True)
        for words, of_words, weights, share in parts:
            of_words.copy_(weights.T @ (weighted * share).bfloat16())
            of_hidden.addcmul_((weights @ words).float(), share)
        of_weight.index_add_(0, targets, weighted, alpha=-1)
        of_hidden.sub_(low[targets].float()).mul_(gradient[:, None])
        return of_hidden.to(hidden.dtype), of_weight, None


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
