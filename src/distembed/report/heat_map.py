"""The heat map of all distances of a cohort, with similar sets side by side.

Rows and columns are ordered by average linkage (Sokal and Michener, 1958), whose leaves are
ordered so that the sum of the distances of neighbours is least (Bar-Joseph et al., 2001). The
tree above shows at which average distance two groups are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.report.colour import Colouring
from distembed.report.style import ink_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cluster_order", "heat_map"]


def heat_map(
    ax: Axes,
    matrix: ArrayLike,
    ids: Sequence[str],
    colours: Colouring | None = None,
    *,
    names: int = 40,
    title: str = "distance",
    legend: bool = True,
) -> Axes:
    """Draw a clustered heat map of the distances of all pairs of sets.

    Args:
        ax: Where to draw.
        matrix: Distances, `(S, S)`.
        ids: Names of the sets.
        colours: Their colours, drawn as a strip.
        names: The names of sets are written if there are at most so many.
        title: Name of the distance, such as `W2`.
        legend: Whether to explain the colours of the strip below the picture.

    Raises:
        ValueError: If the matrix is not square and symmetric.
    """
    d, tree = _clustered(matrix)
    order = _leaves(tree)
    picture = ax.imshow(d[np.ix_(order, order)], cmap="viridis_r", aspect="equal", vmin=0)
    figure: Any = ax.figure
    figure.colorbar(picture, ax=ax, label=title, shrink=0.8)
    shown = order.tolist() if len(d) <= names else []
    ax.set_xticks([])
    ax.set_yticks(range(len(shown)), [shortened(str(ids[i]), 20) for i in shown])
    ax.tick_params(length=0)
    if colours is not None:
        _strip(ax, colours, order, legend)
    _tree(ax, tree, 1.06 if colours is not None else 1.01)
    return ax


def cluster_order(matrix: ArrayLike) -> NDArray[np.int64]:
    """Return the order of sets in which similar ones are neighbours, `(S,)`.

    Args:
        matrix: Distances, `(S, S)`.

    Raises:
        ValueError: If the matrix is not square and symmetric, or has fewer than two sets.

    Example:
        >>> cluster_order([[0, 4, 1], [4, 0, 5], [1, 5, 0]]).tolist()
        [1, 0, 2]
    """
    return _leaves(_clustered(matrix)[1])


def _clustered(matrix: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check a matrix of distances, and cluster it; return it and the linkage `(S - 1, 4)`."""
    from scipy.cluster.hierarchy import linkage

    d = np.asarray(matrix, dtype=np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or len(d) < 2:
        raise ValueError(
            f"The distances have shape {d.shape}; a heat map needs those of all pairs of two sets "
            "or more, (S, S), such as model.distances(table)."
        )
    if not np.isfinite(d).all() or (d < 0).any():
        raise ValueError("A distance is negative, NaN or infinite; such sets cannot be clustered.")
    if not np.allclose(d, d.T, rtol=1e-5, atol=1e-8 * float(d.max() or 1.0)):
        raise ValueError(
            "The distances are not symmetric; a heat map needs those of one table with itself, "
            "model.distances(table)."
        )
    above = d[np.triu_indices(len(d), 1)]
    tree: NDArray[np.float64] = linkage(above, "average", optimal_ordering=True)
    return d, tree


def _leaves(tree: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.cluster.hierarchy import leaves_list

    return np.asarray(leaves_list(tree), dtype=np.int64)


def _tree(ax: Axes, tree: NDArray[np.float64], bottom: float) -> None:
    """Draw the tree above the picture; a leaf stands above its column."""
    from scipy.cluster.hierarchy import dendrogram

    above = ax.inset_axes((0, bottom, 1, 0.14))
    branches = dendrogram(tree, no_plot=True)
    for x, height in zip(branches["icoord"], branches["dcoord"], strict=True):
        # scipy places leaf k at 5 + 10 k
        at = (np.asarray(x) - 5) / 10
        above.plot(at, height, color=ink_of(ax), linewidth=0.7, solid_joinstyle="miter")
    above.set(xlim=(-0.5, len(tree) + 0.5), ylim=(0, None))
    above.set_axis_off()


def _strip(ax: Axes, colours: Colouring, order: NDArray[np.int64], legend: bool) -> None:
    """Draw the colours of the sets above their columns, with the levels below the picture."""
    from matplotlib.lines import Line2D

    strip = ax.inset_axes((0, 1.01, 1, 0.04))
    strip.imshow(colours.colors[order][None], aspect="auto", interpolation="nearest")
    strip.set(xticks=[], yticks=[])
    if not legend:
        return
    label = colours.name
    if colours.range is not None:
        low, high = colours.ends
        label = f"{colours.name}: {low} (blue) to {high} (orange)".lstrip(": ")
        ax.set_xlabel(label)
        return
    handles = [
        Line2D([], [], ls="", marker="s", color=level.color, label=level.label)
        for level in colours.levels
    ]
    ax.legend(
        handles=handles, title=label or None, loc="upper center", bbox_to_anchor=(0.5, -0.01),
        ncols=min(4, len(handles)), frameon=False,
    )  # fmt: skip
