r"""Empirical Bayes for embeddings: what sets of few atoms say, given what all sets share.

The embedding of m atoms is that of their distribution with noise, and distributions vary,

    z = zeta + e,   e ~ N(0, V),   zeta ~ N(mu, c S).

Along each principal axis of S, of variance s, the noise has a variance v. Given the coordinate y
of z - mu on it, that of zeta has

    mean c s y / (c s + v)    and    variance c s v / (c s + v),

and the expected squared distance of two distributions given the atoms of both is

    E |zeta_a - zeta_b|^2 = |E zeta_a - E zeta_b|^2 + tr Cov zeta_a + tr Cov zeta_b.

- mu and S are moments of the embeddings of training sets, S less their noise, with one
  pseudo-observation of the same variance in all directions, so that none is impossible.
- Axes are taken one by one. The posterior of all together also corrects an axis by what is seen on
  others where noise is correlated, which gains more where S and V are right, and loses more where
  embeddings of few atoms are biased (docs/log.md, 2026-11-28).
- v of a set is its own estimate, which m atoms support, and the mean of training sets, which
  counts as L + 2 atoms: the own one is poor below L atoms.
- c = 1, unless the set lies outside the population. One set in a hundred is allowed to: c is then
  the power of two of the largest likelihood, and a set far away is hardly moved.

| Empirical Bayes estimation (Efron and Morris, 1973; Morris, 1983, for unequal variances)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.geometry.attachment import TrainingTable

__all__ = ["GaussianPrior", "Posterior", "PriorSettings", "expected_distances"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PriorSettings:
    """Settings of the prior.

    Attributes:
        pseudo_sets: Weight of an isotropic covariance, in sets.
        outside: Share of sets outside the population.
        doublings: Number of powers of two among which c of such a set is chosen.
        rows: Sets of a step of the computation.
    """

    pseudo_sets: float = 1.0
    outside: float = 0.01
    doublings: int = 60
    rows: int = 2048


@dataclass(frozen=True)
class Posterior:
    """The embeddings of the distributions of S sets, given their atoms.

    Attributes:
        mean: `(S, L)`.
        variance: Sum of the variances, `(S,)`.
        inflation: c of each set, `(S,)`; above one if the set lies outside the population.
    """

    mean: Array
    variance: Array
    inflation: Array


@dataclass(frozen=True)
class GaussianPrior:
    """Mean and covariance of the embeddings of distributions, and the noise of one atom.

    Attributes:
        mean: mu, `(L,)`.
        cov: S, `(L, L)`.
        noise: Mean sampling covariance of an embedding, times the number of atoms, `(L, L)`.
    """

    mean: Array
    cov: Array
    noise: Array

    @classmethod
    def fit(
        cls, context: TrainingTable, settings: PriorSettings = PriorSettings()
    ) -> GaussianPrior:
        """Fit to the embeddings of training sets.

        Raises:
            ValueError: If the noise of no training set could be estimated, or all sets are alike.
        """
        return cls.from_embeddings(context.z, context.effective_sizes, context.noise, settings)

    @classmethod
    def from_embeddings(
        cls,
        z: ArrayLike,
        sizes: ArrayLike,
        noise: ArrayLike,
        settings: PriorSettings = PriorSettings(),
    ) -> GaussianPrior:
        """Fit by moments.

        Args:
            z: Embeddings, `(S, L)`.
            sizes: Effective numbers of atoms, `(S,)`.
            noise: Mean sampling covariance times the number of atoms, `(L, L)`.
            settings: Settings of the prior.

        Raises:
            ValueError: If a value is not finite, or all sets are alike.

        Example:
            >>> prior = GaussianPrior.from_embeddings([[0.0], [2.0]], [9, 9], [[9.0]])
            >>> prior.mean.tolist(), prior.cov.tolist()
            ([1.0], [[1.0]])
        """
        x, v = np.asarray(z, dtype=np.float64), np.asarray(noise, dtype=np.float64)
        if not (np.isfinite(v).all() and np.isfinite(x).all()):
            raise ValueError("The sampling noise of the training sets could not be estimated.")
        moments = np.atleast_2d(np.cov(x.T))
        values, axes = np.linalg.eigh(moments - v * np.mean(1 / np.asarray(sizes)))
        mean_variance = float(values.clip(0).mean())
        if not mean_variance > 1e-12 * float(np.square(x).mean()):
            raise ValueError("The training sets are no further apart than samples of one of them.")
        weight = settings.pseudo_sets / (len(x) + settings.pseudo_sets)
        values = (1 - weight) * values.clip(0) + weight * mean_variance
        return cls(x.mean(0), (axes * values) @ axes.T, v)

    def posterior(
        self,
        z: ArrayLike,
        cov: ArrayLike,
        sizes: ArrayLike,
        settings: PriorSettings = PriorSettings(),
    ) -> Posterior:
        """Estimate the embeddings of the distributions that sets were drawn from.

        Args:
            z: Embeddings, `(S, L)`.
            cov: Their sampling covariances, `(S, L, L)`; NaN where missing.
            sizes: Effective numbers of atoms, `(S,)`.
            settings: Settings of the prior.

        Example:
            >>> prior = GaussianPrior(np.zeros(1), np.eye(1), np.eye(1))
            >>> half = prior.posterior([[1.0]], [[[1.0]]], [1.0])
            >>> half.mean.round(6).tolist(), half.variance.round(6).tolist()
            ([[0.5]], [0.5])
        """
        x, m = np.asarray(z, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
        own = np.asarray(cov)
        parts = [
            self._posterior(x[part], self._noise(own[part], m[part]), settings)
            for k in range(0, len(x), settings.rows)
            for part in [slice(k, k + settings.rows)]
        ]
        return Posterior(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _noise(self, cov: NDArray[Any], sizes: Array) -> Array:
        """Return V, `(S, L, L)`, between the own estimates and the mean of training sets."""
        m, prior = sizes[:, None, None], len(self.mean) + 2
        shared = self.noise / m
        own = np.asarray(cov, dtype=np.float64)
        own = np.where(np.isfinite(own).all((1, 2), keepdims=True), own, shared)
        noise: Array = (m * own + prior * shared) / (m + prior)
        return noise

    def _posterior(
        self, z: Array, noise: Array, settings: PriorSettings
    ) -> tuple[Array, Array, Array]:
        """Return means, variances and inflations of sets with noise `(S, L, L)`."""
        variances, axes = np.linalg.eigh(self.cov)
        basis = axes * np.sqrt(variances)  # in units of the prior
        values = np.einsum("lk,slm,mk->sk", axes, noise, axes, optimize=True) / variances
        values = values.clip(0)
        y = (z - self.mean) @ (axes / np.sqrt(variances))
        candidates = 2.0 ** np.arange(settings.doublings)
        scores = np.empty((len(candidates), len(z)))
        for row, c in zip(scores, candidates, strict=True):
            row[:] = -0.5 * (np.log(c + values) + y**2 / (c + values)).sum(1)
        scores[1:] += np.log(settings.outside)
        inflation = candidates[scores.argmax(0)]
        c = inflation[:, None]
        gain = c / (c + values)
        mean = self.mean + (gain * y) @ basis.T
        return mean, (gain * values * variances).sum(1), inflation

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return no JSON, and the three arrays."""
        return {}, {name: torch.tensor(value) for name, value in vars(self).items()}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GaussianPrior:
        """Rebuild a prior."""
        return cls(*(tensors[name].numpy() for name in ("mean", "cov", "noise")))


def expected_distances(
    distances: Array, first: ArrayLike, second: ArrayLike, left: ArrayLike = 1.0
) -> None:
    r"""Replace distances d of posterior means by $\sqrt{d^2 + s (t + u)}$, in place.

    Args:
        distances: `(A, B)`.
        first: The posterior variances t of the rows, `(A,)`.
        second: Those of the columns, `(B,)`.
        left: The share s of them that is left where sets share atoms, `(A, B)`.
    """
    np.square(distances, out=distances)
    distances += np.asarray(left) * (np.asarray(first)[:, None] + np.asarray(second))
    np.sqrt(distances, out=distances)
