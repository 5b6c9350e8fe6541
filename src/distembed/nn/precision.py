"""Reduced precision for the matrix products of networks.

Closed forms, pooling, moments and solvers would be wrong in bfloat16. Only layers inside a
`reduced` context use it, and only while a run has enabled it with `reduced_to`.
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
    """Set the type that `reduced` layers compute in; None leaves them in their own."""
    token = _DTYPE.set(dtype)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def reduced(device: torch.device) -> torch.autocast:
    """Return an autocast context, enabled inside `reduced_to`."""
    dtype = _DTYPE.get()
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
