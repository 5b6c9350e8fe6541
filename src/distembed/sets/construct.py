"""Construct sets from observations: one set of the rows that share a label."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np

from distembed.data.labels import numbered_rows
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.recognise import channels_first, recognise
from distembed.protocols import AtomSpace
from distembed.rng import Rng, as_generator
from distembed.sets.collection import Sets
from distembed.sets.draw import without_replacement
from distembed.sets.ranges import as_ranges
from distembed.sets.recipe import recipe_of

__all__ = ["by_label", "checked_weights", "large_enough", "normalised"]

logger = logging.getLogger(__name__)


def by_label(
    observations: Observations,
    by: str | Sequence[str],
    *,
    meta: str | Sequence[str] | None = None,
    weights: str | None = None,
    min_size: int = 2,
    max_size: int | None = None,
    rng: Rng = 0,
    atoms: AtomSpace | None = None,
) -> Sets:
    """Group rows that share a label, or a combination of labels, into one set each.

    Sets are in the order in which their labels first appear. Rows of weight zero are left out.
    Smaller sets are dropped, and their number is logged.

    Args:
        observations: One row an atom.
        by: Column of labels, or several; a set of several is called "a|b".
        meta: Columns to keep as metadata, constant within every set; every other column that is
            constant within sets where left out. Several `by` columns are always kept.
        weights: Column of sampling weights, on any scale.
        min_size: Fewest atoms of a set.
        max_size: Most atoms of a set; a larger one is replaced by a uniform draw of as many.
        rng: Source of that draw.
        atoms: The kind of atoms; recognised where left out (`distembed.data.recognise`).

    Raises:
        ValueError: If a column is unknown, a label, an atom or a weight is invalid, a column of
            `meta` varies within a set, or no set is large enough.

    Example:
        >>> x, day = np.arange(8.0).reshape(4, 2), np.array([1, 2, 2, 1])
        >>> obs = Observations(x, {"who": np.array(list("baab")), "day": day})
        >>> sets = by_label(obs, "who")
        >>> sets.ids.tolist(), sets.sizes.tolist(), sets.meta["day"].tolist()
        (['b', 'a'], [2, 2], [1, 2])
    """
    if atoms is None:
        atoms = recognise(observations)
        observations = channels_first(observations)
    names = [by] if isinstance(by, str) else list(by)
    meta = [meta] if isinstance(meta, str) else meta
    columns = observations.columns
    if not names:
        raise ValueError("by is empty; name the column that says which set a row belongs to.")
    refuse_unknown([*names, *(meta or ()), *([weights] if weights else [])], columns, "column")
    ids, code = _labels([observations.labels(name, check=True) for name in names])
    w = np.ones(len(code))
    if weights:
        w = checked_weights(columns[weights], weights)
        _refuse_no_weight(w, code, ids)
    rows = np.flatnonzero(w)
    rows = rows[np.argsort(code[rows], kind="stable")]
    sizes = np.bincount(code[rows], minlength=len(ids))
    large = large_enough(sizes, min_size)
    rows, ids, sizes = rows[large[code[rows]]], ids[large], sizes[large]
    if max_size is not None:
        rows, sizes = _thinned(rows, sizes, _at_least_one("max_size", max_size), rng)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    kept = {n: columns[n][rows[offsets[:-1]]] for n in names if len(names) > 1}
    candidates = [n for n in columns if n not in {*names, weights}] if meta is None else meta
    kept |= _constant(((n, columns[n][rows]) for n in candidates), offsets, ids, meta is not None)
    table, w = Observations(observations.x, features=observations.features), w[rows]
    share = normalised(w, offsets)
    given = {"by": by, "weights": weights, "min_size": min_size, "max_size": max_size}
    recipe = recipe_of("by_label", given)
    ranges = as_ranges(rows, offsets)
    return Sets(table, ranges, offsets, ids, share, kept, atoms, recipe=recipe).checked()


def _thinned(
    rows: np.ndarray, sizes: np.ndarray, max_size: int, rng: Rng
) -> tuple[np.ndarray, np.ndarray]:
    """Draw at most so many rows of each set; return the rows, and the sizes `(S,)`."""
    counts = np.minimum(sizes, max_size)
    drawn = without_replacement(sizes, counts, as_generator(rng))
    return rows[np.repeat(np.cumsum(sizes) - sizes, counts) + drawn], counts


def _labels(texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return ids in the order in which they appear, and the number of the id of each row."""
    parts, code = numbered_rows(texts)
    return np.array(["|".join(part) for part in parts]), code


