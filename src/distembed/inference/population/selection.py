"""The number of components of a mixture, chosen by the likelihood of held-out sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distembed.inference.population.mixture import Mixture

__all__ = ["PopulationSettings", "cross_validated", "rows_of", "smallest_near_best"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PopulationSettings:
    """Settings of the fit of a population.

    Attributes:
        components: Number of Gaussians; `auto` takes the smallest, up to `components_limit`, whose
            held-out log density is within a standard error of the best.
        components_limit: Largest number that `auto` tries.
        sets_per_component: Sets that each component needs, for `auto`.
        folds: Number of folds of the calibration.
        fewest_sets: Fewer sets are refused.
        floor: Least scale of a coordinate, as a share of the largest.
        sets: Number of training sets that are fitted, at most.
        fewest_held_out: Held-out sets are fitted if there are as many, all sets otherwise.
    """

    components: int | Literal["auto"] = "auto"
    components_limit: int = 8
    sets_per_component: int = 10
    folds: int = 5
    fewest_sets: int = 20
    floor: float = 1e-3
    sets: int = 500
    fewest_held_out: int = 100


def cross_validated(
    x: Array,
    noise: Array | None,
    fold: NDArray[np.int64],
    settings: PopulationSettings,
    random: np.random.Generator,
) -> tuple[dict[int, tuple[Mixture, ...]], dict[int, Array]]:
    """Fit mixtures without each fold, and score its sets under them.

    Returns:
        For each number of components: the fits, one a fold, and held-out log densities, `(S,)`.
    """
    folds = range(settings.folds)
    fits: dict[int, tuple[Mixture, ...]] = {}
    held_out: dict[int, Array] = {}
    for k in _candidates(settings, len(x)):
        fits[k] = tuple(
            Mixture.fit(x[fold != f], k, rows_of(noise, fold != f), random) for f in folds
        )
        held_out[k] = np.empty(len(x))
        for f, mixture in enumerate(fits[k]):
            held_out[k][fold == f] = mixture.log_density(x[fold == f], rows_of(noise, fold == f))
        if k >= 2 + max(held_out, key=lambda n: float(held_out[n].sum())):
            break  # two more components did not help
    return fits, held_out


def smallest_near_best(held_out: Mapping[int, Array]) -> int:
    """Return the smallest number whose held-out log density is near that of the best."""
    best = held_out[max(held_out, key=lambda k: float(held_out[k].sum()))]

    def near(k: int) -> bool:
        gap = best - held_out[k]
        return bool(gap.mean() <= gap.std() / len(gap) ** 0.5)

    return next(k for k in held_out if near(k))


def rows_of(noise: Array | None, rows: NDArray[np.bool_]) -> Array | None:
    """Return some rows of covariances that may be missing."""
    return None if noise is None else noise[rows]


def _candidates(settings: PopulationSettings, sets: int) -> range:
    """Return the numbers of components to try."""
    fitted, components = sets - -(-sets // settings.folds), settings.components
    if components == "auto":
        limit = min(settings.components_limit, fitted // settings.sets_per_component)
        return range(1, max(1, limit) + 1)
    if not 1 <= components <= fitted:
        raise ValueError(
            f"components = {components}; give 'auto', or 1 to {fitted} for {sets} sets."
        )
    return range(components, components + 1)
