"""Plots of arrays: each function draws into the axes that it is given and returns them.

Text and lines take the colours of these axes, so that a plot fits into any figure of the user:
`plots.embedding_map(ax, table.z, table.meta["tissue"])`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report.atom_plots import (
    diverging_pair,
    image_grid,
    interpolation_path,
    marginal,
    marginal_pair,
    quantile_path,
    real_and_generated,
    text_lines,
)
from distembed.report.colour import Colouring, colouring, hex_rgb
from distembed.report.labels import separate
from distembed.report.plane import Ellipses, Plane, ellipses, pca_plane
from distembed.report.style import ACCENT, REAL, ink_of, rasterized

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Band",
    "calibration_line",
    "distance_scatter",
    "diverging_pair",
    "embedding_map",
    "image_grid",
    "interpolation_path",
    "marginal",
    "marginal_pair",
    "quantile_path",
    "real_and_generated",
    "text_lines",
    "training_curves",
]


Band = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""The lower and the upper end of an interval, as a function of the horizontal axis."""


def embedding_map(
    ax: Axes,
    z: np.ndarray | Plane,
    color: Colouring | np.ndarray | Sequence[Any] | None = None,
    *,
    labels: bool = True,
    cov: np.ndarray | None = None,
    df: np.ndarray | None = None,
    trained: np.ndarray | None = None,
) -> Axes:
    """Draw one point a set; both axes have the same scale.

    Args:
        ax: Where to draw.
        z: Embeddings `(S, L)`, which are projected on two principal components, or a plane.
        color: A value a set `(S,)`, or their colouring.
        labels: Write the names of up to ten categories at the medians of their sets.
        cov: Covariances of the embeddings, `(S, L, L)`, drawn as ellipses of 95 % confidence
            if the plane is linear in z. The limits of the axes are those of the points.
        df: Their degrees of freedom, `(S,)`.
        trained: Whether the model was trained on each set, `(S,)`: these are discs, and others
            diamonds, if there are both.
    """
    from matplotlib.transforms import offset_copy

    plane = z if isinstance(z, Plane) else pca_plane(z)
    points = plane.points
    if color is not None and not isinstance(color, Colouring):
        color = colouring("", color)
    regions = None if cov is None else ellipses(plane, cov, df)
    if regions is not None:
        _draw_ellipses(ax, regions, points, None if color is None else color.colors)
    every = np.ones(len(points), dtype=bool)
    shapes = [(every, "o")]
    if trained is not None and trained.any() and not trained.all():
        shapes = [(trained, "o"), (~trained, "D")]
    for rows, marker in shapes:
        ax.scatter(
            points[rows, 0],
            points[rows, 1],
            s=float(np.clip(9000 / len(points), 6, 44)),
            c=ACCENT if color is None else color.colors[rows],
            marker=marker,
            alpha=0.85,
            linewidths=0,
            rasterized=rasterized(len(points), 1500),
        )
    ax.set(xlabel=plane.axes[0], ylabel=plane.axes[1], xticks=[], yticks=[])
    ax.set_aspect("equal", "datalim")
    ax.margins(0.06)
    if labels and color is not None and color.range is None and len(color.levels) <= 10:
        texts = []
        for code, level in enumerate(color.levels):
            middle = np.median(points[color.codes == code], axis=0)
            text = ax.text(
                middle[0], middle[1], level.label, ha="center", va="center", weight="bold"
            )
            if level.count == 1:  # a label does not hide its only point
                text.set_verticalalignment("bottom")
                figure: Any = ax.figure
                text.set_transform(offset_copy(ax.transData, figure, y=9, units="points"))
            text.set_gid("class:halo")
            texts.append(text)
        separate(ax, texts)
    return ax


def distance_scatter(
    ax: Axes,
    latent: np.ndarray,
    w2: np.ndarray,
    *,
    line: Callable[[np.ndarray], np.ndarray] | None = None,
    band: Band | None = None,
    title: str = "W2",
) -> Axes:
    """Draw the latent distance of pairs of sets against their W2.

    Args:
        ax: Where to draw.
        latent: `(P,)`.
        w2: `(P,)`.
        line: Predicted W2 of latent distances, such as `model.calibration`; by default the
            identity.
        band: Lower and upper end of an interval at latent distances, which is shaded.
        title: Name of the W2.
    """
    size = float(np.clip(9000 / len(w2), 4, 20))
    flat = rasterized(len(w2))
    ax.scatter(latent, w2, s=size, c=ACCENT, alpha=0.55, linewidths=0, rasterized=flat)
    return calibration_line(ax, float(np.max(latent)), line=line, band=band, title=title)


