r"""Random covariances from the inverse Wishart distribution.

$\Sigma^{-1} = s\, G^\top G$, $G \in \mathbb{R}^{\nu \times d}$ standard normal, so that
$\mathbb{E} \Sigma = I / (s (\nu - d - 1))$ where $\nu > d + 1$. The fewer degrees of freedom
$\nu$, the more the shapes of two draws differ.

| Applied multivariate statistical analysis (Mardia, Kent, Bibby, 1979), section 3.8
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["inverse_wishart"]


def inverse_wishart(
    count: int, d: int, df: int, rng: torch.Generator, scale: float = 1.0
) -> Tensor:
    """Draw covariances whose inverses are Wishart, `(count, d, d)` float64.

    Args:
        count: Number of matrices.
        d: Dimensions.
        df: Degrees of freedom, an integer of at least d.
        rng: Source of the draw.
        scale: Scale of the Wishart distribution of the precision.

    Raises:
        ValueError: If `df < d`, where the inverse does not exist.

    Example:
        >>> inverse_wishart(3, 2, 10, torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2, 2])
    """
    if df < d:
        raise ValueError(f"df = {df} is below d = {d}: no Wishart draw can be inverted.")
    g = torch.randn(count, df, d, generator=rng, dtype=torch.float64)
    cov: Tensor = torch.linalg.inv(scale * g.mT @ g)
    return (cov + cov.mT) / 2
