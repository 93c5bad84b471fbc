"""-log p of tokens from hidden states, in the memory of one matrix of logits.

The softmax over the vocabulary is most of what training costs. Cross entropy as one composes it holds three matrices of
[tokens, V]: logits, their log-softmax, and its gradient. Here one matrix is all three in turn, and it is [V, tokens]:
the libraries' matrix products are faster by a tenth that way round, on the CPU. In bfloat16 on the CPU it is
[tokens, V], of exponentials in bfloat16. Where it would be very large it is made for some of the tokens at a time, and
once more for their gradients.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

WORDS_AT_ONCE = 2048  # whose scores are held at a time where products are of bfloat16, on the CPU
AT_ONCE = {"cpu": 1 << 28, "cuda": 1 << 30}  # logits held at a time: at most 1 GiB, 4 GiB


def linear_nll(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(weight @ h)[target] of each h of ``hidden`` [N, d]; weight [V, d], targets [N]; nats: [N].

    Of ``hidden`` in bfloat16 the products are of bfloat16 numbers, the softmax among them; sums, logits and likelihoods
    are in float32. On the CPU what comes out of the products of gradients is rounded to bfloat16, too.
    """
    on_cpu = hidden.dtype == torch.bfloat16 and not hidden.is_cuda
    graded = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    function = partial(_LoweredNLL.apply, graded) if on_cpu else _LinearNLL.apply
    tokens = max(1, AT_ONCE[weight.device.type] // len(weight))
    if len(targets) <= tokens:
        nll: Tensor = function(hidden, weight, targets)
        return nll
    return torch.cat([
        checkpoint(function, part, weight, of_part, use_reentrant=False, preserve_rng_state=False)
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
    """The same in bfloat16 on the CPU, where products may take a tenth of the time, and passes over memory as long.

    So scores are made of some words at a time, few enough for the caches, and their exponentials kept in bfloat16 for
    the gradients. They are relative to the largest score so far, which ``shares`` put right: a number a token. Those of
    targets are left out: p - 1 would be lost in the rounding of p where it is near 1, and is made in float32.
    """

    @staticmethod
    def forward(ctx: Any, graded: bool, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        read, low = hidden.float(), weight.bfloat16()
        scores = read.new_empty(len(read), min(len(weight), WORDS_AT_ONCE))
        largest, total = torch.full_like(read[:, :1], float("-inf")), torch.zeros_like(read[:, :1])  # of words so far
        weights, shifts = [], []  # of some words each
        for first, words in zip(itertools.count(0, WORDS_AT_ONCE), low.split(WORDS_AT_ONCE), strict=False):
            with lowered():
                of_words = torch.mm(read, words.float().T, out=scores[:, : len(words)])
            before, largest = largest, torch.maximum(largest, of_words.amax(1, keepdim=True))
            total = total * (before - largest).exp_() + of_words.sub_(largest).exp_().sum(1, keepdim=True)
            if graded:
                here = ((targets >= first) & (targets < first + len(words))).nonzero()[:, 0]
                of_words[here, targets[here] - first] = 0.0
                weights.append(of_words.bfloat16())
                shifts.append(largest)
        log_sum = total.log_().add_(largest)
        nll = log_sum[:, 0] - (read * low[targets].float()).sum(1)
        ctx.save_for_backward(hidden, low, targets, nll, *weights, *((shift - log_sum).exp_() for shift in shifts))
        return nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None]:
        """softmax - onehot(target), times the gradient of each, through the linear map."""
        hidden, low, targets, nll, *kept = ctx.saved_tensors
        weighted, of_hidden = hidden.float() * gradient[:, None], torch.zeros_like(hidden, dtype=torch.float32)
        of_weight = torch.empty_like(low, dtype=torch.float32)
        weights_of, shares = kept[: len(kept) // 2], kept[len(kept) // 2 :]
        parts = zip(low.split(WORDS_AT_ONCE), of_weight.split(WORDS_AT_ONCE), weights_of, shares, strict=True)
        for words, of_words, weights, share in parts:
            of_words.copy_(weights.T @ (weighted * share).bfloat16())
            of_hidden.addcmul_((weights @ words).float(), share)
        at_target = nll.neg().expm1_()[:, None]
        of_weight.index_add_(0, targets, weighted * at_target)
        of_hidden.addcmul_(low[targets].float(), at_target).mul_(gradient[:, None])
        return None, of_hidden.to(hidden.dtype), of_weight, None


@contextlib.contextmanager
def lowered(low: bool = True) -> Iterator[None]:
    """Products of float32 matrices may be of their roundings to bfloat16, summed and given in float32.

    They are on CPUs with AMX; on others, even those with ``avx512_bf16``, oneDNN leaves them in float32.
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
