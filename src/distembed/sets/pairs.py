"""Pairs of sets of which one follows the other: in time, after a treatment, by descent.

A pair is two numbers of sets of one collection, or of one table of embeddings: nothing is copied.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from distembed.data.labels import as_text, numbered_rows
from distembed.data.observations import refuse_unknown

__all__ = ["Pairs", "child_of", "named_meta", "next_set", "treated"]

logger = logging.getLogger(__name__)

Index = NDArray[np.int64]


class Named(Protocol):
    """Sets, or a table of them, with names and metadata."""

    @property
    def ids(self) -> np.ndarray:
        """Name of each set, `(S,)`."""

    @property
    def meta(self) -> Mapping[str, np.ndarray]:
        """Columns of metadata, each `(S,)`."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of sets.

    Attributes:
        before: Number of the first set of each pair, `(P,)`.
        after: Number of the set that follows it, `(P,)`.
        group: Name of what is not divided in a validation, such as the donor, `(P,)`.
    """

    before: Index
    after: Index
    group: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.before)

    def select(self, rows: Any) -> Pairs:
        """Return some pairs, by number or mask."""
        return Pairs(self.before[rows], self.after[rows], self.group[rows])


def next_set(
    sets: Named, order: str, within: str | Sequence[str] | None = None, step: Any = None
) -> Pairs:
    """Pair each set with the next one in time.

    Args:
        sets: Sets, or a table of embeddings.
        order: Column of metadata that orders them: numbers or dates.
        within: Columns that both sets of a pair share, such as the donor.
        step: Difference of the two times, whatever lies between; where left out, the next time
            there is, however far.

    Raises:
        ValueError: If a column is unknown or does not order, a time occurs twice within a group,
            or no set has a next one.

    Example:
        >>> from distembed.sets.read import read
        >>> sets = read([[[0.0]]] * 4, min_size=1)
        >>> sets = sets.with_meta({"day": [2, 0, 1, 0], "who": ["a", "a", "a", "b"]})
        >>> pairs = next_set(sets, "day", within="who")
        >>> pairs.before.tolist(), pairs.after.tolist(), pairs.group.tolist()
        ([1, 2], [2, 0], ['a', 'a'])
    """
    names = [within] if isinstance(within, str) else list(within or ())
    meta = named_meta(sets, [order, *names])
    time = meta[order]
    if time.dtype.kind not in "biufM" or (time != time).any():
        raise ValueError(
            f"Column {order!r} holds {time.dtype} values, some of them missing or text; sets are "
            "ordered by numbers or dates. Convert the column, or leave these sets out."
        )
    group = _joined([as_text(meta[name]) for name in names], len(time))
    code = np.unique(group, return_inverse=True)[1]
    rows = np.lexsort((time, code))
    one, other = rows[:-1], rows[1:]
    together = code[one] == code[other]
    twice = together & (time[one] == time[other])
    if twice.any():
        k = int(np.argmax(twice))
        raise ValueError(
            f"Sets '{sets.ids[one[k]]}' and '{sets.ids[other[k]]}' have the same {order!r}, "
            f"{time[one[k]]}, so that neither follows. Name in `within` what tells them apart."
        )
    if step is None:
        pairs = Pairs(one[together], other[together], group[one[together]])
    else:
        time = time.astype(np.int64) if time.dtype.kind in "biu" else time  # sums do not wrap
        row = dict(zip(zip(code.tolist(), time, strict=True), range(len(time)), strict=True))
        later = np.array([row.get((code[r], time[r] + step), -1) for r in rows.tolist()])
        pairs = Pairs(rows[later >= 0], later[later >= 0], group[rows[later >= 0]])
    _refuse_none(pairs, f"no set has a next {order!r}" + (f" within {names}" if names else ""))
    gaps = np.unique(time[pairs.after] - time[pairs.before])
    if step is None and len(gaps) > 1:
        logger.warning(
            "pairs are %s to %s of %r apart; name `step` to have equal ones",
            gaps[0], gaps[-1], order,
        )  # fmt: skip
    return pairs


def treated(
    sets: Named, condition: str, control: str, within: str | Sequence[str] | None = None
) -> Pairs:
    """Pair the control of each group with each of its other sets.

    Args:
        sets: Sets, or a table of embeddings.
        condition: Column of metadata, such as the drug or the perturbed gene.
        control: Its value for controls.
        within: Columns that both sets of a pair share, such as the batch. A group has one control.

    Raises:
        ValueError: If a column is unknown, there is no control, or a group has several.
    """
    names = [within] if isinstance(within, str) else list(within or ())
    meta = named_meta(sets, [condition, *names])
    value = as_text(meta[condition])
    group = _joined([as_text(meta[name]) for name in names], len(value))
    refuse_unknown([control], np.unique(value).tolist(), f"value of {condition!r}")
    control_of: dict[str, int] = {}
    for row in np.flatnonzero(value == control).tolist():
        if group[row] in control_of:
            raise ValueError(
                f"Sets '{sets.ids[control_of[group[row]]]}' and '{sets.ids[row]}' are both "
                f"controls of the group {group[row]!r}. Name in `within` what tells them apart."
            )
        control_of[group[row]] = row
    after = np.array(
        [r for r in np.flatnonzero(value != control).tolist() if group[r] in control_of], np.int64
    )
    left_out = int((value != control).sum()) - len(after)
    if left_out:
        logger.warning("%d sets have no control in their group, and are in no pair", left_out)
    before = np.array([control_of[group[r]] for r in after.tolist()], np.int64)
    pairs = Pairs(before, after, group[after] if names else value[after])
    _refuse_none(pairs, f"no set shares {names} with a control")
    return pairs


def child_of(sets: Named, parent: str) -> Pairs:
    """Pair each set with its parent.

    Args:
        sets: Sets, or a table of embeddings.
        parent: Column of metadata with the id of the parent; blank where there is none.

    Returns:
        The pairs; children of one parent are a group.

    Raises:
        ValueError: If the column is unknown, or names no set.
    """
    name = as_text(named_meta(sets, [parent])[parent])
    row = {label: i for i, label in enumerate(np.asarray(sets.ids).astype(str).tolist())}
    after = np.array([i for i, p in enumerate(name.tolist()) if p in row], np.int64)
    absent = [p for p in name.tolist() if p and p not in row]
    if absent:
        logger.warning("%d parents are not among the sets, such as %r", len(absent), absent[0])
    pairs = Pairs(np.array([row[p] for p in name[after].tolist()], np.int64), after, name[after])
    _refuse_none(pairs, f"no value of {parent!r} is the id of a set")
    return pairs


def named_meta(sets: Named, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return columns of metadata by name.

    Raises:
        ValueError: If one is unknown.
    """
    refuse_unknown(names, sets.meta, "metadata column")
    return {name: np.asarray(sets.meta[name]) for name in names}


def _joined(columns: Sequence[np.ndarray], count: int) -> NDArray[np.str_]:
    """Return the names of groups, `(S,)`; one of all sets where there are no columns.

    Raises:
        ValueError: If two groups would have one name.
    """
    if not columns:
        return np.full(count, "all")
    parts, code = numbered_rows(columns)
    names = np.array(["|".join(part) for part in parts])
    if len(set(names.tolist())) < len(names):
        twice = next(name for name in names.tolist() if (names == name).sum() > 1)
        raise ValueError(
            f"Two groups would have the name {twice!r}, because '|' stands in the values of the "
            "columns and between them. Replace it in the metadata."
        )
    groups: NDArray[np.str_] = names[code]
    return groups


def _refuse_none(pairs: Pairs, why: str) -> None:
    if not len(pairs):
        raise ValueError(f"There is no pair: {why}. Look at the metadata of the sets.")
