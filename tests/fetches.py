"""Operations that a GPU has to be waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, bool

FETCHES = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal"}
CONSTANTS = {"lift_fresh"}  # made of a number on the host: copied from memory that is not pinned


def fetch(func: Any, args: Sequence[Any]) -> str:
    """The name of an operation that fetches something from a device, or sends it a number; "" of one that does not."""
    name: str = func._schema.name.removeprefix("aten::")
    masks = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
        isinstance(at, Tensor) and at.dtype == bool for at in args[1]
    )
    return name if masks or name in FETCHES | CONSTANTS else ""
