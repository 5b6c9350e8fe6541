r"""Features of token sequences: where a token stands, and pooling over positions.

Position t is $p(t) = (\cos t / r_k, \sin t / r_k)_k$ with fixed $r_k = 10^{4 k / K}$ (Vaswani et
al., 2017), the same in a sequence of any length.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mean_and_deviation", "positions"]


def positions(u: Tensor) -> Tensor:
    """Return a vector for every position of `u (N, T, C)`, `(T, C)`."""
    t, channels = u.shape[1:]
    half = (channels + 1) // 2
    rates = 10.0 ** (-4 * torch.arange(half, dtype=u.dtype, device=u.device) / half)
    angle = torch.arange(t, dtype=u.dtype, device=u.device)[:, None] * rates
    return torch.cat([angle.cos(), angle.sin()], 1)[:, :channels]


def mean_and_deviation(h: Tensor, mask: Tensor) -> Tensor:
    """Pool the positions of a sequence that the mask `(N, T)` keeps, `(N, T, C) -> (N, 2 C)`."""
    share = (mask.to(h.dtype) / mask.sum(1, keepdim=True)).unsqueeze(2)
    # sums and no products of matrices, which a run may have put into reduced precision
    mean = (share * h).sum(1)
    variance = (share * (h - mean.unsqueeze(1)).square()).sum(1)
    return torch.cat([mean, (variance + 1e-6).sqrt()], 1)
