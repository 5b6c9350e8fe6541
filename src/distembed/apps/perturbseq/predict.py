r"""Forecasts of held-out perturbations: a change of a vector from the description of the target.

For a representation s of sets (embedding, or mean of the atoms) and a set p with its control c,
the change $s_p - s_c$ is regressed by ridge on the descriptors of the perturbation; the penalty of
each coordinate is chosen by leaving training sets out, for all representations alike. With gene
vectors held-out genes are new in every context, and all contexts of a gene are left out together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distembed.apps.perturbseq.data import CONTROL, Screen
from distembed.apps.regression import regress

__all__ = ["Index", "forecast_change", "means"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def means(screen: Screen) -> Array:
    """Return the mean log expression of each set, `(S, G)`."""
    rows = []
    for number in range(len(screen.sets)):
        batch = screen.sets.batch([number])
        rows.append(batch.mean(batch.x.double())[0].numpy())
    return np.array(rows)


def forecast_change(screen: Screen, values: Array, train: Index, test: Index) -> Array:
    """Forecast how held-out sets differ from their controls, `(T, F)`.

    Args:
        screen: The screen.
        values: A vector of each set, `(S, F)`; those of held-out sets are not used.
        train: Numbers of the training sets.
        test: Numbers of the held-out sets.
    """
    x, control = screen.descriptors(train), screen.control
    target = screen.sets.meta["target"]
    own = train[target[train] != CONTROL]
    change = values[own] - values[control[own]]
    groups = None if screen.vectors is None else target[own]
    return regress(x[own], change, x[test], groups=groups)
