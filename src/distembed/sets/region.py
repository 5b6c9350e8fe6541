"""Split sets that overlap by regions of space or time, with a gap between the two parts.

Sets of a kernel or of sliding windows share atoms with their neighbours, so that a random split
judges a model on atoms that it was trained on. Here the places of the sets are divided at medians
into blocks (a k-d partition); some blocks are the test part, and sets of the other blocks that are
nearer to a test set than a buffer are left out. A buffer of twice the reach of the kernel leaves
no shared atom, which is checked.

| Cross-validation strategies for data with spatial or temporal structure: Roberts et al. (2017).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.data.observations import refuse_unknown
from distembed.rng import Rng, as_generator
from distembed.sets.anchors import coordinates_of
from distembed.sets.collection import Sets
from distembed.sets.split import refuse_overlap

__all__ = ["kd_blocks", "split_by_region"]

logger = logging.getLogger(__name__)


def split_by_region(
    sets: Sets,
    coordinates: Sequence[str],
    test: float = 0.2,
    *,
    buffer: float,
    blocks: int = 8,
    rng: Rng = 0,
) -> tuple[Sets, Sets]:
    """Divide sets into a training and a test part by blocks of their places.

    Args:
        sets: The sets, whose metadata has their places.
        coordinates: The columns of metadata, such as ["x", "y"].
        test: Share of the sets in the test part, met as closely as whole blocks allow.
        buffer: Distance from test sets within which training sets are left out, in units of the
            coordinates (days for dates); twice the reach of the kernel, or the width of a window.
        blocks: Number of blocks, at least two.
        rng: Source of the choice of blocks.

    Returns:
        The training part and the test part.

    Raises:
        ValueError: If a column is unknown or holds neither numbers nor dates, a number is out of
            range, no training set is beyond the buffer, or the parts still share atoms.

    Example:
        >>> from distembed.data.observations import Observations
        >>> from distembed.sets.window import by_window
        >>> obs = Observations(np.arange(40.0)[:, None], {"t": np.arange(40.0)})
        >>> sets = by_window(obs, "t", width=4, stride=2)
        >>> train, test = split_by_region(sets, ["t_from"], 0.25, buffer=4)
        >>> len(sets), len(train), len(test), len(np.intersect1d(train.rows, test.rows))
        (18, 10, 4, 0)
    """
    refuse_unknown(coordinates, sets.meta, "metadata column")
    if not 0 < test < 1 or buffer < 0 or not 2 <= blocks <= len(sets):
        raise ValueError(
            f"test = {test}, buffer = {buffer}, blocks = {blocks} for {len(sets)} sets: test is "
            "a share between 0 and 1, the buffer is not negative, and there are at least two "
            "blocks and at most as many as sets."
        )
    places = coordinates_of(sets.meta, coordinates)
    block = kd_blocks(places, blocks)
    order = torch.randperm(blocks, generator=as_generator(rng)).numpy()
    total = np.cumsum(np.bincount(block, minlength=blocks)[order])[:-1]
    number = 1 + int(np.argmin(np.abs(total - test * len(sets))))
    held_out = np.isin(block, order[:number])
    near = _nearest(places, places[held_out]) <= buffer
    train = ~held_out & ~near
    if not train.any():
        raise ValueError(
            f"No training set is further than the buffer {buffer:g} from the test part. Give a "
            "smaller buffer, or fewer blocks so that they are larger."
        )
    dropped = int((near & ~held_out).sum())
    if dropped:
        logger.warning(
            "%d of %d sets are within the buffer %g of a test set and in neither part",
            dropped, len(sets), buffer,
        )  # fmt: skip
    parts = sets.select(train), sets.select(held_out)
    try:
        refuse_overlap(*parts)
    except ValueError as error:
        raise ValueError(
            f"The parts share atoms across the buffer {buffer:g}; give at least twice the reach "
            f"of the kernel, or the width of a window. {error}"
        ) from error
    return parts


def kd_blocks(places: NDArray[np.float64], blocks: int) -> NDArray[np.int64]:
    """Divide points `(S, C)` into blocks of nearly equal numbers; return the block of each.

    The largest block is divided at the median of its widest coordinate until there are enough.

    Example:
        >>> kd_blocks(np.array([[0.0], [3.0], [1.0], [2.0]]), 2).tolist()
        [0, 1, 0, 1]
    """
    block = np.zeros(len(places), np.int64)
    for new in range(1, blocks):
        largest = int(np.argmax(np.bincount(block, minlength=new)))
        rows = np.flatnonzero(block == largest)
        axis = int(np.argmax(np.ptp(places[rows], axis=0)))
        upper = rows[np.argsort(places[rows, axis], kind="stable")[(len(rows) + 1) // 2 :]]
        block[upper] = new
    return block


def _nearest(places: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from each point `(S, C)` to the nearest of others."""
    from scipy.spatial import cKDTree

    distance: NDArray[np.float64] = cKDTree(others).query(places)[0]
    return distance
