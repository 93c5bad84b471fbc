"""Tensors on disk, as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import atomic

if TYPE_CHECKING:
    from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """As safetensors, whole or not at all: the library's own writer neither flushes to disk nor raises an OSError."""
    from safetensors.torch import save

    with atomic(path, "wb") as stream:
        stream.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
