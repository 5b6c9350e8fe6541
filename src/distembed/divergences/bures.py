r"""The Wasserstein distance of Gaussians, which compares sets by mean and covariance.

For $P_k = N(m_k, C_k)$, and as a lower bound for any two distributions with these moments,

    W_2^2 = |m_1 - m_2|^2 + B^2(C_1, C_2),
    B^2   = tr C_1 + tr C_2 - 2 tr (C_1^{1/2} C_2 C_1^{1/2})^{1/2}
          = min over orthogonal U of |C_1^{1/2} - C_2^{1/2} U|_F^2.

The first form cancels where the covariances are close: its square root is then good to the fourth
root of the rounding error only. The second is a norm, good to rounding everywhere; its minimiser
U is the polar factor of $C_2^{1/2} C_1^{1/2}$.

| On a formula for the L2 Wasserstein metric (Gelbrich, 1990), Theorem 2.1
| On the Bures-Wasserstein distance between positive definite matrices (Bhatia, Jain, Lim, 2019),
  Theorem 1
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, root
from distembed.nn.per_set import moments_per_set
from distembed.nn.sqrtm import sqrtm

__all__ = ["Bures", "bures_w2", "procrustes_w2"]


def bures_w2(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> Tensor:
    """Return the W2 distance of Gaussians, in float64.

    Args:
        mean1: `(*batch, D)`.
        cov1: `(*batch, D, D)`, positive semidefinite; it may be singular.
        mean2: As `mean1`; the leading axes broadcast.
        cov2: As `cov1`.

    Returns:
        `(*batch,)`, in the units of the means.

    Raises:
        ValueError: If the shapes do not fit or a covariance is not symmetric.

    Example:
        >>> eye = torch.eye(2)
        >>> bures_w2(torch.zeros(2), eye, torch.tensor([3.0, 4.0]), eye).item()
        5.0
    """
    for mean, cov in ((mean1, cov1), (mean2, cov2)):
        if mean.ndim < 1 or cov.shape[-2:] != (mean.shape[-1], mean.shape[-1]):
            raise ValueError(
                f"The mean has shape {tuple(mean.shape)} and the covariance {tuple(cov.shape)}; "
                "expected (*batch, D) and (*batch, D, D)."
            )
        largest = cov.abs().amax((-2, -1), keepdim=True)
        asymmetry = (cov - cov.mT).abs()
        if not bool((asymmetry <= 1e-4 * largest).all()):
            raise ValueError(
                "A covariance is not symmetric (or not finite): it differs from its transpose by "
                f"{float(asymmetry.max()):.3g}. Where rounding is the cause, average the two."
            )
    return procrustes_w2(mean1, sqrtm(cov1.double()), mean2, sqrtm(cov2.double()))


def procrustes_w2(mean1: Tensor, root1: Tensor, mean2: Tensor, root2: Tensor) -> Tensor:
    """Return `bures_w2` from symmetric roots, so that many pairs share the root of a set.

    U has no part in the gradient, because it is a minimiser.
    """
    root1, root2 = root1.double(), root2.double()
    with torch.no_grad():
        left, _, right = torch.linalg.svd(root2 @ root1)
    location = (mean1.double() - mean2.double()).square().sum(-1)
    shape = (root1 - root2 @ (left @ right)).square().sum((-2, -1))
    return root(location + shape)


@dataclass(frozen=True)
class Bures:
    """W2 between the Gaussians that share mean and covariance with two sets.

    Example:
        >>> a = SetBatch.from_list([[[0.0], [2.0]]])
        >>> b = SetBatch.from_list([[[3.0], [9.0]]])
        >>> Bures()(a, b).square().item()
        29.0
    """

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms."""
        dtype = aligned(a, b)
        (mean1, cov1), (mean2, cov2) = moments_per_set(a), moments_per_set(b)
        return procrustes_w2(mean1, sqrtm(cov1), mean2, sqrtm(cov2)).to(dtype)