def checked_weights(column: np.ndarray, name: str) -> np.ndarray:
    """Return a column of sampling weights as float64, `(R,)`.

    Raises:
        ValueError: If they are not numbers, not finite or negative.
    """
    if column.dtype.kind not in "biuf":
        raise ValueError(
            f"The weights in column {name!r} are text, such as {str(column[0])[:20]!r}; weights "
            "are numbers. Name a column of numbers."
        )
    w = column.astype(float)
    invalid = ~np.isfinite(w) | (w < 0)
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ValueError(
            f"Weight {w[row]} in row {row} of column {name!r}; sampling weights are finite and "
            "not negative."
        )
    return w


def _refuse_no_weight(w: np.ndarray, code: np.ndarray, ids: np.ndarray) -> None:
    total = np.bincount(code, w, minlength=len(ids))
    if (total <= 0).any():
        raise ValueError(
            f"The weights of set '{ids[np.argmax(total <= 0)]}' sum to zero; at least one of its "
            "atoms needs a positive weight. Drop the set otherwise."
        )


def large_enough(sizes: np.ndarray, min_size: int) -> np.ndarray:
    """Return whether sets have enough atoms, `(S,)`, and log how many have not.

    Raises:
        ValueError: If none has.
    """
    large: np.ndarray = sizes >= _at_least_one("min_size", min_size)
    if not large.any():
        median = int(np.median(sizes))
        advice = f"Lower min_size: half of them have {median} or more."
        if median < 2:
            advice = (
                "Check that `by` names sets and not single atoms, and that the arrays are sets."
            )
        raise ValueError(
            f"None of {len(sizes)} {'set' if len(sizes) == 1 else 'sets'} has min_size = "
            f"{min_size} atoms; the largest has {sizes.max()}. {advice}"
        )
    if not large.all():
        dropped, atoms = int((~large).sum()), int(sizes[~large].sum())
        logger.warning(
            "dropped %d of %d sets, with %d atoms in all: they have fewer than min_size = %d",
            dropped,
            len(sizes),
            atoms,
            min_size,
        )
    return large


def _constant(
    columns: Iterable[tuple[str, np.ndarray]], offsets: np.ndarray, ids: np.ndarray, required: bool
) -> dict[str, np.ndarray]:
    """Return one value a set of the columns that are constant; refuse others if `required`."""
    kept = {}
    for name, values in columns:
        value = values[offsets[:-1]]
        spread = np.repeat(value, np.diff(offsets))
        differs = (values != spread) & ~((values != values) & (spread != spread))
        if not differs.any():
            kept[name] = value
        elif required:
            row = int(np.argmax(differs))
            s = int(np.searchsorted(offsets, row, side="right")) - 1
            raise ValueError(
                f"Column {name!r} is {value[s]} and {values[row]} within set '{ids[s]}'; metadata "
                "have one value a set. Leave the column out, or add it to `by`."
            )
    return kept


def normalised(w: np.ndarray, offsets: np.ndarray) -> np.ndarray | None:
    """Divide the weights of each set by their sum; None if all sets have equal ones."""
    sizes = np.diff(offsets)
    w = w / np.repeat(np.add.reduceat(w, offsets[:-1]), sizes)
    return None if np.allclose(w * np.repeat(sizes, sizes), 1, rtol=0, atol=1e-12) else w


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} = {value}; a set has at least one atom.")
    return value
