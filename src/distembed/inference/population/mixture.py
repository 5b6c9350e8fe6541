r"""Gaussian mixtures of noisy points, fitted by expectation maximisation.

Point i is drawn from a mixture and observed with noise of known covariance $C_i$ (none: zero),

    z_i ~ sum_k pi_k N(mu_k, Sigma_k + C_i).

Given component k, the point without its noise has mean and covariance

    b_ik = mu_k + G_ik (z_i - mu_k),   B_ik = Sigma_k - G_ik Sigma_k,
    G_ik = Sigma_k (Sigma_k + C_i)^{-1},

and the M-step takes moments of these (Bovy, Hogg and Roweis, 2011). Points are scarce beside the
L (L + 1) / 2 numbers of a covariance, so each component has $c = L + 2$ pseudo-observations, whose
covariance is $\Lambda$, the diagonal of the variances within components after several steps:

    Sigma_k = (c Lambda + sum_i r_ik [(b_ik - mu_k)(b_ik - mu_k)^T + B_ik]) / (c + sum_i r_ik).

This is the mode under an inverse Wishart prior (Fraley and Raftery, 2007, who use a diagonal of
all points, which would fill the gap between clusters). Each step raises the log-likelihood plus

    - (c / 2) sum_k (log |Sigma_k| + tr(Lambda Sigma_k^{-1})).

| Bayesian regularization for normal mixture estimation (Fraley, Raftery, 2007)
| Extreme deconvolution (Bovy, Hogg, Roweis, 2011)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mixture", "MixtureSettings", "Prior"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MixtureSettings:
    """Settings of the optimisation.

    Attributes:
        starts: Initialisations by k-means, of which the best is continued.
        start_steps: Steps of each start.
        steps: Steps of the best start, at most.
        gain: Gain of the objective, per point, below which a step is the last.
        lloyd_steps: Steps of k-means.
    """

    starts: int = 5
    start_steps: int = 10
    steps: int = 200
    gain: float = 1e-4
    lloyd_steps: int = 20


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture.

    Attributes:
        weights: `(K,)`.
        means: `(K, L)`.
        covariances: `(K, L, L)`.
    """

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def fit(
        cls,
        z: Array,
        components: int,
        noise: Array | None,
        random: np.random.Generator,
        settings: MixtureSettings = MixtureSettings(),
    ) -> Mixture:
        """Fit to points `(S, L)` of about unit scale, with noise `(S, L, L)`.

        Several starts from clusters of k-means take ten steps each, and the best is continued
        (Biernacki, Celeux and Govaert, 2003).
        """
        starts = []
        for _ in range(settings.starts if components > 1 else 1):
            centres, owner = _clusters(z, components, random, settings.lloyd_steps)
            prior = Prior.estimate(z, noise, centres, owner)
            covariances = np.repeat(np.diag(prior.variance)[None], components, 0)
            share = (np.bincount(owner, minlength=components) + 1) / (len(z) + components)
            mixture = cls(share, centres, covariances)
            for _ in range(settings.start_steps):
                mixture = prior.step(mixture, z, *mixture._joint(z, noise))
                variance = mixture.weights @ mixture.covariances.diagonal(axis1=1, axis2=2)
                prior = Prior(prior.count, variance)
            objective, _ = prior.maximise(mixture, z, noise, 1, settings.gain)
            starts.append((objective, prior, mixture))
        _, prior, mixture = max(starts, key=lambda start: start[0])
        return prior.maximise(mixture, z, noise, settings.steps, settings.gain)[1]

    def log_density(self, z: Array, noise: Array | None = None) -> Array:
        """Return the log density of points with noise, `(S,)`."""
        return _logsumexp(self._joint(z, noise)[0])

    def log_overlap(self, noise: Array | None = None) -> Array:
        r"""Return $\log \mathbb{E}\, p(z)$ over z drawn from this mixture and noise.

        The closed form is $\sum_{kl} \pi_k \pi_l N(\mu_k - \mu_l; 0, S_k + S_l)$; `(S,)`, or
        `(1,)` without noise.
        """
        double = None if noise is None else 2 * noise
        terms = [
            np.log(self.weights)
            + np.log(weight)
            + Mixture(self.weights, self.means, self.covariances + covariance)._gaussian(
                mean[None], double
            )
            for weight, mean, covariance in zip(
                self.weights, self.means, self.covariances, strict=True
            )
        ]
        return _logsumexp(np.concatenate(terms, 1))

    def sample(self, n: int, random: np.random.Generator) -> Array:
        """Draw points without noise, `(n, L)`."""
        k = random.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        normal = random.standard_normal((n, self.means.shape[1], 1))
        drawn: Array = self.means[k] + (np.linalg.cholesky(self.covariances)[k] @ normal)[..., 0]
        return drawn

    def _gaussian(self, z: Array, noise: Array | None) -> Array:
        """Return the log density of each component, `(S, K)`."""
        return self._joint(z, noise)[0] - np.log(self.weights)

    def _joint(self, z: Array, noise: Array | None) -> tuple[Array, list[Array]]:
        """Return log of weight times density, `(S, K)`, and precisions, each `(1 or S, L, L)`."""
        columns, precisions = [], []
        for weight, mean, covariance in zip(
            self.weights, self.means, self.covariances, strict=True
        ):
            total = covariance[None] if noise is None else covariance + noise
            precision = np.linalg.inv(total)
            gap = z - mean
            square = (gap * _times(precision, gap)).sum(1)
            log_det = np.linalg.slogdet(total)[1]
            constant = z.shape[1] * np.log(2 * np.pi)
            columns.append(np.log(weight) - (square + log_det + constant) / 2)
            precisions.append(precision)
        return np.stack(columns, 1), precisions


