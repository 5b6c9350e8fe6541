r"""Embeddings on a plane, and confidence regions of their limits.

Principal components are the linear map with the least squared error of distances: with
$z - \bar z = U S V^T$ the points are the first two columns of $U S$, and the share of an axis is
$s_k^2 / \sum_j s_j^2$. UMAP (McInnes et al., arXiv 1802.03426) keeps neighbourhoods, and neither
distances nor density.

A covariance V of z becomes $P V P^T$ on the plane, with P the two directions; UMAP has no such
image. The region that contains the limit of z for infinitely many atoms with confidence
$1 - \alpha$ is the ellipse (Hotelling, 1931)

    (x - p)^T (P V P^T)^-1 (x - p) <= n (alpha^{-2 / (n - 1)} - 1)  ->  -2 log alpha,

with n degrees of freedom of V, of infinitely many on the right: the F quantile of two and n - 1.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

from distembed.registry import need

__all__ = [
    "Ellipses",
    "Frame",
    "Plane",
    "ellipses",
    "pca_plane",
    "principal_frame",
    "spread_along",
    "umap_plane",
]


@dataclass(frozen=True)
class Plane:
    """Points on a plane.

    Attributes:
        points: `(S, 2)`.
        axes: Names of the two axes.
        method: `PCA` or `UMAP`.
        directions: The axes in the space of z, `(2, L)`; None if the map is not linear.
    """

    points: np.ndarray
    axes: tuple[str, str]
    method: str
    directions: np.ndarray | None = None


@dataclass(frozen=True)
class Frame:
    """The first two principal components: a centre `(L,)` and two directions `(2, L)`."""

    centre: np.ndarray
    directions: np.ndarray
    axes: tuple[str, str]

    def project(self, z: np.ndarray) -> np.ndarray:
        """Return coordinates `(S, 2)` of points `(S, L)`."""
        points: np.ndarray = (np.asarray(z, dtype=float) - self.centre) @ self.directions.T
        return points


def principal_frame(z: np.ndarray) -> Frame:
    """Compute the first two principal components of points `(S, L)`.

    The sign of a direction makes its largest loading positive. A second direction that does not
    exist is zero.
    """
    rows = np.asarray(z, dtype=float)
    centre = rows.mean(0)
    _, s, directions = np.linalg.svd(rows - centre, full_matrices=False)
    share = np.pad(s**2 / max(float((s**2).sum()), 1e-300), (0, 2))
    largest = np.abs(directions).argmax(1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    directions = np.pad(directions, ((0, 2), (0, 0)))[:2]
    return Frame(centre, directions, (f"PC 1 ({share[0]:.0%})", f"PC 2 ({share[1]:.0%})"))


def pca_plane(z: np.ndarray) -> Plane:
    """Project points `(S, L)` on their own first two principal components.

    Example:
        >>> pca_plane(np.array([[0.0, 0.0], [3.0, 4.0]])).points[:, 0].round(6).tolist()
        [-2.5, 2.5]
    """
    frame = principal_frame(z)
    return Plane(frame.project(z), frame.axes, "PCA", frame.directions)


def umap_plane(z: np.ndarray) -> Plane | None:
    """Compute a UMAP layout; None if UMAP is not installed or there are fewer than ten sets."""
    if importlib.util.find_spec("umap") is None or len(z) < 10:
        return None
    umap = need("umap", "umap")
    layout = umap.UMAP(n_neighbors=min(15, len(z) - 1), random_state=0, n_jobs=1)
    return Plane(np.asarray(layout.fit_transform(z)), ("UMAP 1", "UMAP 2"), "UMAP")


def spread_along(points: np.ndarray, count: int) -> np.ndarray:
    """Select sets at even ranks along the first axis, a rule that does not look at their samples.

    Args:
        points: Coordinates, `(S, 2)`.
        count: Number of sets.

    Returns:
        Indices, `(min(count, S),)`, from one end to the other without the outermost 5 %.
    """
    order = np.argsort(points[:, 0], kind="stable")
    count = min(count, len(order))
    at = np.linspace(0.05, 0.95, count) if count > 1 else np.array([0.5])
    indices: np.ndarray = order[np.round(at * (len(order) - 1)).astype(int)]
    return indices


@dataclass(frozen=True)
class Ellipses:
    """Ellipses around E of the points of a plane.

    Attributes:
        rows: The points, `(E,)`.
        semi: Half axes, the longer one first, `(E, 2)`.
        angle: From the horizontal to the longer axis, in degrees, `(E,)`.
    """

    rows: np.ndarray
    semi: np.ndarray
    angle: np.ndarray


def ellipses(
    plane: Plane, cov: np.ndarray, df: np.ndarray | None = None, level: float = 0.95
) -> Ellipses | None:
    """Compute confidence regions of the limits of embeddings on a plane.

    Args:
        plane: Of S sets.
        cov: Covariances of their embeddings, `(S, L, L)`; a set with NaN has no ellipse.
        df: Their degrees of freedom, `(S,)`, infinite by default; a set with less than two has no
            ellipse.
        level: Confidence of each ellipse.

    Returns:
        The ellipses; None on a plane that is not linear in z.

    Example:
        >>> plane = pca_plane(np.array([[0.0, 0.0], [0.0, 3.0]]))
        >>> regions = ellipses(plane, np.array([np.diag([1.0, 4.0]), np.full((2, 2), np.nan)]))
        >>> regions.rows.tolist(), regions.semi.round(2).tolist(), regions.angle.tolist()
        ([0], [[4.9, 2.45]], [0.0])
    """
    if plane.directions is None:
        return None
    n = np.full(len(cov), np.inf) if df is None else np.asarray(df, dtype=float)
    rows = np.flatnonzero(np.isfinite(cov).all((1, 2)) & (n >= 2))
    n, p = n[rows], plane.directions
    values, vectors = np.linalg.eigh(p @ cov[rows].astype(float) @ p.T)
    squared_radius = np.full(len(rows), -2 * np.log(1 - level))
    finite = np.isfinite(n)
    squared_radius[finite] = n[finite] * np.expm1(squared_radius[finite] / (n[finite] - 1))
    semi = np.sqrt(np.maximum(values[:, ::-1], 0) * squared_radius[:, None])
    angle = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    return Ellipses(rows, semi, angle % 180)
