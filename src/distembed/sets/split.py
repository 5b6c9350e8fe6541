"""Split a collection by sets, so that no set and no atom is on both sides.

Strata come in a random order, and the units of each (a set, or a group of sets that must stay
together) in a random order too. Each gives its first units to the test part: as many as bring the
number of sets nearest to the sum of the shares so far. A stratum of single sets is within one of
its share, and the test part has exactly its size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from distembed.data.observations import refuse_unknown
from distembed.rng import Rng, as_generator
from distembed.sets.ranges import Ranges

if TYPE_CHECKING:
    from distembed.sets.collection import Sets

__all__ = ["refuse_overlap", "split"]


def split(
    sets: Sets,
    test: float | int = 0.2,
    *,
    rng: Rng = 0,
    stratify: str | None = None,
    group: str | None = None,
) -> tuple[Sets, Sets]:
    """Divide the sets into a training and a test part, each in the order of the collection.

    Args:
        sets: At least two.
        test: Share of the sets to hold out, or their number; met as closely as groups allow.
        rng: Source of the choice.
        stratify: Column of metadata whose values both parts hold in like proportion.
        group: Column of metadata whose values are not divided, such as the donor of a sample.

    Returns:
        The training part and the test part.

    Raises:
        ValueError: If a column is unknown, `test` leaves a part empty, there is a single group,
            a group belongs to several strata, or the parts would share atoms.

    Example:
        >>> from distembed.data.observations import Observations
        >>> from distembed.sets.construct import by_label
        >>> table = Observations(np.zeros((20, 1)), {"set": np.arange(20) // 2})
        >>> train, test = split(by_label(table, "set"), 0.3)
        >>> len(train), len(test)
        (7, 3)
    """
    refuse_unknown([c for c in (stratify, group) if c], sets.meta, "metadata column")
    target = _test_size(test, len(sets))
    unit = np.arange(len(sets))
    if group:
        unit = np.unique(sets.meta[group], return_inverse=True)[1]
    units = int(unit.max()) + 1
    if units < 2:
        raise ValueError(f"All sets have the same {group!r}; there is no way to divide them.")
    stratum = _strata(sets, unit, units, stratify, group)
    generator = as_generator(rng)
    order = torch.randperm(units, generator=generator).numpy()
    size = np.bincount(unit)
    taken, due, chosen = 0, 0.0, []
    for k in torch.randperm(int(stratum.max()) + 1, generator=generator):
        members = order[stratum[order] == int(k)]
        total = taken + np.cumsum([0, *size[members]])
        due += target * (total[-1] - taken) / len(sets)
        count = int(np.argmin(np.abs(total - due)))
        taken = int(total[count])
        chosen.append(members[:count])
    test_units = np.concatenate(chosen)
    if not len(test_units):
        test_units = order[:1]
    elif len(test_units) == units:
        test_units = test_units[:-1]
    held_out = np.isin(unit, test_units)
    parts = sets.select(~held_out), sets.select(held_out)
    refuse_overlap(*parts)
    return parts


def refuse_overlap(train: Sets, test: Sets) -> None:
    """Raise a ValueError if two collections share a set, by its id, or an atom.

    An atom is shared if both read the same row of the same observations.
    """
    shared = np.intersect1d(train.ids, test.ids)
    if len(shared):
        raise ValueError(
            f"{len(shared)} sets are in both parts, such as '{shared[0]}'. A model cannot be "
            "judged on its training sets; split by sets."
        )
    if train.observations.x is not test.observations.x:
        return
    if isinstance(train.rows, Ranges) and isinstance(test.rows, Ranges):
        shared_sets = train.rows.overlap(test.rows)
    else:
        in_train = np.zeros(train.observations.rows, bool)
        in_train[np.asarray(train.rows)] = True
        shared_sets = np.logical_or.reduceat(in_train[np.asarray(test.rows)], test.offsets[:-1])
    if shared_sets.any():
        raise ValueError(
            f"{int(shared_sets.sum())} sets of the test part share atoms with the training part, "
            f"the first being '{test.ids[np.argmax(shared_sets)]}'. Divide sets of "
            "kernels and windows by split_by_region; split the observations before sets are "
            "mixed; or split with a `group` that holds all sets that share atoms."
        )


def _test_size(test: float | int, sets: int) -> int:
    """Return the number of test sets, at least one on either side."""
    size = round(test * sets) if isinstance(test, float) else int(test)
    if isinstance(test, float) and not 0 < test < 1 or not 0 < test < sets or sets < 2:
        raise ValueError(
            f"test = {test} of {sets} sets; give a share between 0 and 1, or a number of sets "
            "that leaves some on both sides."
        )
    return min(max(size, 1), sets - 1)


def _strata(
    sets: Sets, unit: np.ndarray, units: int, stratify: str | None, group: str | None
) -> np.ndarray:
    """Return the number of the stratum of each unit."""
    if stratify is None:
        return np.zeros(units, np.int64)
    values, code = np.unique(sets.meta[stratify], return_inverse=True)
    if len(values) > max(2, len(sets) // 2):
        raise ValueError(
            f"{stratify!r} has {len(values)} values for {len(sets)} sets, too many to keep each "
            "in proportion. Bin it first, for instance by quantiles."
        )
    stratum = np.zeros(units, np.int64)
    stratum[unit] = code
    divided = stratum[unit] != code
    if divided.any():
        raise ValueError(
            f"{group!r} {sets.meta[group or ''][np.argmax(divided)]} has sets of several values "
            f"of {stratify!r}; a group that stays together belongs to one stratum."
        )
    return stratum
