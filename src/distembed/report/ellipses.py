r"""Where each set of a map would lie if ever more of its atoms were known: ellipses.

Principal components are linear, so a covariance V of z is $P V P^T$ on the plane, with P its
directions; UMAP has no such image. The region that holds the limit of a set, the point that ever
more of its atoms would give, with confidence $1 - \alpha$ is the ellipse (Hotelling, 1931)

    (x - p)^T (P V P^T)^-1 (x - p) <= n (alpha^{-2 / (n - 1)} - 1)  ->  -2 log alpha,

with n degrees of freedom of V, of infinitely many on the right: the F quantile of two and n - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distembed.report.colour import hex_rgb
from distembed.report.plane import Plane
from distembed.report.style import ACCENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Ellipses", "draw_ellipses", "ellipses"]

_MANY = 300
"""From this many ellipses on they become pixels."""


@dataclass(frozen=True)
class Ellipses:
    """Ellipses around some of the points of a plane, E of them.

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
    """Return where on a plane each set would lie if ever more atoms of it were known.

    Args:
        plane: Of S sets.
        cov: Covariances of their embeddings, `(S, L, L)`; a set with NaN has no ellipse.
        df: Their degrees of freedom, `(S,)`, infinite where left out; a set with less than two
            has no ellipse.
        level: Confidence of each ellipse.

    Returns:
        The ellipses; None on a plane that is not linear in z.

    Example:
        >>> from distembed.report.plane import pca_plane
        >>> plane = pca_plane(np.array([[0.0, 0.0], [0.0, 3.0]]))
        >>> found = ellipses(plane, np.array([np.diag([1.0, 4.0]), np.full((2, 2), np.nan)]))
        >>> found.rows.tolist(), found.semi.round(2).tolist(), found.angle.tolist()
        ([0], [[4.9, 2.45]], [0.0])
    """
    if plane.directions is None:
        return None
    n = np.full(len(cov), np.inf) if df is None else np.asarray(df, dtype=float)
    rows = np.flatnonzero(np.isfinite(cov).all((1, 2)) & (n >= 2))
    n, p = n[rows], plane.directions
    values, vectors = np.linalg.eigh(p @ cov[rows].astype(float) @ p.T)
    most = np.full(len(rows), -2 * np.log(1 - level))
    few = np.isfinite(n)
    most[few] = n[few] * np.expm1(most[few] / (n[few] - 1))
    semi = np.sqrt(np.maximum(values[:, ::-1], 0) * most[:, None])
    angle = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    return Ellipses(rows, semi, angle % 180)


def draw_ellipses(
    ax: Axes, around: Ellipses, points: np.ndarray, colors: np.ndarray | None = None
) -> None:
    """Lay ellipses under the points of a map, the fainter the more often they cover it.

    Args:
        ax: Where to draw; its frame does not grow.
        around: E ellipses.
        points: Of the plane, `(S, 2)`.
        colors: Of the points, `(S, 3)`; one for all where left out.
    """
    from matplotlib.collections import EllipseCollection

    count = len(around.rows)
    rgb = np.broadcast_to(hex_rgb(ACCENT) if colors is None else colors[around.rows], (count, 3))
    map_area = max(float(np.ptp(points, axis=0).prod()), 1e-300)
    times = float(np.pi * around.semi.prod(1).sum()) / map_area
    longer, shorter = (2 * around.semi).T
    shape = EllipseCollection(
        longer,
        shorter,
        around.angle,
        units="xy",
        offsets=points[around.rows],
        offset_transform=ax.transData,
        facecolors=np.column_stack([rgb, np.full(count, 0.12 / max(1.0, times))]),
        edgecolors=np.column_stack([rgb, np.full(count, 0.4 / max(1.0, times) ** 0.5)]),
        linewidths=0.7,
        rasterized=count > _MANY,
    )
    ax.add_collection(shape, autolim=False)
