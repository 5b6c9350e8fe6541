r"""Tangent PCA: the directions in which the distributions of a cohort vary most.

Wasserstein space has no coordinates. Its PCA is done in the tangent space at a barycenter, where
every distribution is a vector (Bigot, Gouet, Klein and Lopez, 2017). Where latent distances are
W2 distances the latent space is that tangent space, and its origin the weighted mean of the
embeddings: tangent PCA is PCA of embeddings, and its axes are shortest paths through the
barycenter.

Embeddings of finite sets vary more than the distributions do. With their sampling covariances V_s

$$C = \frac{\sum_s w_s (z_s - \bar z)(z_s - \bar z)^\top - \sum_s w_s (1 - w_s) V_s}
{1 - \sum_s w_s^2}$$

is unbiased for the covariance of the distributions, for fixed weights that sum to one. Axes whose
eigenvalue in C is not positive are noise, and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.geometry.path import set_weights

__all__ = ["TangentPCA", "tangent_pca"]


@dataclass(frozen=True)
class TangentPCA:
    """The principal axes of a cohort of distributions.

    Attributes:
        mean: The barycenter, `(L,)`.
        axes: Directions of unit length by decreasing variance, `(K, L)`; the coordinate of the
            largest absolute value of each is positive.
        variances: Variance of the distributions along each axis, without the noise of sampling if
            covariances were given, `(K,)`.
        shares: Part of the variance of the distributions along each axis, `(K,)`.
        scores: Coordinates of each set on the axes, `(S, K)`.
        errors: Standard errors of the scores, `(S, K)`; None without covariances.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    shares: NDArray[np.float64]
    scores: NDArray[np.float64]
    errors: NDArray[np.float64] | None

    def along(self, axis: int, deviations: ArrayLike) -> NDArray[np.float32]:
        """Return embeddings on an axis, `(T, L)`: `mean + t sqrt(variance) axis`.

        Args:
            axis: The number of the axis, from 0.
            deviations: Positions t in standard deviations of the cohort, `(T,)`.

        Raises:
            ValueError: If there is no such axis.
        """
        if not 0 <= axis < len(self.axes):
            raise ValueError(
                f"There is no axis {axis}; the {len(self.axes)} axes are numbered from 0."
            )
        t = np.atleast_1d(np.asarray(deviations, np.float64))[:, None]
        step = np.sqrt(self.variances[axis]) * self.axes[axis]
        line: NDArray[np.float64] = self.mean + t * step
        return line.astype(np.float32)


def tangent_pca(
    z: ArrayLike,
    components: int = 2,
    *,
    covariances: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> TangentPCA:
    """Find the principal axes of a cohort of distributions at its barycenter.

    Args:
        z: Embeddings of the sets, `(S, L)`.
        components: Number of axes at most. There are fewer if the rest is noise of sampling.
        covariances: Their sampling covariances, `(S, L, L)`, as `Embeddings.cov`.
        weights: Weights of the sets, `(S,)`; equal if left out.

    Raises:
        ValueError: If there are fewer than two sets, shapes do not fit, a covariance or a weight
            is not finite, or the sets do not vary by more than their noise.

    Example:
        >>> pca = tangent_pca([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]], components=1)
        >>> pca.mean.tolist(), pca.axes.tolist(), pca.variances.round(6).tolist()
        ([2.0, 1.0], [[1.0, 0.0]], [4.0])
        >>> pca.along(0, [-1, 1])[:, 0].round(6).tolist()
        [0.0, 4.0]
    """
    points = np.asarray(z, np.float64)
    if points.ndim != 2 or len(points) < 2:
        raise ValueError(
            f"z has shape {points.shape}; tangent PCA compares two sets or more, (S, L)."
        )
    if components < 1:
        raise ValueError(f"components = {components}; ask for one axis or more.")
    w = set_weights(weights, len(points))
    mean: NDArray[np.float64] = w @ points
    if (effective := 1 - (w**2).sum()) < 1e-12:
        raise ValueError("All of the weight is on one set; tangent PCA compares two or more.")
    centred = points - mean
    scatter = (w[:, None] * centred).T @ centred
    noise = None if covariances is None else _checked(covariances, points.shape)
    if noise is not None:
        scatter -= np.einsum("s,sij->ij", w * (1 - w), noise)
    values, vectors = np.linalg.eigh(scatter / effective)
    order = [k for k in np.argsort(values)[::-1] if values[k] > 1e-12 * abs(values).max()]
    if not order:
        raise ValueError(
            "The sets do not vary by more than the noise of their sampling, so there are no axes. "
            "Larger sets have less noise; covariances=None ignores it."
        )
    axes = vectors.T[order[:components]]
    largest = np.take_along_axis(axes, abs(axes).argmax(1)[:, None], 1)
    axes = axes * np.sign(largest)
    variances = values[order[:components]]
    errors = None
    if noise is not None:
        # stored covariances are float32, whose smallest eigenvalues may be just below zero
        errors = np.sqrt(np.einsum("ki,sij,kj->sk", axes, noise, axes).clip(0))
    return TangentPCA(
        mean, axes, variances, variances / values[order].sum(), centred @ axes.T, errors
    )


def _checked(covariances: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    noise = np.asarray(covariances, np.float64)
    sets, latent = shape
    if noise.shape != (sets, latent, latent):
        raise ValueError(
            f"covariances have shape {noise.shape}, and z has {shape}; expected "
            f"{(sets, latent, latent)}."
        )
    unknown = np.flatnonzero(~np.isfinite(noise).all((1, 2)))
    if len(unknown):
        raise ValueError(
            f"The sampling covariance of set {unknown[0]} is not known, as of all sets of one "
            f"atom; of {sets} sets {len(unknown)} have none. Drop them: table.select(rows)."
        )
    return noise