@dataclass(frozen=True)
class Prior:
    """Inverse Wishart prior of the covariances, as pseudo-observations.

    Attributes:
        count: Number c of pseudo-observations of each component.
        variance: Their variances, the diagonal of Lambda, `(L,)`.
    """

    count: float
    variance: Array

    @classmethod
    def estimate(
        cls, z: Array, noise: Array | None, centres: Array, owner: NDArray[np.int64]
    ) -> Prior:
        """Estimate the variances from those within clusters, less the noise."""
        within = np.square(z - centres[owner]).mean(0)
        blur = 0.0 if noise is None else noise.diagonal(axis1=1, axis2=2).mean(0)
        # where noise or clusters explain all of the spread, a hundredth of it remains
        return cls(z.shape[1] + 2, np.maximum(within - blur, 0.01 * z.var(0)).clip(1e-6))

    def maximise(
        self, mixture: Mixture, z: Array, noise: Array | None, steps: int, gain: float
    ) -> tuple[float, Mixture]:
        """Step until the objective gains less per point; return it and the mixture."""
        value = -np.inf
        for _ in range(steps):
            before, joint = value, mixture._joint(z, noise)
            value = float(_logsumexp(joint[0]).sum()) + self.log_density(mixture)
            if value - before < gain * len(z):
                break
            mixture = self.step(mixture, z, *joint)
        return value, mixture

    def log_density(self, mixture: Mixture) -> float:
        """Return the log prior of the covariances, zero if all equal Lambda."""
        log_det = np.linalg.slogdet(mixture.covariances)[1] - np.log(self.variance).sum()
        trace = np.linalg.inv(mixture.covariances).diagonal(axis1=1, axis2=2) @ self.variance
        return -self.count / 2 * float((log_det + trace - len(self.variance)).sum())

    def step(self, mixture: Mixture, z: Array, joint: Array, precisions: list[Array]) -> Mixture:
        """Return the mixture after one expectation and one maximisation."""
        share = np.exp(joint - _logsumexp(joint)[:, None])
        means, covariances = [], []
        for k, precision in enumerate(precisions):
            r, old, sigma = share[:, k], mixture.means[k], mixture.covariances[k]
            b = old + _times(precision, z - old) @ sigma
            size = max(r.sum(), 1e-12)
            mean = r @ b / size
            posterior = sigma - sigma @ precision @ sigma  # covariance B of the point, given z
            total_posterior = (
                posterior[0] * r.sum() if len(posterior) == 1 else np.tensordot(r, posterior, 1)
            )
            within = (r[:, None] * (b - mean)).T @ (b - mean) + total_posterior
            total = (self.count * np.diag(self.variance) + within) / (self.count + r.sum())
            means.append(mean)
            covariances.append((total + total.T) / 2)
        # an empty component keeps a positive weight, which has a logarithm
        weights = share.mean(0).clip(1e-12)
        return Mixture(weights / weights.sum(), np.stack(means), np.stack(covariances))


def _clusters(
    z: Array, components: int, random: np.random.Generator, steps: int
) -> tuple[Array, NDArray[np.int64]]:
    """Return centres and owners of k-means++ (Arthur and Vassilvitskii, 2007)."""
    centres = z[random.integers(len(z), size=1)]
    while len(centres) < components:
        nearest = _squares(z, centres).min(1)
        share = nearest / nearest.sum() if nearest.sum() > 0 else None
        centres = np.concatenate([centres, z[random.choice(len(z), 1, p=share)]])
    for _ in range(steps):
        owner = _squares(z, centres).argmin(1)
        centres = np.stack([
            z[owner == k].mean(0) if (owner == k).any() else centres[k] for k in range(components)
        ])  # fmt: skip
    return centres, _squares(z, centres).argmin(1)


def _squares(z: Array, centres: Array) -> Array:
    """Return squared distances, `(S, K)`."""
    squares: Array = np.square(z[:, None] - centres).sum(2)
    return squares


def _times(matrix: Array, v: Array) -> Array:
    """Multiply rows `(S, L)` by their matrices, or by one for all."""
    product: Array = v @ matrix[0] if len(matrix) == 1 else (matrix @ v[..., None])[..., 0]
    return product


def _logsumexp(x: Array) -> Array:
    top = x.max(1)
    total: Array = top + np.log(np.exp(x - top[:, None]).sum(1))
    return total
