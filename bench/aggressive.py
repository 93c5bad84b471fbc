"""Aggressive training of the inference network (He et al. 2019, "Lagging Inference Networks", Algorithm 1).

While z says ever more of x, the encoder is trained to where the loss no longer falls before the decoder takes a single
step. The numbers are the public code's; what says when to stop is not quite, see :func:`mutual_information`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.batch import Sequences, sorted_batches

if TYPE_CHECKING:
    from bench.methods.base import Method
    from bench.stepper import Work

STEPS = 99  # of the encoder at most, before one of the decoder
WINDOW = 15  # steps whose mean loss a word is compared with that of the steps before


def train_ahead(
    method: Method, parts: Sequence[str], batches: Iterable[Work], backward: Callable[[Work], Tensor],
    apply: Callable[[Sequence[str]], None],
) -> None:  # fmt: skip
    """Steps of ``parts`` alone, on a step's own batch and then on others, until a window is worse than the last.

    ``backward`` leaves gradients in the parameters and gives the loss first; ``apply`` takes a step with all parts but
    those it is given.
    """
    others = [name for name, _ in method.named_children() if name not in parts]
    before, nats, words = inf, 0.0, 0
    for step, work in enumerate(batches, 1):
        nats, words = nats + float(backward(work)[0]) * work.texts, words + work.tokens
        apply(others)
        if step % WINDOW == 0:
            if nats / words > before:
                return
            before, nats, words = nats / words, 0.0, 0
        if step == STEPS:
            return


@torch.no_grad()
def mutual_information(method: Method, sequences: Sequences, batch_size: int, seed: int) -> float:
    """I(x; z) under q of a validation set of N, nats: mean of log q(z_i|x_i) - log (1/N) sum_j q(z_i|x_j).

    At most log N. The public code's is a mean over batches of 32 texts of one length, and so at most log 32 and without
    what z says of a text's length.
    """
    from bench.metrics import aggregate

    method.eval()
    torch.manual_seed(seed)
    device = next(method.parameters()).device
    drawn = []
    for _, batch in sorted_batches(sequences, batch_size):
        posterior = method.posterior(batch.to(device))
        drawn.append(
            [part.double().cpu().numpy() for part in (posterior.sample(1)[0], posterior.mean, posterior.logvar)]
        )
    z, mean, logvar = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    full = aggregate.log_aggregate(z, mean, logvar, torch.get_num_threads())
    return float((aggregate.log_density(z, mean, logvar) - full).mean())
