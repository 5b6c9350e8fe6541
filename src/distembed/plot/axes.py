"""Axes of a plot: those that the caller has, or new ones of `matplotlib.pyplot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distembed.registry import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["one_axes", "two_axes"]


def one_axes(ax: Axes | None) -> Axes:
    """Return the axes, or those of a new figure.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    pyplot = need("matplotlib.pyplot", "plot")
    axes: Any = ax if ax is not None else pyplot.subplots(layout="constrained")[1]
    return axes  # type: ignore[no-any-return]


def two_axes(axes: Sequence[Axes] | None) -> tuple[Axes, Axes]:
    """Return the two axes, or those of a new figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there are not two.
    """
    pyplot = need("matplotlib.pyplot", "plot")
    if axes is None:
        figure = pyplot.figure(figsize=(8, 3.8), layout="constrained")
        axes = figure.subplots(1, 2)
    try:
        left, right = axes
    except (TypeError, ValueError) as error:
        raise ValueError(
            "This plot needs two axes, such as those of plt.subplots(1, 2), because it shows two "
            "panels on the same scales."
        ) from error
    return left, right
