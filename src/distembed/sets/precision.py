r"""Check that atoms survive as float32: a large offset leaves no digits for what varies.

Numbers $x$ around $\mu$ are rounded to float32 with an error of up to $2^{-24} |\mu|$: seconds
since 1970 to multiples of 128. A feature is refused if the root mean square of the errors exceeds
1 % of its standard deviation within sets (that over all atoms, if it varies between sets only). A
rounding error of this size changes a W2 distance by at most 1 % of the spread of a set.

Both are estimated from up to 64 sets and $2^{20}$ numbers, evenly spaced over the collection; a
source of float32, or of whole numbers below $2^{24}$, is exact. Subtracting a constant from the
feature mends it, and changes no distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distembed.data.observations import Observations
from distembed.sets.draw import ranks
from distembed.sets.ranges import Ranges

__all__ = ["check_rounding", "examined", "may_lose", "refuse_lost"]


def check_rounding(
    observations: Observations,
    rows: np.ndarray | Ranges,
    offsets: np.ndarray,
    most: float = 0.01,
    sets: int = 64,
    numbers: int = 2**20,
) -> None:
    """Refuse a feature that float32 does not resolve.

    Args:
        observations: The table of atoms.
        rows: Rows of all sets, `(N,)`.
        offsets: Where each set starts and ends, `(S + 1,)`.
        most: Largest rounding error, as a fraction of the standard deviation.
        sets: Most sets that are read.
        numbers: Most numbers that are read.

    Raises:
        ValueError: If there is one; the message names the first, its spread and the fix.
    """
    x = observations.x
    if not may_lose(x.dtype):
        return
    width = int(np.prod(x.shape[1:]))
    where, ends = examined(offsets, width, sets, numbers)
    part = x[rows[where]]
    refuse_lost(part.toarray() if observations.sparse else part, ends, observations.features, most)


def _any_value(part: np.ndarray) -> np.ndarray:
    """Return a measured value of each feature, zero where there is none, `(*event)`."""
    first = np.argmax(~np.isnan(part), axis=0)
    values: np.ndarray = np.nan_to_num(np.take_along_axis(part, first[None], 0)[0])
    return values


def may_lose(dtype: np.dtype[Any]) -> bool:
    """Return whether numbers of this type may change in float32."""
    return dtype.kind in "iuf" and dtype.itemsize > (4 if dtype.kind == "f" else 2)


def examined(
    offsets: np.ndarray, width: int, sets: int = 64, numbers: int = 2**20
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the atoms that are examined.

    Args:
        offsets: Where each set starts and ends, `(S + 1,)`.
        width: Numbers of an atom.
        sets: Most sets.
        numbers: Most numbers.

    Returns:
        Their positions in increasing order, `(P,)`, and where each of the chosen sets starts and
        ends among them.
    """
    chosen = np.unique(np.linspace(0, len(offsets) - 2, sets).astype(np.int64))
    share = max(2, numbers // (len(chosen) * width))
    sizes = np.diff(offsets)[chosen]
    counts = np.minimum(sizes, share)
    start, size, count = (np.repeat(v, counts) for v in (offsets[chosen], sizes, counts))
    return start + ranks(counts) * size // count, np.concatenate([[0], np.cumsum(counts)])


def refuse_lost(
    x: np.ndarray, offsets: np.ndarray, features: Sequence[str] | None, most: float = 0.01
) -> None:
    """Refuse a feature of some atoms that float32 does not resolve.

    Args:
        x: Atoms of a type that may lose digits, `(P, *event)`.
        offsets: Where each of their sets starts and ends, `(C + 1,)`.
        features: Names of the features.
        most: Largest rounding error, as a fraction of the standard deviation.

    Raises:
        ValueError: If there is one.
    """
    part, counts = x.astype(np.float64), np.diff(offsets)
    if np.isnan(part).any():  # missing values, which take a value that adds no spread
        part = np.where(np.isnan(part), _any_value(part), part)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # refused elsewhere
        error = np.square(part - part.astype(np.float32)).sum(0)
        if not error.any():
            return
        means = np.add.reduceat(part, offsets[:-1])
        means /= counts.reshape(-1, *[1] * (part.ndim - 1))
        within = np.square(part - np.repeat(means, counts, axis=0)).sum(0)
        spread = np.where(within > 0, within, np.square(part - part.mean(0)).sum(0))
        lost = (error > most**2 * spread) & (part != part[:1]).any(0) & np.isfinite(error)
    if not lost.any():
        return
    place = tuple(np.argwhere(lost)[0].tolist())
    name = features[place[0]] if features else place
    others = f", and of {int(lost.sum()) - 1} more," if lost.sum() > 1 else ""
    mean = part[(slice(None), *place)].mean()
    deviation = np.sqrt(spread[place] / len(part))
    raise ValueError(
        f"The values of feature {name!r}{others} are lost in float32: they vary by "
        f"{deviation:.3g} around {mean:.6g}, where float32 numbers are "
        f"{np.spacing(np.float32(abs(mean))):.3g} apart. Subtract a reference from the feature, "
        "such as its smallest value: distances stay the same. If numbers are very small, rescale "
        "it."
    )
