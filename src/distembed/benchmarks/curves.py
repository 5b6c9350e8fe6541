"""Figures of benchmarks: panels side by side, such as a metric against the size of a set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distembed.registry import need
from distembed.report.style import INK, OKABE_ITO, PETROFF, REAL, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Draw", "colours", "log_log", "panels"]

Draw = Callable[["Axes"], None]
"""A function that draws one panel."""
_DASHES = {"floor": ":", "points": "--"}


def colours(count: int) -> Sequence[str]:
    """Return colours of up to ten categories."""
    return OKABE_ITO[:count] if count <= len(OKABE_ITO) else PETROFF[:count]


def log_log(
    title: str, label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> Draw:
    """Return a function that draws lines on two logarithmic axes, `floor` and `points` in grey.

    Args:
        title: Of the panel.
        label: Of the vertical axis.
        x: Sizes of sets.
        lines: Values at each size, by name.
    """
    methods = [name for name in lines if name not in _DASHES]
    tints = dict(zip(methods, colours(len(methods)), strict=True))

    def draw(axes: Axes) -> None:
        for name, values in lines.items():
            style = {"color": tints.get(name, REAL), "linestyle": _DASHES.get(name, "-")}
            axes.plot(x, values, marker="o", markersize=3, label=name, **style)  # type: ignore[arg-type]
        axes.set(title=title, xlabel="atoms m", ylabel=label, xscale="log", yscale="log")
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))

    return draw


def panels(path: Path, draws: Sequence[Draw]) -> Path:
    """Draw panels side by side on white, and write them in the format of the suffix.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    need("matplotlib", "report")
    from matplotlib.figure import Figure

    with drawing(savefig_facecolor="white"):
        figure = Figure(figsize=(5 * len(draws), 4), layout="constrained", edgecolor=INK)
        for axes, draw in zip(
            figure.subplots(1, len(draws), squeeze=False)[0], draws, strict=True
        ):
            draw(axes)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return path
