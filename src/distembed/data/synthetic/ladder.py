r"""A ladder of priors in five dimensions, whose sets differ in moments of increasing order.

    a   mean ~ N(0, 4 I),  covariance of trace 5 s, s ~ U[0.3, 2.5], its shape the inverse of
        Wishart(20, I): distances are mostly those of the means
    b   mean 0, covariance as in a with 8 degrees of freedom: sets differ in covariance alone
    c   three components: means ~ U[0, 5]^5, covariances the inverse of Wishart(40, I), weights ~
        Dirichlet(1, 1, 1); whitened by the inverse Cholesky factor of the mixture's covariance,
        so that all have mean 0 and covariance I: sets differ in moments of order three and above

W2 is exact for a and b (`Gaussians.w2`). For c it has no formula and is measured on samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.data.synthetic.gaussians import Gaussians, Mixtures, whitened
from distembed.data.synthetic.wishart import inverse_wishart
from distembed.rng import stream

__all__ = ["ladder_a", "ladder_b", "ladder_c"]

DIMENSIONS, COMPONENTS = 5, 3


def ladder_a(sets: int, size: int = 64, seed: int = 0) -> Gaussians:
    """Draw Gaussians that differ in mean, scale and shape.

    Args:
        sets: Number of sets.
        size: Atoms of each.
        seed: Of the parameters and of the atoms.

    Example:
        >>> ladder_a(2).batch([0, 1]).sizes.tolist()
        [64, 64]
    """
    rng = stream(seed, "ladder a")
    mean = 2 * torch.randn(sets, DIMENSIONS, generator=rng, dtype=torch.float64)
    return Gaussians(mean, _scaled(sets, 20, rng), size, seed)


def ladder_b(sets: int, size: int = 64, seed: int = 0) -> Gaussians:
    """Draw Gaussians of mean zero that differ in scale and shape; arguments as of `ladder_a`."""
    rng = stream(seed, "ladder b")
    return Gaussians(torch.zeros(sets, DIMENSIONS), _scaled(sets, 8, rng), size, seed)


def ladder_c(sets: int, size: int = 64, seed: int = 0) -> Mixtures:
    """Draw mixtures of mean zero and covariance one; arguments as of `ladder_a`."""
    rng = stream(seed, "ladder c")
    shape = (sets, COMPONENTS)
    mean = 5 * torch.rand(*shape, DIMENSIONS, generator=rng, dtype=torch.float64)
    cov = inverse_wishart(sets * COMPONENTS, DIMENSIONS, 40, rng).unflatten(0, shape)
    # normalised exponentials are Dirichlet(1, 1, 1)
    uniform = torch.rand(shape, generator=rng, dtype=torch.float64)
    weights = -torch.log1p(-uniform)
    return whitened(Mixtures(weights, mean, cov, size, seed), "cholesky")


def _scaled(sets: int, df: int, rng: torch.Generator) -> Tensor:
    """Draw inverse Wishart matrices, scaled to trace 5 s with s uniform in [0.3, 2.5]."""
    cov = inverse_wishart(sets, DIMENSIONS, df, rng)
    s = 0.3 + 2.2 * torch.rand(sets, generator=rng, dtype=torch.float64)
    trace = cov.diagonal(dim1=1, dim2=2).sum(1)
    return cov * (DIMENSIONS * s / trace)[:, None, None]
