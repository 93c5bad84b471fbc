"""The passes through a backbone's blocks as a suite wants them trained: in bfloat16, compiled, or as they are.

Weights, the optimiser, everything latent, KL and log-softmax stay in float32: of a mean or a log-variance, bfloat16
would leave three digits. Validation and likelihoods are in float32 throughout, since they are the numbers that are
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from bench.backbones.base import Backbone
from bench.errors import BenchError
from bench.schema import Training


class Passes:
    """A context in which ``encode`` and ``decode`` of one backbone are replaced, where the plan has anything to change.

    In bfloat16 ``encode`` still returns float32, for the latent variables; ``decode`` returns bfloat16, for
    :func:`bench.nll.linear_nll`.
    """

    def __init__(self, backbone: Backbone, plan: Training) -> None:
        self.backbone = backbone
        self.replaced: dict[str, Callable[..., Any]] = {}
        if plan.precision == "float32" and not plan.compile:
            return
        self.replaced = {"encode": backbone.encode, "decode": backbone.decode}
        if plan.compile:
            self.replaced = {name: _compiled(run) for name, run in self.replaced.items()}
        if plan.precision == "bfloat16":
            encode, decode = (_in_bfloat16(run) for run in self.replaced.values())
            self.replaced = {
                "encode": lambda *given: [states.float() for states in encode(*given)],
                "decode": lambda *given, **more: decode(*given, **more).bfloat16(),
            }

    def __enter__(self) -> None:
        for name, run in self.replaced.items():
            setattr(self.backbone, name, run)

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        for name in self.replaced:
            delattr(self.backbone, name)


def _in_bfloat16(run: Callable[..., Any]) -> Callable[..., Any]:
    def lowered(ids: Tensor, *given: Any, **more: Any) -> Any:
        with torch.autocast(ids.device.type, torch.bfloat16):
            return run(ids, *given, **more)

    return lowered


def _compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """Once for all lengths and numbers of texts."""
    from torch._dynamo.exc import TorchDynamoException

    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())  # tells the compiler too
    quick = torch.compile(run, dynamic=True)

    def compiled(*given: Any, **more: Any) -> Any:
        try:
            return quick(*given, **more)
        except TorchDynamoException as error:
            why = getattr(error, "inner_exception", error)
            first = next(iter(str(why).splitlines()), "")
            raise BenchError(f"training.compile: PyTorch cannot: {type(why).__name__}: {first}") from None

    return compiled
