"""Matrix of the adjusted p-values of all pairs of sets, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distembed.files import replacing
from distembed.registry import need
from distembed.report.style import INK, SEQUENTIAL, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["matrix", "write_matrix"]


def matrix(
    axes: Axes,
    q: NDArray[np.float64],
    ids: Sequence[str],
    level: float,
    smallest: float = 1e-4,
    labelled: int = 40,
) -> None:
    r"""Draw $-\log_{10} q$ of every pair, with a cross on pairs that do not differ significantly.

    Args:
        axes: Where to draw.
        q: Adjusted p-values, `(S, S)`, NaN on the diagonal.
        ids: Names of the sets.
        level: Pairs with a larger q have a cross.
        smallest: The end of the colour scale.
        labelled: Largest number of sets whose names are written; of more they would overlap.
    """
    colours = need("matplotlib.colors", "report")
    tone = colours.LinearSegmentedColormap.from_list("q", SEQUENTIAL)
    image = axes.imshow(-np.log10(q.clip(smallest)), cmap=tone, vmin=0, vmax=-np.log10(smallest))
    size = 200 / len(q)
    row, column = np.nonzero(q > level)
    axes.scatter(column, row, s=size, marker="x", color="white", linewidths=size / 12)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(f"-log10 q; crosses: q > {level:g}")
    places = range(len(ids)) if len(ids) <= labelled else ()
    names = [ids[i] for i in places]
    axes.set_xticks(list(places), names, rotation=90)
    axes.set_yticks(list(places), names)
    axes.set(frame_on=False)
    axes.tick_params(length=0, labelsize=min(11, 260 / max(1, len(ids))))


def write_matrix(path: Path, q: NDArray[np.float64], ids: Sequence[str], level: float) -> None:
    """Write the matrix as a picture in the format of the suffix, on white.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    need("matplotlib", "report")
    from matplotlib.figure import Figure

    with drawing(savefig_facecolor="white"):
        figure = Figure(figsize=(5, 4), layout="constrained", edgecolor=INK)
        matrix(figure.add_subplot(), q, ids, level)
        with replacing(path) as temporary:
            figure.savefig(temporary)
