"""The passes through a backbone's blocks as a suite wants them trained: in bfloat16, compiled, or as they are.

Weights, the optimiser, everything latent, KL, logits and likelihoods stay in float32, and on a GPU the recurrence of
LSTMs: of a mean or a log-variance, bfloat16 would leave three digits. Validation and likelihoods are in float32
throughout, since they are the numbers that are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from bench.backbones.lstm import LSTMEncoder
from bench.errors import BenchError
from bench.methods.base import Method
from bench.schema import Training


class Passes:
    """A context in which ``encode`` and ``decode`` of a method's backbone, and an LSTM encoder that is trained beside
    it, are replaced, where the plan has anything to change. An encoder that is not trained stays as validation has it.

    In bfloat16 encoders still return float32, for the latent variables; ``decode`` returns bfloat16, for
    :func:`bench.nll.linear_nll`.
    """

    def __init__(self, method: Method, plan: Training) -> None:
        backbone = method.backbone
        self.replaced: dict[tuple[nn.Module, str], Callable[..., Any]] = {}
        if plan.precision == "float32" and not plan.compile:
            return
        encode, decode = backbone.encode, backbone.decode
        if plan.compile:
            encode, decode = _compiled(encode), _compiled(decode)
        if plan.precision == "bfloat16":
            device = backbone.output_weight.device.type
            encode, decode = _in_bfloat16(encode, device, torch.float32), _in_bfloat16(decode, device, torch.bfloat16)
            for part in method.children():
                if isinstance(part, LSTMEncoder) and any(weight.requires_grad for weight in part.parameters()):
                    self.replaced[part, "forward"] = _in_bfloat16(part.forward, device, torch.float32)
        self.replaced |= {(backbone, "encode"): encode, (backbone, "decode"): decode}

    def __enter__(self) -> None:
        for (part, name), run in self.replaced.items():
            setattr(part, name, run)

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        for part, name in self.replaced:
            delattr(part, name)


def _in_bfloat16(run: Callable[..., Any], device: str, out: torch.dtype) -> Callable[..., Any]:
    """Its matrix products in bfloat16; what it returns, a tensor or several, as ``out``."""

    def lowered(*given: Any, **more: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            found = run(*given, **more)
        return found.to(out) if isinstance(found, Tensor) else [each.to(out) for each in found]

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
