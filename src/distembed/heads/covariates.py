"""Covariates as numbers: columns of numbers as they are, text as one column for each value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["Levels", "coded"]

Levels = Mapping[str, tuple[str, ...] | None]
"""Values of each covariate of text; None for numbers."""


def coded(
    columns: Mapping[str, np.ndarray], count: int, levels: Levels | None = None
) -> tuple[NDArray[np.float64], Levels]:
    """Return covariates as numbers, `(n, F)`, and the values of those that are text.

    Args:
        columns: The covariates, each `(n,)`.
        count: n.
        levels: Those of the covariates that a head was fitted to; taken from the columns where
            left out.

    Raises:
        ValueError: If a column has another length, or a value that is not among the levels.

    Example:
        >>> x, levels = coded({"drug": np.array(["b", "a"]), "dose": np.array([1, 3])}, 2)
        >>> x.tolist(), levels
        ([[0.0, 1.0, 1.0], [1.0, 0.0, 3.0]], {'drug': ('a', 'b'), 'dose': None})
    """
    blocks, own = [np.zeros((count, 0))], dict[str, tuple[str, ...] | None]()
    for name, column in columns.items():
        if column.shape != (count,):
            raise ValueError(
                f"The covariate {name!r} has shape {column.shape}; give one value a set, {count}."
            )
        text = column.dtype.kind not in "biuf" if levels is None else levels[name] is not None
        if not text:
            own[name] = None
            blocks.append(column.astype(np.float64)[:, None])
            continue
        words = column.astype(str)
        values = tuple(np.unique(words).tolist()) if levels is None else levels[name] or ()
        unseen = sorted(set(words.tolist()) - set(values))
        if unseen:
            raise ValueError(
                f"The covariate {name!r} is {unseen[0]!r}, and the forecast was fitted to "
                f"{', '.join(values[:8])}. A value that was not there cannot be forecast."
            )
        own[name] = values
        blocks.append((words[:, None] == np.array(values)).astype(np.float64))
    return np.concatenate(blocks, axis=1), own
