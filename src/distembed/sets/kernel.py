r"""Construct sets around anchors: the law of atoms near a place, or a time, by a kernel.

The set of an anchor a is the weighted empirical measure

    P_a = sum_i w_i delta(x_i),   w_i = v_i k(|c_i - a|) / sum_j v_j k(|c_j - a|),

with coordinates c of the atoms, sampling weights v, and a kernel k of scale s:

| kernel | k(d) |
|---|---|
| `gaussian` | exp(-d^2 / 2 s^2), cut off where a uniform density has a stated share of its mass |
| `epanechnikov` | max(1 - d^2 / s^2, 0) |
| `box` | 1 up to d = s |
| `nearest` | 1 for the k nearest atoms |

No atom is drawn: the weights are the kernel's, and effective sizes (Kish) follow from them. Pairs
of anchors and near atoms come from a k-d tree, so that the cost is linear in their number. Sets of
near anchors share atoms: a random split of them leaks, and `distembed.sets.split` refuses it.

| Estimation of a conditional distribution by kernels: Nadaraya (1964), Watson (1964).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.recognise import channels_first, recognise
from distembed.protocols import AtomSpace
from distembed.rng import Rng
from distembed.sets.anchors import anchors_of_sets, coordinates_of
from distembed.sets.collection import Sets
from distembed.sets.construct import checked_weights, large_enough, normalised
from distembed.sets.recipe import recipe_of

__all__ = ["KERNELS", "Kernel", "by_kernel"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Profile = Callable[[Array], Array]
"""Weights of squared distances in units of the squared scale."""

KERNELS: Mapping[str, Profile] = {
    "gaussian": lambda q: np.exp(-q / 2),
    "epanechnikov": lambda q: np.maximum(1 - q, 0),
    "box": lambda q: np.ones_like(q),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel, and how far it reaches.

    Attributes:
        name: A member of `KERNELS`, or `nearest`.
        scale: Scale s in units of the coordinates; for `nearest` the number of atoms.
        mass: Share of a Gaussian's mass that is kept.

    Raises:
        ValueError: If there is no such kernel, or a number is out of range.
    """

    name: Literal["gaussian", "epanechnikov", "box", "nearest"] = "gaussian"
    scale: float = 1.0
    mass: float = 0.999

    def __post_init__(self) -> None:
        if self.name not in (*KERNELS, "nearest"):
            raise ValueError(
                f"There is no kernel {self.name!r}; there are {', '.join(KERNELS)} and nearest."
            )
        if not np.isfinite(self.scale) or self.scale <= 0:
            raise ValueError(f"scale = {self.scale}; a kernel has a positive scale.")
        if self.name == "nearest" and self.scale != int(self.scale):
            raise ValueError(f"scale = {self.scale}; the number of nearest atoms is whole.")
        if not 0 < self.mass < 1:
            raise ValueError(f"mass = {self.mass}; a share of mass is between 0 and 1.")

    def reach(self, dimensions: int) -> float:
        """Return the distance beyond which weights are zero, in coordinates of C dimensions.

        A Gaussian ends where the mass beyond it, in a uniform density, is `1 - mass`: at the
        quantile of a chi distribution of C degrees of freedom.

        Example:
            >>> round(Kernel("gaussian", 2.0, 0.95).reach(1), 3)
            3.92
        """
        if self.name != "gaussian":
            return self.scale
        from scipy.stats import chi

        return self.scale * float(chi.ppf(self.mass, dimensions))


def by_kernel(
    observations: Observations,
    coordinates: Sequence[str],
    anchors: int | ArrayLike | Mapping[str, Any],
    kernel: Kernel,
    *,
    within: str | None = None,
    weights: str | None = None,
    min_size: int = 2,
    rng: Rng = 0,
    atoms: AtomSpace | None = None,
) -> Sets:
    """Construct the weighted empirical measure around each anchor.

    Args:
        observations: One row an atom, with columns of coordinates.
        coordinates: The C columns of coordinates, such as ["x", "y"] or ["day"].
        anchors: A number of atoms to be drawn as anchors; their coordinates `(A, C)`; or a table
            with the columns of coordinates, whose other columns become metadata, and whose column
            `id`, if any, names the sets.
        kernel: The kernel and its scale.
        within: Column that atoms and anchor share, such as the section of a tissue or the donor:
            no set crosses it. Anchors of a table need the column too.
        weights: Column of sampling weights, which multiply those of the kernel.
        min_size: Fewest atoms of a set; anchors with fewer are dropped, and their number logged.
        rng: Source of the draw of anchors.
        atoms: The kind of atoms; recognised where left out.

    Returns:
        A set an anchor, with the coordinates of the anchor as metadata.

    Raises:
        ValueError: If a column is unknown or does not hold numbers, anchors have another
            dimension or lack `within`, the scale is below the spacing of atoms or beyond their
            range, an anchor has no atom within reach, or none has enough.

    Example:
        >>> table = {"t": np.arange(6.0)}
        >>> obs = Observations(np.arange(6.0)[:, None], table)
        >>> sets = by_kernel(obs, ["t"], [[1.0], [4.0]], Kernel("epanechnikov", 2.0))
        >>> sets.batch([0]).x.flatten().tolist(), (10 * sets.batch([0]).w).round().tolist()
        ([0.0, 1.0, 2.0], [3.0, 4.0, 3.0])
    """
    if atoms is None:
        atoms = recognise(observations)
        observations = channels_first(observations)
    if not coordinates:
        raise ValueError("coordinates is empty; name the columns of places or times.")
    extra = [c for c in (within, weights) if c]
    refuse_unknown([*coordinates, *extra], observations.columns, "column")
    places = coordinates_of(observations.columns, coordinates)
    group = None if within is None else observations.labels(within, check=True)
    v = None
    if weights:
        v = checked_weights(observations.columns[weights], weights)
    table = anchors_of_sets(anchors, places, coordinates, group, within, rng)
    _refuse_constant(kernel, places)
    near = [
        part
        for atoms_of, anchors_of in _groups(group, table.group)
        for part in _neighbours(places, atoms_of, table.places, anchors_of, kernel)
    ]
    anchor, row, w = (np.concatenate(column) for column in zip(*near, strict=True))
    if v is not None:
        w = w * v[row]
        anchor, row, w = anchor[w > 0], row[w > 0], w[w > 0]
    order = np.lexsort((row, anchor))
    anchor, row, w = anchor[order], row[order], w[order]
    sizes = np.bincount(anchor, minlength=len(table.ids))
    large = _enough(sizes, min_size, kernel)
    _refuse_empty(sizes, table.ids, kernel)
    kept = large[anchor]
    if kernel.name != "nearest" and (sizes[large] == observations.rows).all():
        logger.warning(
            "every set holds all %d atoms: the scale %g reaches across them, and sets differ by "
            "their weights alone. Give a smaller scale for sets of a neighbourhood",
            observations.rows, kernel.scale,
        )  # fmt: skip
    offsets = np.concatenate([[0], np.cumsum(sizes[large])])
    return Sets(
        Observations(observations.x, features=observations.features),
        row[kept],
        offsets,
        table.ids[large],
        normalised(w[kept], offsets),
        {name: column[large] for name, column in table.meta.items()},
        atoms,
        recipe=recipe_of(
            "by_kernel",
            {
                "coordinates": list(coordinates),
                "anchors": anchors,
                "kernel": kernel,
                "within": within,
                "weights": weights,
                "min_size": min_size,
            },
        ),
    ).checked()


