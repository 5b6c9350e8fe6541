r"""Mean and spread of each feature of each set.

The spread is the root of the unbiased weighted variance,

    s^2 = sum_i w_i (x_i - mean)^2 / (1 - sum_i w_i^2),

not a number for a set of one atom. Its expectation does not depend on the number of atoms, so
that groups of small and of large sets can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distembed.rng import stream

if TYPE_CHECKING:
    from distembed.protocols import Collection

__all__ = ["Moments", "set_moments"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of S sets of D features, in the units of the data.

    Attributes:
        mean: `(S, D)`; NaN where a feature was not measured in a set.
        spread: `(S, D)`; NaN for sets of one atom too.
        features: Names, D of them.
    """

    mean: Array
    spread: Array
    features: tuple[str, ...]


def set_moments(sets: Collection, atoms: int = 10_000, numbers: int = 2**24) -> Moments:
    """Compute the mean and the spread of each feature of each set.

    Args:
        sets: Sets of vectors or counts.
        atoms: Largest number of atoms of a set that are read, at random.
        numbers: Numbers that are read at once, unless a set has more.

    Raises:
        ValueError: If atoms have no features, as images and sequences.

    Example:
        >>> import distembed as de
        >>> moments = set_moments(de.read([[[0.0], [2.0]], [[5.0]]], min_size=1))
        >>> moments.mean.tolist(), moments.spread.round(3).tolist()
        ([[1.0], [5.0]], [[1.414], [nan]])
    """
    if sets.atoms.name not in ("vectors", "counts"):
        raise ValueError(
            f"Atoms are {sets.atoms.name}, which have no features; moments are of vectors and "
            "counts."
        )
    width = int(np.prod(sets.event_shape))
    mean, spread = (np.full((len(sets), width), np.nan) for _ in range(2))
    for run in _runs(np.minimum(sets.sizes, atoms), max(1, numbers // width)):
        batch = sets.batch(run, atoms, stream("report", "moments", run[0]))
        x = batch.with_nan.reshape(len(batch.w), -1).double().numpy()
        w, offsets = batch.w.double().numpy(), batch.offsets.tolist()
        for s, start, end in zip(run, offsets[:-1], offsets[1:], strict=True):
            mean[s], spread[s] = _moments(x[start:end], w[start:end])
    names = sets.features if sets.features and len(sets.features) == width else None
    features = names or tuple(f"feature {d + 1}" for d in range(width))
    return Moments(mean, spread, tuple(map(str, features)))


def _moments(x: Array, w: Array) -> tuple[Array, Array]:
    """Return the mean and the spread of each column, over the values that are not missing."""
    measured = np.isfinite(x)
    share = np.where(measured, w[:, None], 0.0)
    total = share.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = share / total
        filled = np.where(measured, x, 0.0)
        mean = (share * filled).sum(0)
        squares = (share * np.where(measured, filled - mean, 0.0) ** 2).sum(0)
        left = 1 - (share**2).sum(0)
        spread = np.where(left > 1e-9, np.sqrt(squares / left), np.nan)
    return mean, spread


def _runs(sizes: NDArray[np.int64], rows: int) -> list[list[int]]:
    """Divide sets into runs of at most so many atoms, or of one set."""
    runs: list[list[int]] = []
    held = 0
    for s, size in enumerate(sizes.tolist()):
        if not runs or held + size > rows:
            runs.append([])
            held = 0
        runs[-1].append(s)
        held += size
    return runs
