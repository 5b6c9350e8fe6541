"""Conditions that were held out, from those that were not: between doses, or by gene vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distembed.apps.descriptors import gene_descriptors
from distembed.apps.regression import regress
from distembed.sets.collection import Sets

__all__ = ["Neighbours", "by_dose", "by_vector"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Neighbours:
    """Training conditions on both sides of a held-out one.

    Attributes:
        wells: Numbers of their training sets, of each side.
        shares: Weight of each side in the interpolation; they sum to one.
    """

    wells: tuple[NDArray[np.int64], ...]
    shares: tuple[float, ...]

    def between(self, values: Array) -> Array:
        """Interpolate between the mean vectors of the sides, `(F,)`."""
        sides = [values[rows].mean(0) for rows in self.wells]
        mixed: Array = np.tensordot(np.array(self.shares), np.stack(sides), 1)
        return mixed

    @property
    def nearest(self) -> NDArray[np.int64]:
        """Training sets of the nearest condition."""
        return self.wells[int(np.argmax(self.shares))]


def by_dose(train: Sets, dose: float, group: str) -> Neighbours:
    """Return the next lower and the next higher dose of the same drug.

    Raises:
        ValueError: If the dose is not between two training doses.
    """
    own = train.meta["group"] == group
    doses = np.unique(train.meta["dose"][own])
    below, above = doses[doses < dose], doses[doses > dose]
    if not len(below) or not len(above):
        raise ValueError(
            f"Dose {dose:g} of {group} is not between two training doses, which are "
            f"{doses.tolist()}. Hold inner doses out."
        )
    low, high = float(below[-1]), float(above[0])
    share = (high - dose) / (high - low)
    wells = tuple(np.flatnonzero(own & (train.meta["dose"] == side)) for side in (low, high))
    return Neighbours(wells, (share, 1 - share))


def by_vector(
    vectors: dict[str, Array], train: Sets, values: Array, genes: NDArray[np.str_]
) -> tuple[Array, list[Neighbours]]:
    """Forecast vectors of held-out genes by ridge on their descriptors, and find similar genes.

    The penalty is chosen by leaving out all wells of a gene together.

    Args:
        vectors: A vector of each gene.
        train: Training sets.
        values: A vector of each training set, `(S, F)`.
        genes: Held-out genes, `(T,)`.

    Returns:
        Forecasts, `(T, F)`; and the two training genes of the largest cosine of each.
    """
    names = np.concatenate([train.meta["condition"], genes])
    trained = np.arange(len(names)) < len(train)
    x = gene_descriptors(vectors, names, trained)
    forecast = regress(x[trained], values, x[~trained], groups=names[trained])
    others = [n for n in np.unique(train.meta["condition"]).tolist() if n in vectors]
    matrix = np.array([vectors[n] / np.linalg.norm(vectors[n]) for n in others])
    neighbours = []
    for gene in genes.tolist():
        cosine = matrix @ vectors[gene] / np.linalg.norm(vectors[gene])
        first, second = np.argsort(-cosine, kind="stable")[:2]
        wells = tuple(
            np.flatnonzero(train.meta["condition"] == others[k]) for k in (first, second)
        )
        neighbours.append(Neighbours(wells, (0.6, 0.4)))
    return forecast, neighbours
