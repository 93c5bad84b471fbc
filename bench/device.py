"""Which device a stage computes on, and the settings that make a CPU repeat itself bit for bit."""

from __future__ import annotations

import os

import torch

from bench.errors import BenchError


def select(name: str, threads: int) -> torch.device:
    """``"cpu"`` or ``"cuda"``, of several processes each its own; a GPU that is not there is one clear line.

    The number of threads is part of a CPU result (sums are split by thread), so it is set, never left to the machine.
    """
    torch.set_num_threads(threads)
    if name == "cpu":
        # oneDNN compiles a kernel for every shape of a product and keeps 1,024, about as many as an epoch of PTB needs
        # with its batches of every length, or fewer. Read when the first product is made.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
        # as use_deterministic_algorithms(True), which also imports PyTorch's compiler: two seconds of every job
        torch.set_deterministic_debug_mode("error")
        # it is never read, and filling it is 7 % of a small model's step
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise BenchError("device 'cuda': PyTorch sees no CUDA GPU here; use --device cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    torch.backends.cudnn.allow_tf32 = False  # on by default for LSTMs: three digits, where a likelihood wants seven
    return torch.device("cuda")


def describe(device: torch.device) -> str:
    """``"cpu"``, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 numbers: GPUs do, and CPUs on which oneDNN does, from AVX-512 on.

    On other CPUs it has no LSTM of them, and PyTorch's own products take longer than those in float32.
    """
    if device.type != "cpu":
        return True
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