def calibration_line(
    ax: Axes,
    largest: float,
    *,
    line: Callable[[np.ndarray], np.ndarray] | None = None,
    band: Band | None = None,
    title: str = "W2",
) -> Axes:
    """Draw predicted W2 with its interval, for latent distances from zero to the largest.

    Args:
        ax: Where to draw.
        largest: The largest latent distance.
        line: As of `distance_scatter`.
        band: As of `distance_scatter`.
        title: Name of the W2.
    """
    # denser near zero, where the line may be steep
    grid = largest * np.linspace(0, 1, 100) ** 2
    predicted = grid if line is None else line(grid)
    if band is not None:
        low, high = band(grid)
        inside = np.isfinite(high)  # it has no upper end beyond the range of the calibration
        ends = grid[inside], low[inside], high[inside]
        ax.fill_between(*ends, color=REAL, alpha=0.25, linewidth=0, zorder=0)
    ax.plot(grid, predicted, color=ink_of(ax), linewidth=1.2)
    ax.set(xlabel="latent distance", ylabel=title, xlim=(0, None), ylim=(0, None))
    ax.locator_params(nbins=6)
    return ax


def training_curves(
    ax: Axes, history: Sequence[Mapping[str, Any]], *, rate: Axes | None = None
) -> Axes:
    """Draw the losses of a run, and mark the step with the lowest validation loss.

    The vertical axis ends above the highest loss after the first tenth of the run, so that the
    steep beginning does not set the scale.

    Args:
        ax: Where to draw.
        history: Records with `step`, and optionally `loss`, `validation` and `lr`.
        rate: Axes for the learning rate.
    """
    step, loss = _series(history, "loss")
    ax.plot(step, loss, color=REAL, linewidth=1.2, label="training")
    at, validation = _series(history, "validation")
    curves = [loss[len(loss) // 10 :]]
    if len(at):
        ax.plot(at, validation, color=ACCENT, linewidth=1.8, label="validation, held-out sets")
        best = int(np.argmin(validation))
        ax.plot(at[best], validation[best], "o", color=ACCENT, label=f"best, step {at[best]:.0f}")
        curves.append(validation[len(validation) // 10 :])
    late = np.concatenate(curves)
    if len(late):
        pad = 0.06 * (float(np.ptp(late)) or 1.0)
        ax.set_ylim(float(late.min()) - pad, float(late.max()) + pad)
    ax.set_ylabel("loss")
    ax.legend(loc="upper right")
    lowest = ax if rate is None else rate
    if rate is not None:
        rate.plot(*_series(history, "lr"), color=ax.xaxis.label.get_color(), linewidth=1.2)
        rate.set(ylabel="rate", ylim=(0, None), xlim=ax.get_xlim())
        rate.locator_params("y", nbins=2)
        ax.tick_params(labelbottom=False)
    lowest.set_xlabel("step")
    return ax


def _draw_ellipses(
    ax: Axes, regions: Ellipses, points: np.ndarray, colors: np.ndarray | None
) -> None:
    """Draw E ellipses below the points `(S, 2)`, the fainter the more they overlap."""
    from matplotlib.collections import EllipseCollection

    count = len(regions.rows)
    rgb = np.broadcast_to(hex_rgb(ACCENT) if colors is None else colors[regions.rows], (count, 3))
    map_area = max(float(np.ptp(points, axis=0).prod()), 1e-300)
    overlap = max(1.0, float(np.pi * regions.semi.prod(1).sum()) / map_area)
    major, minor = (2 * regions.semi).T
    shape = EllipseCollection(
        major,
        minor,
        regions.angle,
        units="xy",
        offsets=points[regions.rows],
        offset_transform=ax.transData,
        facecolors=np.column_stack([rgb, np.full(count, 0.12 / overlap)]),
        edgecolors=np.column_stack([rgb, np.full(count, 0.4 / overlap**0.5)]),
        linewidths=0.7,
        rasterized=rasterized(count),
    )
    ax.add_collection(shape, autolim=False)


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [(r["step"], r[key]) for r in history if r.get(key) is not None]
    table = np.array(rows, dtype=float).reshape(-1, 2)
    table = table[np.isfinite(table).all(1)]
    return table[:, 0], table[:, 1]
