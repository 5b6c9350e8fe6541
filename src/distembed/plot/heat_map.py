"""The heat map of all distances of a cohort, with similar sets side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from distembed.model.embeddings import Embeddings
from distembed.plot.axes import one_axes
from distembed.plot.maps import colours_of
from distembed.report.heat_map import cluster_order, heat_map
from distembed.report.style import literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cluster_order", "distances"]


def distances(
    matrix: ArrayLike,
    table: Embeddings | None = None,
    *,
    color: str | Sequence[Any] | np.ndarray | None = None,
    names: int = 40,
    title: str = "distance",
    ax: Axes | None = None,
) -> Axes:
    """Draw a clustered heat map of the distances of all pairs of sets.

    Args:
        matrix: Distances, `(S, S)`, such as `model.distances(table)`.
        table: The sets, for their names and metadata.
        color: A column of the metadata, `size`, or a value for each set, drawn as a strip.
        names: The names of sets are written if there are at most so many.
        title: Name of the distance, such as `W2`.
        ax: Where to draw; new axes if left out.

    Returns:
        The axes. Row i of the picture is set `cluster_order(matrix)[i]`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the matrix is not square and symmetric, or of other sets than the table.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> ax = distances([[0, 4, 1], [4, 0, 5], [1, 5, 0]])
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['1', '0', '2']
    """
    d = np.asarray(matrix)
    if table is not None and len(table) != len(d):
        raise ValueError(
            f"There are distances of {len(d)} sets, and a table of {len(table)}; give the table "
            "that the distances were computed from."
        )
    colours = None if color is None else colours_of(d if table is None else table, color)
    ids = [str(name) for name in (range(len(d)) if table is None else table.ids)]
    ax = heat_map(one_axes(ax), d, ids, colours, names=names, title=title)
    literal(ax)
    return ax
