r"""Weighted ridge regression, the penalty of each output chosen by leaving one out.

With centred inputs $A = U \,\mathrm{diag}(d)\, V^\top$ the fit is linear in the outputs, and the
error at a left-out row is its residual over $1 - h_i$, $h_i$ the diagonal of the hat matrix
(Golub, Heath and Wahba, 1979). So every penalty of a grid costs one product and no refit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Ridge", "ridge"]

PENALTIES = torch.logspace(-8, 1, 19, dtype=torch.float64)


@dataclass(frozen=True)
class Ridge:
    """A fitted affine map.

    Attributes:
        weight: `(K, O)`.
        bias: `(O,)`, not penalised.
        error: Root mean squared error of each output at left-out rows, `(O,)`.
    """

    weight: Tensor
    bias: Tensor
    error: Tensor


def ridge(
    inputs: Tensor, outputs: Tensor, trust: Tensor, intercept: bool = True, least: float = 0.0
) -> Ridge:
    """Fit outputs from inputs.

    Args:
        inputs: `(n, K)`, on comparable scales.
        outputs: `(n, O)`.
        trust: Weight of each row, `(n, 1)`.
        intercept: Whether there is a bias; without one it is zero.
        least: Penalties below this are not considered: rows that are left out do not know what
            inputs that nearly cancel do elsewhere.

    Example:
        >>> x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
        >>> fit = ridge(x, 3 * x + 1, torch.ones_like(x))
        >>> round(fit.weight.item(), 4), round(fit.bias.item(), 4)
        (3.0, 1.0)
    """
    x, y, w = inputs.double(), outputs.double(), trust.double()
    w = w / w.mean()
    x_mean = (w * x).mean(0) if intercept else torch.zeros_like(x[0])
    y_mean = (w * y).mean(0) if intercept else torch.zeros_like(y[0])
    root = w.sqrt()
    u, d, vt = torch.linalg.svd(root * (x - x_mean), full_matrices=False)
    target = root * (y - y_mean)
    seen = u.T @ target
    best = y.new_zeros(y.shape[1])
    lowest = torch.full_like(best, torch.inf)
    for penalty in PENALTIES[PENALTIES >= least].to(x.device) * len(x):
        kept = d.square() / (d.square() + penalty)
        hat = (u.square() * kept).sum(1, keepdim=True) + (w / len(x) if intercept else 0)
        left_out = (target - u @ (kept[:, None] * seen)) / (1 - hat).clamp_min(1e-3)
        loss = left_out.square().mean(0)
        best, lowest = torch.where(loss < lowest, penalty, best), torch.minimum(loss, lowest)
    weight = vt.T @ ((d[:, None] / (d.square()[:, None] + best)) * seen)
    bias = y_mean - x_mean @ weight if intercept else torch.zeros_like(best)
    return Ridge(weight, bias, lowest.sqrt())
