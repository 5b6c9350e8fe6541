"""Ridge regression with the same search of penalties for embeddings and for baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.nn.ridge import PenaltyGrid, ridge

__all__ = ["regress"]

Array = NDArray[np.float64]


def regress(
    x: Array,
    y: Array,
    new: Array,
    largest: float = 1e3,
    groups: NDArray[Any] | None = None,
) -> Array:
    """Forecast y at new inputs, `(U, F)`.

    Inputs are in units of one deviation, and the penalty of each column of y is chosen by
    leave-one-out.

    Args:
        x: Inputs, `(n, K)`.
        y: Outputs, `(n, F)`.
        new: New inputs, `(U, K)`.
        largest: Largest penalty.
        groups: Group of each input, `(n,)`, if new inputs are of new groups: the inputs of a group
            are then left out together.

    Example:
        >>> x = np.linspace(-1, 1, 20)[:, None]
        >>> regress(x, 2 * x + 1, np.array([[0.5]])).round(3).tolist()
        [[2.0]]
    """
    scale = x.std() or 1.0
    fitted = ridge(
        torch.from_numpy(x / scale),
        torch.from_numpy(y),
        torch.ones(len(x), 1, dtype=torch.float64),
        grid=PenaltyGrid(smallest=1e-4, largest=largest),
        groups=None
        if groups is None
        else torch.from_numpy(np.unique(groups, return_inverse=True)[1]),
    )
    return np.asarray(new / scale @ fitted.weight.numpy() + fitted.bias.numpy(), np.float64)
