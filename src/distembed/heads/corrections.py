r"""Corrections of a linear head for the sampling error of its inputs ("errors in variables").

An embedding is that of a distribution with noise, $z = \zeta + e$, $e \sim N(0, V)$, and V is an
estimate of the set itself: about 1/m. A linear head minimises

    sum_i w_i loss(y_i, x_i' b + c) + b' P b,      P = n alpha I

over inputs x in units of their deviation: of each coordinate (`column`), or one unit for all
(`common`). Distances of embeddings are in units of W2, so that coordinates of small deviation are
those in which sets hardly differ, and often noise: dividing by their own deviation takes this
information away. The corrections change one part of this each:

- `none`: x = z, w = 1.
- `weights`: $w_i = \operatorname{tr} S / \operatorname{tr}(S + V_i)$, the reliability of the
  embedding, with S the covariance of embeddings less their mean noise: a set of few atoms counts
  for less.
- `calibrated`: x is the posterior mean of zeta given z, under a Gaussian prior that is fitted to
  the training sets (`distembed.inference.prior`). This is regression calibration: if zeta is
  Gaussian and y linear in it, E(y | z) is linear in the posterior mean.
- `marginal`: $P = n \alpha I + k \sum_i V_i$, the loss averaged over $N(z_i, V_i)$: exactly so
  for squares (k = 1), to second order at p = 1/2 for logistic loss (k = 1/4). Noisy directions
  are penalised more.

At V = 0 all four are the ridge without correction. Features that are joined to the embedding
(`distembed.heads.joined`) are exact: V is zero for them.

| Measurement Error in Nonlinear Models (Carroll, Ruppert, Stefanski and Crainiceanu, 2006), ch. 4
| Training with noise is equivalent to Tikhonov regularization (Bishop, 1995)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distembed.heads.joined import block_scales
from distembed.heads.rows import Rows
from distembed.inference.prior import GaussianPrior

__all__ = ["CORRECTIONS", "SCALES", "Correction"]

Array = NDArray[np.float64]

CORRECTIONS = ("none", "weights", "calibrated", "marginal")
"""The corrections by name."""
SCALES = ("common", "column")
"""The units of inputs: one for all coordinates, or the deviation of each."""


@dataclass(frozen=True)
class Correction:
    """A correction that is fitted to training sets.

    Attributes:
        name: A member of `CORRECTIONS`.
        centre: Mean of the inputs, `(L + F,)` with F joined features.
        scale: Their unit over the factor of `block_scales`; infinite for a block that is left out,
            `(L + F,)`.
        weights: Weight of each training set, `(n,)`.
        noise: Sum of the scaled covariances of training sets, `(L, L)`.
        atom_noise: Mean covariance of an embedding times the number of atoms, `(L, L)`.
        prior: The prior of `calibrated`.
    """

    name: str
    centre: Array
    scale: Array
    weights: Array
    noise: Array
    atom_noise: Array
    prior: GaussianPrior | None = None

    @classmethod
    def fit(cls, rows: Rows, name: str, scale: str = "common", share: float = 1.0) -> Correction:
        """Fit a correction to training sets.

        Args:
            rows: The training sets.
            name: A member of `CORRECTIONS`.
            scale: A member of `SCALES`.
            share: Share of z in the inputs where features are joined (`distembed.heads.joined`).

        Raises:
            ValueError: If the prior of `calibrated` cannot be fitted: the sets are no further
                apart than samples of one of them.
        """
        shared, own = _atom_noise(rows), rows.z[:, : rows.latent]
        cov = _without_gaps(rows, shared)
        weights, prior = np.ones(len(rows)), None
        if name == "weights":
            noise = np.trace(cov, axis1=1, axis2=2)
            total = float(np.var(own, axis=0).sum())
            # reliabilities stay positive where noise explains all differences
            signal = max(total - float(noise.mean()), 1e-3 * total)
            weights = signal / (signal + noise) if signal > 0 else weights
        if name == "calibrated":
            prior = GaussianPrior.from_embeddings(own, rows.sizes, shared)
        x = _posterior(rows, cov, prior)
        blocks = np.split(x, [rows.latent], axis=1)
        deviation = np.concatenate([_deviations(block, scale) for block in blocks])
        with np.errstate(divide="ignore"):
            unit = deviation / block_scales(rows.latent, rows.features, share)
        inner = unit[: rows.latent]
        summed = shared if rows.cov is None else cov.sum(0) / np.multiply.outer(inner, inner)
        return cls(name, x.mean(0), unit, weights, summed, shared, prior)

    def inputs(self, rows: Rows) -> Array:
        """Return the standardised inputs of the head, `(S, L + F)`."""
        x = rows.z if self.prior is None else _posterior(rows, self.covariances(rows), self.prior)
        standardised: Array = (x - self.centre) / self.scale
        return standardised

    def gain(self, rows: Rows, step: float = 1e-4) -> Array:
        """Return the derivative of corrected embeddings by z, before they are scaled, `(S, L, L)`.

        It is the identity but for `calibrated`, whose posterior mean is piecewise linear in z.

        Args:
            rows: The sets.
            step: Step of central differences, in deviations of the prior.
        """
        latent = rows.latent
        if self.prior is None:
            return np.broadcast_to(np.eye(latent), (len(rows), latent, latent))
        h = step * float(np.sqrt(np.trace(self.prior.cov) / latent))
        cov, z = self.covariances(rows), rows.z[:, :latent]
        moves = h * np.eye(latent)
        ends = [
            self.prior.posterior(z + move, cov, rows.sizes).mean
            - self.prior.posterior(z - move, cov, rows.sizes).mean
            for move in moves
        ]
        return np.stack(ends, axis=2) / (2 * h)

    def covariances(self, rows: Rows) -> Array:
        """Return the covariances of embeddings, `(S, L, L)`.

        A set without one of its own, such as one of a single atom, gets that of a training set of
        as many atoms.
        """
        return _without_gaps(rows, self.atom_noise)

    def whitening(self, penalty: float, curvature: float) -> Array:
        r"""Return the map A of inputs, `(L + F, L + F)`, after which the penalty is $|b|^2$.

        With $P = Q D Q^\top$ and $A = Q D^{-1/2}$, the slopes b of inputs x A have
        $(A b)^\top P (A b) = |b|^2$.

        Args:
            penalty: alpha.
            curvature: k.
        """
        n, latent = len(self.weights), len(self.noise)
        whitening: Array = np.eye(len(self.centre)) / np.sqrt(n * penalty)
        if self.name == "marginal":
            # sums of float32 covariances may have eigenvalues just below zero
            values, axes = np.linalg.eigh(self.noise)
            inner = axes / np.sqrt(n * penalty + curvature * values.clip(0))
            whitening[:latent, :latent] = inner
        return whitening


def _deviations(x: Array, scale: str) -> Array:
    """Return the unit of each column, `(L,)`: its deviation, or the root mean square of all."""
    centre, deviation = x.mean(0), x.std(0)
    varies = deviation > 1e-12 * np.maximum(np.abs(centre), 1e-300)
    if scale == "common" and varies.any():
        return np.full(len(varies), np.sqrt(np.square(deviation).mean()))
    units: Array = np.where(varies, deviation, 1.0)
    return units


def _posterior(rows: Rows, cov: Array, prior: GaussianPrior | None) -> Array:
    """Return z, or its posterior mean under a prior, and after it the features."""
    if prior is None:
        return rows.z
    mean = prior.posterior(rows.z[:, : rows.latent], cov, rows.sizes).mean
    return np.concatenate([mean, rows.z[:, rows.latent :]], axis=1)


def _atom_noise(rows: Rows) -> Array:
    """Return the mean covariance times the number of atoms, `(L, L)`; zero without covariances."""
    if rows.cov is None:
        return np.zeros((rows.latent, rows.latent))
    finite = np.asarray(np.isfinite(rows.cov).all((1, 2)))
    if not finite.any():
        raise ValueError(
            f"None of the {len(rows)} sets has a covariance, as sets of a single atom; pass "
            "table.z in place of the table to predict without errors."
        )
    noise: Array = np.mean(rows.cov[finite] * rows.sizes[finite, None, None], axis=0)
    return noise


def _without_gaps(rows: Rows, atom_noise: Array) -> Array:
    """Return the covariances, and where there is none that of as many typical atoms.

    All are zero if the table has none, a view of a single zero.
    """
    if rows.cov is None:
        # of wide inputs there is no room for a matrix a set
        return np.broadcast_to(np.float64(0), (len(rows), *atom_noise.shape))
    typical: Array = atom_noise / rows.sizes[:, None, None]
    finite = np.isfinite(rows.cov).all((1, 2), keepdims=True)
    return np.where(finite, rows.cov, typical)
