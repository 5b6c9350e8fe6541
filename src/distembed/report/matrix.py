"""A matrix of tests: which pairs of sets are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distembed.registry import need
from distembed.report.curves import panels
from distembed.report.style import SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["matrix", "write_matrix"]

_LABELLED = 40
"""Of more sets, names would lie over each other."""
_FLOOR = 1e-4
"""Adjusted p-values below this one look the same."""


def matrix(axes: Axes, q: NDArray[np.float64], ids: Sequence[str], level: float) -> None:
    r"""Draw $-\log_{10} q$ of every pair, a cross where a pair is not told apart.

    Args:
        axes: Where to draw.
        q: Adjusted p-values, `(S, S)`, NaN on the diagonal.
        ids: Names of the sets.
        level: Pairs with a larger q are crossed out.
    """
    colours = need("matplotlib.colors", "report")
    tone = colours.LinearSegmentedColormap.from_list("q", SEQUENTIAL)
    shown = axes.imshow(-np.log10(q.clip(_FLOOR)), cmap=tone, vmin=0, vmax=-np.log10(_FLOOR))
    size = 200 / len(q)
    row, column = np.nonzero(q > level)
    axes.scatter(column, row, s=size, marker="x", color="white", linewidths=size / 12)
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.set_label(f"-log10 q; crosses: q > {level:g}")
    places = range(len(ids)) if len(ids) <= _LABELLED else ()
    names = [ids[i] for i in places]
    axes.set_xticks(list(places), names, rotation=90)
    axes.set_yticks(list(places), names)
    axes.set(frame_on=False)
    axes.tick_params(length=0, labelsize=min(11, 260 / max(1, len(ids))))


def write_matrix(path: Path, q: NDArray[np.float64], ids: Sequence[str], level: float) -> Path:
    """Write the matrix as a picture of the suffix's format."""
    return panels(path, [lambda axes: matrix(axes, q, ids, level)])