def _groups(
    atoms: np.ndarray | None, anchors: np.ndarray | None
) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    """Yield the rows of atoms and the anchors that share a value; all atoms where None."""
    if atoms is None or anchors is None:
        yield None, np.arange(0)
        return
    for value in np.unique(anchors):
        yield np.flatnonzero(atoms == value), np.flatnonzero(anchors == value)


def _neighbours(
    places: Array,
    atoms: np.ndarray | None,
    anchor_places: Array,
    anchors: np.ndarray,
    kernel: Kernel,
    pairs: int = 2**22,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Array]]:
    """Yield the numbers of anchors, rows of atoms near them, and weights, in pieces."""
    from scipy.spatial import cKDTree

    rows = np.arange(len(places)) if atoms is None else atoms
    which = np.arange(len(anchor_places)) if atoms is None else anchors
    yield np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    if not len(rows):
        return
    tree = cKDTree(places[rows])
    if kernel.name == "nearest":
        k = min(int(kernel.scale), len(rows))
        if k < kernel.scale:
            logger.warning(
                "%d sets have %d atoms, not the %d nearest: there are no more where they are",
                len(which), k, int(kernel.scale),
            )  # fmt: skip
        _, near = tree.query(anchor_places[which], k=[*range(1, k + 1)])
        yield np.repeat(which, k), rows[near.ravel()], np.ones(near.size)
        return
    reach, profile = kernel.reach(places.shape[1]), KERNELS[kernel.name]
    counts = tree.query_ball_point(anchor_places[which], reach, return_length=True)
    pieces = np.cumsum(counts) // pairs
    for part in np.split(np.arange(len(which)), np.flatnonzero(np.diff(pieces)) + 1):
        close = cKDTree(anchor_places[which[part]]).sparse_distance_matrix(
            tree, reach, output_type="ndarray"
        )
        w = profile((close["v"] / kernel.scale) ** 2)
        kept = w > 0
        yield which[part][close["i"][kept]], rows[close["j"][kept]], w[kept]


def _refuse_constant(kernel: Kernel, places: Array) -> None:
    """Refuse a scale beyond the range of the atoms, at which all sets are the same."""
    span = float(np.linalg.norm(np.ptp(places, axis=0)))
    if kernel.name != "nearest" and kernel.scale > span > 0:
        raise ValueError(
            f"scale = {kernel.scale:g} is beyond the range of the atoms, which are at most "
            f"{span:g} apart, so that every set would be nearly the whole table. Give a smaller "
            "scale, in units of the coordinates."
        )
    if kernel.name == "nearest" and kernel.scale > len(places):
        raise ValueError(
            f"scale = {kernel.scale:g} nearest atoms of {len(places)}; there are not as many."
        )


def _refuse_empty(sizes: NDArray[np.int64], ids: np.ndarray, kernel: Kernel) -> None:
    """Refuse anchors without any atom within reach, of which there is no set."""
    empty = ids[sizes == 0]
    if len(empty):
        shown = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        raise ValueError(
            f"{len(empty)} of {len(ids)} anchors have no atom within reach: {shown}. Leave them "
            f"out, give a larger scale than {kernel.scale:g}, or take Kernel('nearest', k), which "
            "has atoms everywhere."
        )


def _enough(sizes: NDArray[np.int64], min_size: int, kernel: Kernel) -> NDArray[np.bool_]:
    """Return whether anchors have enough atoms; the message names the scale if none has."""
    if (sizes < min_size).all():
        raise ValueError(
            f"No anchor has min_size = {min_size} atoms within reach; the most is {sizes.max()}. "
            f"The scale {kernel.scale:g} is below the spacing of the atoms, or anchors and atoms "
            "have other units."
        )
    enough: NDArray[np.bool_] = large_enough(sizes, min_size)
    return enough
