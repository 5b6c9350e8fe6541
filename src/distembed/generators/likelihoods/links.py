r"""The softplus link between outputs of a network and the mean of a count.

    mean = s(a) = log(1 + exp a),      a = m + log(1 - exp(-m)) for a mean m

An embedding holds means almost linearly, so outputs should too: s is linear for large means and
logarithmic near zero. Everything is in float64, because sums of log gamma at 10^5 counts cancel to
a few nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["CountLimits", "inverse_softplus_of_log", "log_softplus"]


@dataclass(frozen=True)
class CountLimits:
    """Bounds on parameters of counts, within which densities and draws are finite.

    Attributes:
        rate: Largest absolute logarithm of a small rate; 10^-11 is zero for any data set that
            fits in memory.
        mean: Largest mean.
        log_size: Largest logarithm of the size of a negative binomial, which is a Poisson
            distribution there.
    """

    rate: float = 25.0
    mean: float = 1e10
    log_size: float = 15.0

    def clamp_size(self, log_size: Tensor) -> Tensor:
        """Clamp logarithms of sizes, in float64."""
        return log_size.double().clamp(-self.log_size, self.log_size)


def log_softplus(a: Tensor, limits: CountLimits) -> Tensor:
    """Return log s(a), in float64."""
    return functional.softplus(a.double().clamp(-limits.rate, limits.mean)).log()


def inverse_softplus_of_log(log_mean: Tensor) -> Tensor:
    """Return a from log s(a), the inverse of `log_softplus` within its limits.

    Example:
        >>> inverse_softplus_of_log(log_softplus(torch.tensor(3.0), CountLimits())).item()
        3.0
    """
    mean = log_mean.exp()
    return mean + torch.log(-torch.expm1(-mean))
