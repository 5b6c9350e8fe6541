"""The map of a cohort: one point a set, on the two principal components of the embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from distembed.model.embeddings import Embeddings
from distembed.plot.axes import one_axes
from distembed.report import plots
from distembed.report.colour import Colouring, colouring
from distembed.report.column import choose_column
from distembed.report.figures import ellipse_covariances
from distembed.report.plane import pca_plane
from distembed.report.style import SEQUENTIAL, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["add_legend", "colours_of", "map"]


def map(
    table: Embeddings | ArrayLike,
    color: str | Sequence[Any] | np.ndarray | None = None,
    *,
    labels: bool = True,
    ellipses: bool = True,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the embeddings of sets on their first two principal components.

    Args:
        table: Embeddings, or an array `(S, L)`.
        color: A column of the metadata, `size`, or a value for each set, `(S,)`. If left out, the
            column that neighbours predict best; an array has one colour.
        labels: Write the names of up to ten categories at the medians of their sets.
        ellipses: Draw the 95 % confidence region of the limit of each embedding, if the table has
            covariances; of sets with ten effective atoms or more.
        legend: Add a colour bar for numbers, and a legend for categories without labels.
        ax: Where to draw; new axes if left out.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no such column, or not one value a set.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> map(np.eye(3), ["a", "b", "a"]).get_xlabel()
        'PC 1 (50%)'
    """
    ax = one_axes(ax)
    z = table.z if isinstance(table, Embeddings) else np.asarray(table, dtype=float)
    colours = colours_of(table, color)
    cov = ellipse_covariances(table) if ellipses and isinstance(table, Embeddings) else None
    df = table.df if isinstance(table, Embeddings) else None
    plots.embedding_map(ax, pca_plane(z), colours, labels=labels, cov=cov, df=df)
    if legend and colours is not None:
        add_legend(ax, colours, labelled=labels)
    literal(ax)
    return ax


def colours_of(
    table: Embeddings | ArrayLike, color: str | Sequence[Any] | np.ndarray | None
) -> Colouring | None:
    """Return the colours of sets; None for an array without values.

    Raises:
        ValueError: If there is no such column, or not one value a set.
    """
    if isinstance(table, Embeddings) and (color is None or isinstance(color, str)):
        column = choose_column(table.z, table.meta, table.sizes, color)
        return colouring(column.name, column.values, column.kind)
    if color is None:
        return None
    count = len(table) if isinstance(table, Embeddings) else len(np.asarray(table))
    if isinstance(color, str) or len(color) != count:
        what = f"is the name {color!r}" if isinstance(color, str) else f"has {len(color)} values"
        raise ValueError(
            f"color {what}, and there are {count} sets; give one value a set, or the name of a "
            "column with a table of embeddings, which model.embed returns."
        )
    return colouring("", color)


def add_legend(ax: Axes, colours: Colouring, labelled: bool = False) -> None:
    """Add a colour bar for numbers or a legend for categories; a title where both would repeat.

    Args:
        ax: The axes.
        colours: What their points show.
        labelled: Whether up to ten categories are labelled in the axes.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter

    figure: Any = ax.figure
    if colours.range is not None:
        scale = LinearSegmentedColormap.from_list("sequential", SEQUENTIAL)
        values = ScalarMappable(Normalize(*colours.range), scale)
        # values beyond the 2nd and 98th percentile have the colour of the end
        bar = figure.colorbar(values, ax=ax, label=colours.name, extend="both")
        if colours.dates:
            bar.set_ticks(np.linspace(*colours.range, 5))
            bar.formatter = FuncFormatter(lambda days, _: colours.text(days))
        literal(bar.ax)
        return
    if labelled and len(colours.levels) <= 10:
        ax.set_title(colours.name, loc="left")
        return
    handles = [
        Line2D(
            [], [], ls="", marker="o", color=level.color, label=f"{level.label} ({level.count})"
        )
        for level in colours.levels
    ]
    ax.legend(
        handles=handles, title=colours.name or None, loc="center left", bbox_to_anchor=(1, 0.5)
    )
