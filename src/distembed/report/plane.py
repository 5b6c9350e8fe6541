r"""Embeddings on a plane.

Principal components keep distances as far as two numbers can: with $z - \bar z = U S V^T$ the
points are the first two columns of $U S$, and the share of an axis is $s_k^2 / \sum_j s_j^2$.
UMAP (McInnes et al., arXiv 1802.03426) keeps neighbourhoods, and neither distances nor density.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

from distembed.registry import need

__all__ = ["Frame", "Plane", "pca_plane", "principal_frame", "spread_along", "umap_plane"]


@dataclass(frozen=True)
class Plane:
    """Points on a plane.

    Attributes:
        points: `(S, 2)`.
        axes: What the two axes are called.
        method: How the points got there.
        directions: The axes in the space of z, `(2, L)`; None where the map is not linear.
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
    """Find the principal components of points `(S, L)`.

    The sign of a direction makes its largest loading positive; where there is no second one,
    it is zero.
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
    """Lay the points out with UMAP, or return None where it is not installed or S < 10."""
    if importlib.util.find_spec("umap") is None or len(z) < 10:
        return None
    umap = need("umap", "umap")
    layout = umap.UMAP(n_neighbors=min(15, len(z) - 1), random_state=0, n_jobs=1)
    return Plane(np.asarray(layout.fit_transform(z)), ("UMAP 1", "UMAP 2"), "UMAP")


def spread_along(plane: Plane, count: int) -> np.ndarray:
    """Choose sets at even ranks along the first axis, so that nobody picked the good ones.

    Returns:
        Indices, `(min(count, S),)`, from one end to the other, the outermost 5 % left out.
    """
    order = np.argsort(plane.points[:, 0], kind="stable")
    count = min(count, len(order))
    at = np.linspace(0.05, 0.95, count) if count > 1 else np.array([0.5])
    chosen: np.ndarray = order[np.round(at * (len(order) - 1)).astype(int)]
    return chosen
