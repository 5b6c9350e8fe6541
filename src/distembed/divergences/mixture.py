r"""The Wasserstein distance of Gaussian mixtures whose couplings are mixtures too.

    MW_2^2 = min over couplings p of the weights of sum_kl p_kl W_2^2(N(m_k, C_k), N(n_l, D_l)),

an optimal matching of components by the distance of Gaussians. It is a metric on mixtures, equal
to W_2 between single Gaussians and between points (zero covariances), and otherwise an upper
bound that is loose by no more than the size of the components:

    W_2 <= MW_2 <= W_2 + (2 sum_k p_k tr C_k)^{1/2} + (2 sum_l q_l tr D_l)^{1/2}.

It compares fitted mixtures and not sets, so it is a function and no member of the family; as a
distance of sets it is as good as the fit.

| A Wasserstein-type distance in the space of Gaussian mixture models (Delon, Desolneux, 2020),
  Definition 2, Proposition 4 and Proposition 6
"""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import optimal_plan
from distembed.divergences.pairing import root

__all__ = ["mixture_w2"]


def mixture_w2(
    weights1: Tensor,
    means1: Tensor,
    covs1: Tensor,
    weights2: Tensor,
    means2: Tensor,
    covs2: Tensor,
) -> Tensor:
    """Return MW2 between two Gaussian mixtures, exact, in float64.

    Differentiable in means and covariances; the matching has no part in it (envelope theorem).

    Args:
        weights1: `(K,)`, not negative; they are divided by their sum.
        means1: `(K, D)`.
        covs1: `(K, D, D)`, positive semidefinite.
        weights2: `(L,)`.
        means2: `(L, D)`.
        covs2: `(L, D, D)`.

    Returns:
        A number, in the units of the means.

    Raises:
        ValueError: If the shapes do not fit, a weight is negative or not finite, or all are zero.

    Example:
        >>> eyes = torch.eye(1).expand(2, 1, 1)
        >>> one, two = torch.tensor([[0.0], [9.0]]), torch.tensor([[10.0], [1.0]])
        >>> mixture_w2(torch.ones(2), one, eyes, torch.ones(2), two, eyes).item()
        1.0
    """
    sides = ((weights1, means1, covs1), (weights2, means2, covs2))
    for w, mean, cov in sides:
        k, d = mean.shape if mean.ndim == 2 else (-1, -1)
        if w.shape != (k,) or cov.shape != (k, d, d) or d != means1.shape[-1]:
            raise ValueError(
                f"A mixture has weights {tuple(w.shape)}, means {tuple(mean.shape)} and "
                f"covariances {tuple(cov.shape)}; expected (K,), (K, D) and (K, D, D), with the "
                "same D on both sides."
            )
        if not bool((torch.isfinite(w) & (w >= 0)).all()) or not bool(w.sum() > 0):
            raise ValueError(
                "The weights of a mixture must be finite, not negative and not all zero; they are "
                "probabilities."
            )
    squared = bures_w2(means1[:, None], covs1[:, None], means2[None], covs2[None]).square()
    u, v = ((w / w.sum()).numpy() for w in (w.detach().cpu().double() for w, _, _ in sides))
    rows, columns, mass = optimal_plan(u, v, squared.detach().cpu().numpy())
    return root((torch.as_tensor(mass).to(squared) * squared[rows, columns]).sum())
