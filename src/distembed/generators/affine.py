r"""Parameters of a likelihood as a generalised linear function of an embedding.

    a(z) = A z + b,      h(z) = a(z),  or for the mean m of a count  m = c s(a(z) / c)

A and b are a ridge regression of the parameters that fit each training set by itself. s is the
softplus link, and its scale c says how far a mean is linear in z: m is nearly a where it is above
c, and exponential in a below. An embedding contains means almost linearly, so c is small where z
determines a mean. Where it does not, a linear prediction can be near zero for a set of many
counts, and c is large. It is chosen for each count, among multiples of the mean over training
sets, by the Poisson deviance of each training set from its prediction by the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import sample_weight
from distembed.generators.likelihoods.base import Likelihood
from distembed.generators.likelihoods.links import (
    CountLimits,
    inverse_softplus_of_log,
    log_softplus,
)
from distembed.nn.ridge import ridge

__all__ = ["AffineParameters"]


class AffineParameters(nn.Module):
    """An affine function of z under the links of a likelihood.

    Args:
        likelihood: The distribution of an atom given its parameters.
        latent: Dimension L of the embedding.
        scales: Candidates for c, in multiples of the mean of a count over training sets.

    Attributes:
        error: Root mean squared error of each parameter at left-out training sets, `(P,)`.

    Example:
        >>> from distembed.generators.likelihoods.counts import Poisson
        >>> AffineParameters(Poisson(3), latent=4)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    error: Tensor

    def __init__(
        self,
        likelihood: Likelihood,
        latent: int,
        scales: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    ) -> None:
        super().__init__()
        self.likelihood, self.scales, self.limits = likelihood, scales, CountLimits()
        outputs = likelihood.outputs
        self.register_buffer("weight", torch.zeros(outputs, latent))
        self.register_buffer("bias", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("error", torch.ones(outputs))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit to training sets and their embeddings `(B, L)`.

        Raises:
            ValueError: If atoms are not of the kind that the likelihood is for.
        """
        self.likelihood.check(batch.flat[batch.w > 0])
        own = [self.likelihood.estimate(batch[b]) for b in range(len(batch))]
        estimates, weight = torch.stack(own).double(), sample_weight(batch).double()
        fit = ridge(z, estimates, weight)
        a, b, left_out = fit.weight, fit.bias, fit.left_out
        scale, means = torch.ones_like(b), self.likelihood.means
        log_mean = log_softplus(estimates[:, means], self.limits)
        if log_mean.shape[1]:
            typical = log_mean.exp().mean(0)
            best = torch.full_like(typical, torch.inf)
            for factor in self.scales:
                c = factor * typical
                fit = ridge(z, c * inverse_softplus_of_log(log_mean - c.log()), weight)
                predicted = self._log_mean(fit.left_out, c)
                deviance = (weight * (predicted.exp() - log_mean.exp() * predicted)).mean(0)
                better = deviance < best
                best = torch.where(better, deviance, best)
                scale[means] = torch.where(better, c, scale[means])
                a[:, means] = torch.where(better, fit.weight, a[:, means])
                b[means] = torch.where(better, fit.bias, b[means])
                left_out[:, means] = torch.where(better, fit.left_out, left_out[:, means])
        self.weight.copy_(a.T)
        self.bias.copy_(b)
        self.scale.copy_(scale)
        gap = self._linked(left_out, scale) - estimates
        self.error.copy_((weight * gap.square()).mean(0).div(weight.mean()).sqrt())

    def forward(self, z: Tensor) -> Tensor:
        """Return parameters `(B, P)` of embeddings `(B, L)`."""
        a = torch.addmm(self.bias, z, self.weight.T)
        return self._linked(a, self.scale).to(a.dtype)

    def _linked(self, a: Tensor, scale: Tensor) -> Tensor:
        """Return parameters from affine functions, `(B, P)`."""
        means = self.likelihood.means
        log_mean = self._log_mean(a[:, means], scale[means])
        columns = list(a.split(1, 1))
        columns[means] = list(inverse_softplus_of_log(log_mean).split(1, 1))
        return torch.cat(columns, 1)

    def _log_mean(self, a: Tensor, c: Tensor) -> Tensor:
        """Return log (c s(a / c)), in float64."""
        return log_softplus(a / c, self.limits) + c.double().log()
