r"""Compute the influence of every atom on z, and the covariance of z that it predicts.

An encoder is a functional of a distribution, $z = T(P)$. Its influence function (Hampel, 1974) is
the derivative towards one atom, which automatic differentiation by the weights provides:

    psi_i = d/de T((1 - e) P + e delta_{x_i}) = dz/dw_i - sum_j w_j dz/dw_j.

For a smooth T and m independent atoms, $z(P_m) - z(P) = \sum_i w_i \psi_i + O(1/m)$, hence z is
asymptotically normal with a covariance that one set can estimate (von Mises, 1947):

    V = sum_i w_i^2 psi_i psi_i^T.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.protocols import encoder_traits

__all__ = ["Embed", "double_copy", "influence", "predicted_covariance"]


Embed = Callable[[SetBatch], Tensor]
"""An encoder, or any other map of a batch to `(B, L)`."""


def influence(encoder: Embed, batch: SetBatch) -> list[Tensor]:
    r"""Return $\psi$ of each set, `(m_b, L)` in float64, of weighted mean zero.

    Atoms have positive weights, and the encoder obeys the five laws. It takes one backward pass
    for each coordinate of z.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)`.
        batch: B sets.

    Raises:
        ValueError: If z is not a smooth function of the weights, as with a median.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0], [2.0], [4.0]]])
        >>> class Mean:
        ...     latent = 1
        ...     def __call__(self, batch):
        ...         return batch.mean(batch.x)
        >>> influence(Mean(), batch)[0].flatten().tolist()
        [-2.0, 0.0, 0.0, 2.0]
    """
    batch = batch.to(dtype=torch.float64)
    w = batch.w.detach().clone().requires_grad_()
    with torch.enable_grad():
        smooth = encoder_traits(encoder).smooth
        z = double_copy(encoder)(batch.replace(w=w)) if smooth else w.detach()
        if not z.requires_grad:
            raise ValueError(
                f"{type(encoder).__name__} has no derivative by the weights: a median moves in "
                "jumps, and a plain mean does not use weights at all. Use batch.mean, or a "
                "jackknife over blocks of atoms for the covariance."
            )
        columns = [
            torch.autograd.grad(column.sum(), w, retain_graph=True)[0] for column in z.unbind(1)
        ]
    slope = torch.stack(columns, 1)
    centred = slope - batch.expand(batch.mean(slope))
    return list(centred.split(batch.sizes.tolist()))


def predicted_covariance(encoder: Embed, batch: SetBatch) -> Tensor:
    r"""Predict the covariance of z over sets like each of these, `(B, L, L)` in float64.

    $V = \sum_i w_i^2 \psi_i \psi_i^\top$, for independent atoms.

    Raises:
        ValueError: If z is not a smooth function of the weights.
    """
    weights = batch.w.double().split(batch.sizes.tolist())
    scaled = [w[:, None] * psi for w, psi in zip(weights, influence(encoder, batch), strict=True)]
    return torch.stack([s.mT @ s for s in scaled])


def double_copy(encoder: Embed) -> Any:
    """Return a copy in float64 and eval mode, without gradients for its parameters."""
    if not isinstance(encoder, nn.Module):
        return encoder
    return copy.deepcopy(encoder).double().eval().requires_grad_(False)
