"""Reduced precision, for the matrix products of networks and for nothing else.

Closed forms, pooling, moments and solvers would be wrong in bfloat16; only the layers that ask for
`reduced` get it, while a run has switched it on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

__all__ = ["reduced", "reduced_to"]

_DTYPE: ContextVar[torch.dtype | None] = ContextVar("distembed_reduced", default=None)


@contextlib.contextmanager
def reduced_to(dtype: torch.dtype | None) -> Iterator[None]:
    """Let layers inside the context compute in a type, or in their own where it is None."""
    token = _DTYPE.set(dtype)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def reduced(device: torch.device) -> torch.autocast:
    """Autocast on a device if a run has switched it on."""
    dtype = _DTYPE.get()
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
