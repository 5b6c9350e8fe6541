"""Plots of atoms: scatter plots, histograms, mosaics and paths.

Like those of `plots`, which names them too, they draw into the axes that they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.report.mosaic import as_images, mosaic, tone_of
from distembed.report.style import (
    ACCENT,
    DIVERGING,
    REAL,
    SEQUENTIAL,
    ink_of,
    rasterized,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distembed.report.mosaic import Tone

__all__ = [
    "diverging_pair",
    "image_grid",
    "interpolation_path",
    "marginal",
    "marginal_pair",
    "quantile_path",
    "real_and_generated",
    "text_lines",
]


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
        names: Names of the two coordinates.
    """
    panels = ((axes[0], real, REAL, "real"), (axes[1], generated, ACCENT, "generated"))
    for ax, x, color, title in panels:
        size = float(np.clip(3000 / len(x), 3, 16))
        flat = rasterized(len(x))
        ax.scatter(x[:, 0], x[:, 1], s=size, c=color, alpha=0.7, linewidths=0, rasterized=flat)
        ax.set_title(title, loc="left")
    return _share_scales(axes, (real, generated), names)


def diverging_pair(
    axes: tuple[Axes, Axes],
    points: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    titles: Sequence[str],
    names: tuple[str, str] = ("", ""),
) -> tuple[Axes, Axes]:
    """Draw two sets on the same scales, coloured from orange (-1) over grey (0) to blue (1).

    Points of large absolute value are drawn last.

    Args:
        axes: Left and right.
        points: Of either set, `(n, 2)`.
        values: Of either set, `(n,)`; the colour is that of the value clipped to [-1, 1].
        titles: Of either set.
        names: Names of the two coordinates.
    """
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("diverging", DIVERGING)
    for ax, x, value, title in zip(axes, points, values, titles, strict=True):
        t = np.clip(value, -1, 1)
        order = np.argsort(np.abs(t), kind="stable")
        rgba = colours((1 + t) / 2)
        rgba[:, 3] = 0.7 + 0.3 * np.abs(t)
        ax.scatter(x[order, 0], x[order, 1], s=18, c=rgba[order], linewidths=0)
        ax.set_title(shortened(title, 24), loc="left")
    return _share_scales(axes, points, names)


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
    ax.set_title(shortened(name), loc="left")
    ax.set(yticks=[])
    ax.spines["left"].set_visible(False)
    ax.locator_params("x", nbins=3)
    return ax


def marginal_pair(
    axes: tuple[Axes, Axes], real: np.ndarray, generated: np.ndarray, name: str = ""
) -> tuple[Axes, Axes]:
    """Draw the histogram of real numbers on the left, and that of generated ones on the right.

    Args:
        axes: Left and right.
        real: `(m,)`.
        generated: `(n,)`.
        name: The feature.
    """
    edges = np.histogram_bin_edges(np.concatenate([real, generated]), "auto")
    bins = edges[:: -(-len(edges) // 40)] if len(edges) > 40 else edges
    panels = ((real, REAL, "real"), (generated, ACCENT, "generated"))
    for ax, (x, color, title) in zip(axes, panels, strict=True):
        ax.hist(x, bins.tolist(), density=True, color=color, alpha=0.7)
        ax.set(xlabel=shortened(name, 24))
        ax.set_title(title, loc="left")
    top = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set(ylim=(0, top))
    axes[0].set_ylabel("density")
    axes[1].tick_params(labelleft=False)
    return axes


def image_grid(
    ax: Axes, images: np.ndarray, columns: int | None = None, *, tone: Tone | None = None
) -> Axes:
    """Draw images in rows.

    Args:
        ax: Where to draw; its frame is removed.
        images: `(n, H, W)`, `(n, C, H, W)`, or `(n, H, W, C)` with one or three channels.
        columns: Number of images in a row; by default the square root of n.
        tone: Mapping of values to lightness, `mosaic.tone_of` of the real images.
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
        samples: `(T, n, 2)`, drawn with the same noise at every step.
        names: Names of the two coordinates.
    """
    steps = len(samples)
    places = [0, steps // 2, steps - 1]
    stops = (SEQUENTIAL[0], SEQUENTIAL[2], SEQUENTIAL[4])
    for x, color in zip(samples[places], stops, strict=True):
        flat = rasterized(len(x))
        ax.scatter(x[:, 0], x[:, 1], s=11, color=color, alpha=0.65, linewidths=0, rasterized=flat)
    middle = samples.mean(1)
    ax.plot(middle[:, 0], middle[:, 1], color=ink_of(ax), linewidth=1.2)
    ax.scatter(middle[:, 0], middle[:, 1], s=16, color=ink_of(ax), zorder=3)
    ax.set(xlabel=shortened(names[0], 40), ylabel=shortened(names[1], 40))
    ax.locator_params(nbins=5)
    return ax


def quantile_path(ax: Axes, samples: np.ndarray, ends: tuple[str, str], name: str = "") -> Axes:
    """Draw the median and the central 50 % and 90 % of numbers along a path.

    Args:
        ax: Where to draw.
        samples: `(T, n)`.
        ends: Names of the two ends.
        name: The feature.
    """
    t = np.linspace(0, 1, len(samples))
    low, lower, middle, upper, high = np.quantile(samples, (0.05, 0.25, 0.5, 0.75, 0.95), axis=1)
    ax.fill_between(t, low, high, color=ACCENT, alpha=0.2, linewidth=0)
    ax.fill_between(t, lower, upper, color=ACCENT, alpha=0.3, linewidth=0)
    ax.plot(t, middle, color=ink_of(ax), linewidth=1.2)
    ax.set_xticks([0, 1], [shortened(end, 20) for end in ends])
    ax.set(xlim=(0, 1), ylabel=shortened(name, 40))
    return ax


def text_lines(ax: Axes, lines: Sequence[str]) -> Axes:
    """Write lines of text of one width; the frame of the axes is removed."""
    for k, line in enumerate(lines):
        y = 1 - (k + 0.5) / max(1, len(lines))
        place: dict[str, Any] = {"transform": ax.transAxes, "ha": "left", "va": "center"}
        ax.text(0, y, line, family="monospace", color=ink_of(ax), **place)
    ax.set_axis_off()
    return ax


def _share_scales(
    axes: tuple[Axes, Axes], points: Sequence[np.ndarray], names: tuple[str, str]
) -> tuple[Axes, Axes]:
    """Give two scatter plots the limits of both sets of points, and label them once."""
    low, high = np.percentile(np.concatenate(points), [0.5, 99.5], axis=0)
    pad = 0.08 * np.maximum(high - low, 1e-9)
    left, right = axes
    for ax in (left, right):
        ax.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
        ax.set_xlabel(shortened(names[0], 24))
        ax.locator_params(nbins=4)
    left.set_ylabel(shortened(names[1], 24))
    right.tick_params(labelleft=False)
    return left, right
