"""The transform protocol, and helpers of fitted transforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

__all__ = [
    "MaskedTransform",
    "Transform",
    "as_floating",
    "floating",
    "positive_part",
    "refuse_unfitted",
    "take_shapes",
]


class Transform(Protocol):
    """A fitted map of atoms to the ground space of a model, and its (pseudo-)inverse."""

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Fit on atoms `(N, *event)` of weights `(N,)`, on any scale."""

    def forward(self, x: Tensor) -> Tensor:
        """Map atoms `(..., *event)`."""

    def inverse(self, y: Tensor) -> Tensor:
        """Map ground atoms back to the units of the data."""

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a mapped atom, given that of an atom."""


@runtime_checkable
class MaskedTransform(Protocol):
    """A transform that maps every feature by itself, and so takes atoms with missing ones."""

    def fit_masked(self, x: Tensor, w: Tensor, observed: Tensor) -> Self:
        """Fit on the measured values of atoms: bool `(N, *event)`."""


def positive_part(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the atoms of positive weight, and their weights summing to one, in float64."""
    if x.ndim < 1 or w.shape != x.shape[:1] or bool((w < 0).any()) or not bool((w > 0).any()):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and w {tuple(w.shape)}; a transform is fitted on atoms "
            "(N, *event) with one weight >= 0 an atom, not all zero."
        )
    atoms, p = x[w > 0].double(), w[w > 0].double()
    return atoms, p / p.sum()


def floating(x: Tensor) -> torch.dtype:
    """Return the type of the state that is fitted on x."""
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def as_floating(x: Tensor) -> Tensor:
    """Convert integers to float32; return floating tensors unchanged."""
    return x if x.is_floating_point() else x.float()


def refuse_unfitted(state: Tensor, name: str) -> None:
    """Raise a ValueError if the state is empty."""
    if not state.numel():
        raise ValueError(f"Transform {name!r} is not fitted; call fit(x, w) or load its state.")


def take_shapes(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Allocate buffers of the shapes and types of a state that is about to be loaded."""
    for name, buffer in module.named_buffers(recurse=False):
        if prefix + name in state:
            setattr(module, name, torch.empty_like(state[prefix + name], device=buffer.device))
