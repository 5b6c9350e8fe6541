r"""Weighted ridge regression whose penalties are chosen by leave-one-out cross-validation.

    min over B, c of   sum_i w_i |y_i - x_i B - c|^2 + n sum_o lambda_o |B_o|^2

With centred inputs $A = U \,\mathrm{diag}(d)\, V^\top$ the fit is linear in the outputs, and the
residual at a left-out row is its residual over $1 - h_i$, with $h_i$ the diagonal of the hat
matrix (Golub, Heath and Wahba, 1979). Of rows that are left out together it is
$(I - H_{gg})^{-1} r_g$, with their block of the hat matrix. One decomposition therefore serves
every penalty, and each output has a penalty of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PenaltyGrid", "Ridge", "ridge"]

# of 1 - h, against division by zero; a larger bound hides the errors of fits through every point
_LEAST = 1e-13
# of a penalty over the largest squared singular value: what 1 - h is where fits go through every
# point, which is known to 1e-16
_RELATIVE = 1e-12


@dataclass(frozen=True)
class PenaltyGrid:
    """Candidate penalties per row, equally spaced in the logarithm.

    Attributes:
        smallest: The smallest penalty.
        largest: The largest penalty.
        count: Number of penalties.
    """

    smallest: float = 1e-8
    largest: float = 10.0
    count: int = 19

    def values(self) -> Tensor:
        """Return the penalties, `(count,)` float64.

        Example:
            >>> PenaltyGrid(0.1, 10.0, 3).values().tolist()
            [0.1, 1.0, 10.0]
        """
        ends = math.log10(self.smallest), math.log10(self.largest)
        return torch.logspace(*ends, self.count, dtype=torch.float64)


@dataclass(frozen=True)
class Ridge:
    """An affine map that was fitted by ridge regression.

    Attributes:
        weight: `(K, O)`.
        bias: `(O,)`, not penalised.
        error: Root mean squared error of each output at left-out rows, `(O,)`.
        left_out: Prediction of each row by the other rows, `(n, O)`; of those of weight zero too.
    """

    weight: Tensor
    bias: Tensor
    error: Tensor
    left_out: Tensor


def ridge(
    inputs: Tensor,
    outputs: Tensor,
    sample_weight: Tensor,
    intercept: bool = True,
    grid: PenaltyGrid | None = None,
    groups: Tensor | None = None,
) -> Ridge:
    """Regress outputs on inputs.

    Args:
        inputs: `(n, K)`, on comparable scales.
        outputs: `(n, O)`.
        sample_weight: Weight of each row, `(n, 1)`; the common scale of the weights cancels.
        intercept: Whether to fit a bias; without one it is zero.
        grid: Candidate penalties. Cross-validation cannot judge directions in which the inputs
            hardly vary; a larger smallest penalty bounds the slope there. Penalties below 1e-12 of
            the largest squared singular value are raised to that: errors at left-out rows could
            not be told from rounding.
        groups: Number of the group of each row, `(n,)`. Rows of a group are left out together,
            where new inputs are of new groups; each row on its own if left out.

    Example:
        >>> x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
        >>> fit = ridge(x, 3 * x + 1, torch.ones_like(x))
        >>> round(fit.weight.item(), 4), round(fit.bias.item(), 4)
        (3.0, 1.0)
    """
    x, y, w = inputs.double(), outputs.double(), sample_weight.double()
    w = w / w.mean()
    x_mean = (w * x).mean(0) if intercept else torch.zeros_like(x[0])
    y_mean = (w * y).mean(0) if intercept else torch.zeros_like(y[0])
    root = w.sqrt()
    u, d, vt = torch.linalg.svd(root * (x - x_mean), full_matrices=False)
    weightless = torch.nonzero(w[:, 0] == 0)[:, 0]
    target = root * (y - y_mean)
    projected = u.T @ target
    best = y.new_zeros(y.shape[1])
    lowest = torch.full_like(best, torch.inf)
    left_out = torch.zeros_like(y)
    blocks = None if groups is None else _blocks(groups)
    least = _RELATIVE * float(d.square().max())
    for penalty in ((grid or PenaltyGrid()).values().to(x.device) * len(x)).clamp_min(least):
        shrinkage = d.square() / (d.square() + penalty)
        residual = target - u @ (shrinkage[:, None] * projected)
        if blocks is None:
            hat = (u.square() * shrinkage).sum(1, keepdim=True) + (w / len(x) if intercept else 0)
            gap = residual / (1 - hat).clamp_min(_LEAST)
        else:
            # the hat matrix is the product of these columns with themselves
            columns = [u * shrinkage.sqrt(), *([root / len(x) ** 0.5] if intercept else [])]
            gap = _left_out_gap(residual, torch.cat(columns, 1), blocks)
        loss = gap.square().mean(0)
        others = y - gap / root.clamp_min(1e-12)
        if len(weightless):
            # the fit to all rows, less what rows of the same group contribute to it
            turned = (x[weightless] - x_mean) @ vt.T / (d.square() + penalty)
            fitted = y_mean + turned @ (d[:, None] * projected)
            hat = turned @ (u * d).T + (root.T / len(x) if intercept else 0)
            together = torch.arange(len(x)) if groups is None else groups
            own = together[weightless][:, None] == together
            others[weightless] = fitted - (hat * own.to(hat)) @ gap
        left_out = torch.where(loss < lowest, others, left_out)
        best, lowest = torch.where(loss < lowest, penalty, best), torch.minimum(loss, lowest)
    weight = vt.T @ ((d[:, None] / (d.square()[:, None] + best)) * projected)
    bias = y_mean - x_mean @ weight if intercept else torch.zeros_like(best)
    return Ridge(weight, bias, lowest.sqrt(), left_out)


def _blocks(groups: Tensor) -> list[Tensor]:
    """Return the rows of the groups, those of s rows as one matrix `(G, s)`."""
    _, number, size = groups.unique(return_inverse=True, return_counts=True)
    rows = number.argsort(stable=True).split(size.tolist())
    return [torch.stack([own for own in rows if len(own) == s]) for s in size.unique().tolist()]


def _left_out_gap(residual: Tensor, factor: Tensor, blocks: list[Tensor]) -> Tensor:
    """Return the residuals of rows whose group is left out, `(n, O)`."""
    gap = torch.empty_like(residual)
    for rows in blocks:
        part = factor[rows]
        hat = part @ part.mT
        values, vectors = torch.linalg.eigh(torch.eye(hat.shape[1]).to(hat) - hat)
        turned = vectors.mT @ residual[rows]
        gap[rows] = vectors @ (turned / values.clamp_min(_LEAST)[..., None])
    return gap
