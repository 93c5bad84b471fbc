"""What training minimises: pure functions of a step and of the parts of the negative ELBO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bench.methods.base import Terms

BETA_MIN = 1e-5  # DELLA A.1: the weight "keeps 1e-5 in the first half" of a cycle, not 0


def beta(kind: str, step: int, period: int, total: int) -> float:
    """Weight of the KL term at 0-based ``step``.

    "cyclical" (DELLA A.1; Fu et al. 2019): over each period of steps, BETA_MIN for the first half, a linear ramp to 1
    over the next quarter, 1 for the last quarter. "linear": a ramp to 1 over one period, from its first step, then 1.
    "half_cycles" (Fu et al. 2019, R = 0.5): over each period a linear ramp from 0 to 1 in its first half, then 1;
    with no room for a ramp always 1.
    "one_cycle" (Li et al. 2020, Optimus): such a cycle once, over the whole training, and 0 in its first half.
    "constant": 1. ``total`` cuts a cycle longer than the whole training to the training's length.
    """
    period = min(period, total)
    match kind:
        case "constant":
            return 1.0
        case "linear":
            return min(1.0, (step + 1) / period)
        case "cyclical":
            position = (step % period + 1) / period
            return min(1.0, max(BETA_MIN, (position - 0.5) * 4))
        case "half_cycles":
            return min(1.0, (step % period) / period * 2) if period > 1 else 1.0
        case "one_cycle":
            return min(1.0, max(0.0, ((step + 1) / total - 0.5) * 4))
    raise ValueError(f"unknown annealing '{kind}'")


def loss(terms: Terms, beta: float | Tensor, kl_reduction: str, free_bits: float = 0.0) -> Tensor:
    """Mean over examples of rec + beta * KL + the cost of a latent sequence's length + what tricks add, nats.

    KL is the sum over groups (the bound), their mean ("mean_groups": DELLA's released training code), or that of one
    group ("first", "last": DELLA Table 4), always of the groups that an example has. With ``free_bits`` dimensions
    whose KL is at most that many nats have no part in it (Li et al. 2020, Optimus: a mask a dimension and example).
    """
    loss = sum((part for part in (terms.auxiliary, terms.length) if part is not None), terms.rec)
    dims = terms.kl_dims
    if dims.shape[1] == 0:
        return loss.mean()
    groups = torch.where(dims > free_bits, dims, 0).sum(-1) if free_bits else dims.sum(-1)
    used = torch.full_like(groups[:, 0], groups.shape[1]).long() if terms.used is None else terms.used
    match kl_reduction:
        case "sum":
            kl = groups.sum(-1)
        case "mean_groups":
            kl = groups.sum(-1) / used
        case "first":
            kl = groups[:, 0]
        case "last":
            kl = groups.gather(1, used[:, None] - 1)[:, 0]
        case _:
            raise ValueError(f"unknown reduction '{kl_reduction}'")
    return (loss + beta * kl).mean()


def learning_rate(step: int, total: int, peak: float, warmup: int, decay: str) -> float:
    """Linear warm-up over ``warmup`` steps, then constant, or linear decay that reaches 0 after the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak if decay == "constant" else peak * (total - step) / max(1, total - warmup)
