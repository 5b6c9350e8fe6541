r"""Standardisation, $y = (x - \mu) / \sigma$, with weighted moments in float64."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from distembed.data.transforms.base import (
    as_floating,
    floating,
    positive_part,
    refuse_unfitted,
    take_shapes,
)

__all__ = ["Standardise"]


class Standardise(nn.Module):
    """Scale atoms to mean 0 and standard deviation 1.

    A constant feature is stored, not modelled: it is mapped to 0, and the inverse returns the
    constant for any value.

    Args:
        over: "feature" for one mean and deviation a feature, "all" for a single one, as for
            images, whose pixels share a unit.
        low: Least number that the inverse returns, such as 0 for counts; any if None.

    Raises:
        ValueError: If `over` is neither, or the transform is used before it is fitted.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, over: str = "feature", low: float | None = None) -> None:
        super().__init__()
        if over not in ("feature", "all"):
            raise ValueError(f"over = {over!r}; choose 'feature' or 'all'.")
        self.over, self.low = over, low
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("deviation", torch.empty(0))
        self.register_load_state_dict_pre_hook(take_shapes)  # type: ignore[no-untyped-call]

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"over": self.over, "low": self.low}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Compute weighted moments of `(N, *event)`, in float64."""
        atoms, p = positive_part(x, w)
        mean = torch.tensordot(p, atoms, 1)
        variance = torch.tensordot(p, (atoms - mean).square(), 1)
        low, high = atoms.amin(0), atoms.amax(0)
        if self.over == "all":
            variance = (variance + (mean - mean.mean()).square()).mean()
            mean, low, high = mean.mean(), low.min(), high.max()
        # a deviation of zero marks a constant, whose mean is stored to the last bit
        constant = low == high
        self.mean = torch.where(constant, low, mean).to(floating(x))
        self.deviation = torch.where(constant, 0, variance.sqrt()).to(floating(x))
        return self

    def fit_masked(self, x: Tensor, w: Tensor, observed: Tensor) -> Self:
        """Compute weighted moments of the measured values, feature by feature."""
        flat, mask = x.reshape(len(x), -1), observed.reshape(len(x), -1)
        if self.over == "all":
            return self.fit(flat[mask], w.repeat_interleave(mask.sum(1)))
        fitted = [
            (one.mean, one.deviation)
            for one in (
                Standardise().fit(flat[mask[:, j], j], w[mask[:, j]]) for j in range(flat.shape[1])
            )
        ]
        self.mean, self.deviation = (
            torch.stack(part).reshape(x.shape[1:]) for part in zip(*fitted, strict=True)
        )
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)`."""
        refuse_unfitted(self.mean, "standardise")
        x = as_floating(x)
        deviation = self.deviation.to(x)
        scaled = (x - self.mean.to(x)) / torch.where(deviation > 0, deviation, 1)
        return torch.where(deviation > 0, scaled, 0)

    def inverse(self, y: Tensor) -> Tensor:
        """Return y * deviation + mean, at least `low`."""
        refuse_unfitted(self.mean, "standardise")
        x = y * self.deviation.to(y) + self.mean.to(y)
        return x if self.low is None else x.clamp_min(self.low)

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shapes stay."""
        return shape
