r"""Transforms of single numbers: $y = \log(1 + x)$ and $y = \operatorname{asinh}(x / c)$.

With a library size c, $y = \log(1 + c x / \sum x)$, whose inverse returns counts per c: the sum of
an atom is lost.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

__all__ = ["Arcsinh", "Log1p"]


class Log1p(nn.Module):
    """Map x to log(1 + x), with `scale` after dividing each atom by its sum over features.

    With a scale the inverse returns entries that sum to about `scale`, because the sum of the atom
    is lost. An atom of zeros stays one.

    Args:
        scale: Library size that every atom is normalised to, such as 1e4; None for no
            normalisation.

    Raises:
        ValueError: If an atom has a negative entry, or the scale is not positive.
    """

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"scale = {scale}; a library size is positive.")
        self.scale = scale

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"scale": self.scale}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Check that the atoms can be mapped; there is nothing to fit."""
        self.forward(x)
        return self

    def fit_masked(self, x: Tensor, w: Tensor, observed: Tensor) -> Self:
        """Check as `fit`.

        Raises:
            ValueError: If atoms are divided by their sums, which missing values have no part in.
        """
        if self.scale is not None:
            raise ValueError(
                f"log1p with scale = {self.scale:g} divides atoms by their sums, and values are "
                "missing. Leave the scale out, or leave out the features that are not measured."
            )
        return self.fit(x, w)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        if bool((x < 0).any()):
            raise ValueError(
                f"log1p is for counts and other numbers >= 0, and an atom holds "
                f"{float(x.min()):.4g}. Use arcsinh where values may be negative, or leave logged "
                "data as they are."
            )
        if self.scale is None:
            return torch.log1p(x)
        if x.ndim < 2:
            raise ValueError("A library size is a sum over features; these atoms are numbers.")
        total = x.sum(-1, keepdim=True)
        return torch.log1p(x * (self.scale / torch.where(total > 0, total, 1)))

    def inverse(self, y: Tensor) -> Tensor:
        """Return exp(y) - 1, at least 0."""
        return torch.expm1(y).clamp_min(0)

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shapes stay."""
        return shape


class Arcsinh(nn.Module):
    """Map x to asinh(x / cofactor): linear near zero, logarithmic for large values of any sign.

    Args:
        cofactor: Scale of the linear range; usual are 5 in mass and 150 in fluorescence cytometry.

    Raises:
        ValueError: If the cofactor is not positive.
    """

    def __init__(self, cofactor: float = 1.0) -> None:
        super().__init__()
        if not cofactor > 0:
            raise ValueError(f"cofactor = {cofactor}; it is a positive number.")
        self.cofactor = cofactor

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"cofactor": self.cofactor}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Return self; there is nothing to fit."""
        return self

    def fit_masked(self, x: Tensor, w: Tensor, observed: Tensor) -> Self:
        """Return self; there is nothing to fit."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        return torch.asinh(x / self.cofactor)

    def inverse(self, y: Tensor) -> Tensor:
        """Return sinh(y) * cofactor."""
        return torch.sinh(y) * self.cofactor

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shapes stay."""
        return shape
