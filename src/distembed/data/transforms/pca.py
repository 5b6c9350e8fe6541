r"""Principal components of weighted atoms, as a transform.

With $p_i = w_i / \sum w$, mean $\mu = \sum p_i x_i$ and covariance
$C = \sum p_i (x_i - \mu)(x_i - \mu)^T$, the transform is $y = V^T (x - \mu)$, V the K leading
eigenvectors of C, and its inverse $\mu + V y$: of all K-dimensional affine images the one of
least expected squared error.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from distembed.data.transforms.base import (
    as_floating,
    floating,
    positive_part,
    refuse_unfitted,
    take_shapes,
)
from distembed.nn.subspace import leading_subspace

__all__ = ["PCA"]


class PCA(nn.Module):
    """Project atoms, flattened, on the leading eigenvectors of their weighted covariance.

    The covariance is decomposed exactly up to 2,048 features; beyond, its leading subspace is
    computed by power iterations from a random start (Halko et al. 2011, arXiv 0909.4061). The
    largest entry of each component is positive. The inverse is the point of the subspace, which is
    the atom itself if all D components are kept.

    Args:
        components: Number of components, K.

    Raises:
        ValueError: If K is not positive or exceeds the features or atoms, or the transform is used
            before it is fitted.
    """

    exact_up_to: ClassVar[int] = 2048

    mean: Tensor
    axes: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components = {components}; at least one is needed.")
        self.components = components
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("axes", torch.empty(0))
        self.register_load_state_dict_pre_hook(take_shapes)  # type: ignore[no-untyped-call]

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"components": self.components}

    def fit(self, x: Tensor, w: Tensor) -> Self:
        """Decompose the weighted covariance of `(N, *event)`, in float64."""
        atoms, p = positive_part(x, w)
        mean = torch.tensordot(p, atoms, 1)
        root = ((atoms - mean) * p.sqrt().reshape(-1, *[1] * mean.ndim)).flatten(1)
        if self.components > min(root.shape):
            raise ValueError(
                f"components = {self.components}, but there are {root.shape[0]} atoms of "
                f"{root.shape[1]} features; ask for no more than either."
            )
        if root.shape[1] <= self.exact_up_to:
            axes = torch.linalg.eigh(root.mT @ root).eigenvectors.flip(1)[:, : self.components]
        else:
            axes, _ = leading_subspace(root, self.components)
        sign = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        self.mean = mean.to(floating(x))
        self.axes = (axes * sign).mT.contiguous().to(floating(x))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., *event)` to `(..., K)`."""
        refuse_unfitted(self.axes, "pca")
        x = as_floating(x)
        lead = x.shape[: x.ndim - self.mean.ndim]
        return (x - self.mean.to(x)).reshape(*lead, -1) @ self.axes.to(x).mT

    def inverse(self, y: Tensor) -> Tensor:
        """Map `(..., K)` to the point `(..., *event)` of the subspace."""
        refuse_unfitted(self.axes, "pca")
        flat = y @ self.axes.to(y)
        return flat.reshape(*y.shape[:-1], *self.mean.shape) + self.mean.to(y)

    def event_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(K,)`."""
        return (self.components,)
