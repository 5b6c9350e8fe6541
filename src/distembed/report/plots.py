"""Plots of arrays: axes in, axes out, and nothing else is touched.

Text and lines take the colours of the axes they are drawn in, so each function fits into any
figure of the user: `plots.embedding_map(ax, table.z, table.meta["tissue"])`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report.colour import Colouring, colouring
from distembed.report.ellipses import draw_ellipses, ellipses
from distembed.report.images import as_images, mosaic, tone_of
from distembed.report.plane import Plane, pca_plane
from distembed.report.style import ACCENT, REAL, SEQUENTIAL
from distembed.report.training import training_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distembed.report.images import Tone

__all__ = [
    "distance_scatter",
    "embedding_map",
    "image_grid",
    "interpolation_path",
    "marginal",
    "real_and_generated",
    "training_curves",
]

_MANY = 300
"""From this many points on a scatter becomes pixels; as shapes it would fill the file."""


def embedding_map(
    ax: Axes,
    z: np.ndarray | Plane,
    color: Colouring | np.ndarray | Sequence[Any] | None = None,
    *,
    labels: bool = True,
    cov: np.ndarray | None = None,
    df: np.ndarray | None = None,
) -> Axes:
    """Draw one point a set; both axes have the same scale.

    Args:
        ax: Where to draw.
        z: Embeddings `(S, L)`, which are projected on two principal components, or a plane.
        color: A value a set `(S,)`, or their colouring.
        labels: Write the names of up to ten categories where their sets are.
        cov: Covariances of the embeddings, `(S, L, L)`, drawn as ellipses of 95 % confidence
            where the plane is linear in z. The frame is that of the points.
        df: Their degrees of freedom, `(S,)`.
    """
    plane = z if isinstance(z, Plane) else pca_plane(z)
    points = plane.points
    if color is not None and not isinstance(color, Colouring):
        color = colouring("", color)
    around = None if cov is None else ellipses(plane, cov, df)
    if around is not None:
        draw_ellipses(ax, around, points, None if color is None else color.colors)
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=float(np.clip(9000 / len(points), 6, 44)),
        c=ACCENT if color is None else color.colors,
        alpha=0.85,
        linewidths=0,
        rasterized=len(points) > 5 * _MANY,
    )
    ax.set(xlabel=plane.axes[0], ylabel=plane.axes[1], xticks=[], yticks=[])
    ax.set_aspect("equal", "datalim")
    ax.margins(0.06)
    if labels and color is not None and color.range is None and len(color.levels) <= 10:
        for code, level in enumerate(color.levels):
            middle = np.median(points[color.codes == code], axis=0)
            text = ax.text(
                middle[0], middle[1], level.label, ha="center", va="center", weight="bold"
            )
            text.set_gid("class:halo")
    return ax


def real_and_generated(
    axes: tuple[Axes, Axes],
    real: np.ndarray,
    generated: np.ndarray,
    names: tuple[str, str] = ("", ""),
) -> tuple[Axes, Axes]:
    """Draw real atoms on the left and generated ones on the right, on the same scales.

    Args:
        axes: Left and right.
        real: `(m, 2)`.
        generated: `(n, 2)`.
        names: What the two coordinates are.
    """
    both = np.concatenate([real, generated])
    low, high = np.percentile(both, [0.5, 99.5], axis=0)
    pad = 0.08 * np.maximum(high - low, 1e-9)
    panels = ((axes[0], real, REAL, "real"), (axes[1], generated, ACCENT, "generated"))
    for ax, x, color, title in panels:
        size = float(np.clip(3000 / len(x), 3, 16))
        many = len(x) > _MANY
        ax.scatter(x[:, 0], x[:, 1], s=size, c=color, alpha=0.7, linewidths=0, rasterized=many)
        ax.set_title(title, loc="left")
        ax.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
        ax.set_xlabel(_short(names[0], 24))
        ax.locator_params(nbins=4)
    axes[0].set_ylabel(_short(names[1], 24))
    axes[1].tick_params(labelleft=False)
    return axes


def marginal(ax: Axes, real: np.ndarray, generated: np.ndarray, name: str = "") -> Axes:
    """Draw the histograms of one feature over each other: real filled, generated as a line.

    Args:
        ax: Where to draw.
        real: `(m,)`.
        generated: `(n,)`.
        name: The feature.
    """
    low, high = np.percentile(np.concatenate([real, generated]), [0.5, 99.5])
    if high <= low:
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, int(np.clip(np.sqrt(len(real)), 8, 30)) + 1).tolist()
    fill: dict[str, Any] = {"histtype": "stepfilled", "color": REAL, "alpha": 0.45}
    ax.hist(np.clip(real, low, high), bins, density=True, **fill)
    line: dict[str, Any] = {"histtype": "step", "color": ACCENT, "linewidth": 1.6}
    ax.hist(np.clip(generated, low, high), bins, density=True, **line)
    ax.set_title(_short(name), loc="left")
    ax.set(yticks=[])
    ax.spines["left"].set_visible(False)
    ax.locator_params("x", nbins=3)
    return ax


def image_grid(
    ax: Axes, images: np.ndarray, columns: int | None = None, *, tone: Tone | None = None
) -> Axes:
    """Draw images in rows.

    Args:
        ax: Where to draw; its frame is removed.
        images: `(n, H, W)`, `(n, C, H, W)` or `(n, H, W, C)` with one or three channels.
        columns: Images a row; about as many as rows where left out.
        tone: How values become lightness, `images.tone_of` of the real ones.
    """
    images = as_images(images)
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    ax.imshow(mosaic(images, columns, tone or tone_of(images)), interpolation="antialiased")
    ax.set_axis_off()
    return ax


def interpolation_path(ax: Axes, samples: np.ndarray, names: tuple[str, str] = ("", "")) -> Axes:
    """Draw samples at the start (blue), the middle and the end (orange) of a path, and all means.

    Args:
        ax: Where to draw.
        samples: `(T, n, 2)`, the same noise in every step.
        names: What the two coordinates are.
    """
    steps = len(samples)
    places = [0, steps // 2, steps - 1]
    stops = (SEQUENTIAL[0], SEQUENTIAL[2], SEQUENTIAL[4])
    for x, color in zip(samples[places], stops, strict=True):
        many = len(x) > _MANY
        ax.scatter(x[:, 0], x[:, 1], s=11, color=color, alpha=0.65, linewidths=0, rasterized=many)
    middle = samples.mean(1)
    ax.plot(middle[:, 0], middle[:, 1], color=_ink(ax), linewidth=1.2)
    ax.scatter(middle[:, 0], middle[:, 1], s=16, color=_ink(ax), zorder=3)
    ax.set(xlabel=_short(names[0], 40), ylabel=_short(names[1], 40))
    ax.locator_params(nbins=5)
    return ax


def distance_scatter(
    ax: Axes,
    latent: np.ndarray,
    w2: np.ndarray,
    *,
    line: Callable[[np.ndarray], np.ndarray] | None = None,
    band: tuple[float, float] | None = None,
    title: str = "W2",
) -> Axes:
    """Draw the latent distance of pairs of sets against their W2.

    Args:
        ax: Where to draw.
        latent: `(P,)`.
        w2: `(P,)`.
        line: What a latent distance is read as, such as `model.calibration`, else the identity.
        band: Shares of the line between which an interval is shaded.
        title: Whose W2 it is.
    """
    size = float(np.clip(9000 / len(w2), 4, 20))
    many = len(w2) > _MANY
    ax.scatter(latent, w2, s=size, c=ACCENT, alpha=0.55, linewidths=0, rasterized=many)
    # Denser near zero, where a power is steep.
    at = float(np.max(latent)) * np.linspace(0, 1, 100) ** 2
    read = at if line is None else line(at)
    if band is not None:
        low, high = band
        ax.fill_between(at, low * read, high * read, color=REAL, alpha=0.25, linewidth=0, zorder=0)
    ax.plot(at, read, color=_ink(ax), linewidth=1.2)
    ax.set(xlabel="latent distance", ylabel=title, xlim=(0, None), ylim=(0, None))
    ax.locator_params(nbins=6)
    return ax


def _short(name: str, most: int = 28) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _ink(ax: Axes) -> Any:
    return ax.xaxis.label.get_color()
