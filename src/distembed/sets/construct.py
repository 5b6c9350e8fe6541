r"""Construct sets from observations: the rows of a label, and mixtures of other sets.

A k-sparse mixture of sets $P_1 .. P_S$ is $\sum_c \pi_c P_c$ over k of them, with
$\pi \sim Dirichlet(\alpha)$. Its $n_c \ge 1$ atoms of component c weigh $\pi_c / n_c$ each, so
that its proportions are $\pi$ itself and not the frequencies of a draw.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from distembed.data.observations import Observations, plain_column, refuse_unknown
from distembed.data.spaces import Vectors
from distembed.protocols import AtomSpace
from distembed.rng import Rng, as_generator
from distembed.sets.collection import Sets
from distembed.sets.draw import ranks, without_replacement

__all__ = ["as_text", "by_label", "mixtures"]

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

    Sets come in the order in which their labels first appear. Rows of weight zero belong to no
    distribution and are left out. Smaller sets are dropped, and their number is logged.

    Args:
        observations: One row an atom.
        by: Column of labels, or several; a set of several is called "a|b".
        meta: Columns to keep as metadata, constant within every set; every other column that is
            constant within sets where left out. Several `by` columns are always kept.
        weights: Column of sampling weights, on any scale.
        min_size: Fewest atoms of a set.
        max_size: Most atoms of a set; a larger one is replaced by a uniform draw of as many.
        rng: Source of that draw.
        atoms: The kind of atoms; vectors where left out.

    Raises:
        ValueError: If a column is unknown, a label is missing, an atom is not finite or not of
            its kind, weights are negative, not finite or sum to zero, a column of `meta` varies
            within a set, or no set is large enough.

    Example:
        >>> x, day = np.arange(8.0).reshape(4, 2), np.array([1, 2, 2, 1])
        >>> obs = Observations(x, {"who": np.array(list("baab")), "day": day})
        >>> sets = by_label(obs, "who")
        >>> sets.ids.tolist(), sets.sizes.tolist(), sets.meta["day"].tolist()
        (['b', 'a'], [2, 2], [1, 2])
    """
    names = [by] if isinstance(by, str) else list(by)
    meta = [meta] if isinstance(meta, str) else meta
    columns = observations.columns
    if not names:
        raise ValueError("by is empty; name the column that says which set a row belongs to.")
    refuse_unknown([*names, *(meta or ()), *([weights] if weights else [])], columns, "column")
    ids, code = _labels({name: columns[name] for name in names})
    w = np.ones(len(code))
    if weights:
        w = _checked_weights(columns[weights], weights, code, ids)
    rows = np.flatnonzero(w)
    rows = rows[np.argsort(code[rows], kind="stable")]
    sizes = np.bincount(code[rows], minlength=len(ids))
    large = _large_enough(sizes, min_size)
    rows, ids, sizes = rows[large[code[rows]]], ids[large], sizes[large]
    if max_size is not None:
        counts = np.minimum(sizes, _at_least_one("max_size", max_size))
        drawn = without_replacement(sizes, counts, as_generator(rng))
        rows, sizes = rows[np.repeat(np.cumsum(sizes) - sizes, counts) + drawn], counts
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    kept = {n: columns[n][rows[offsets[:-1]]] for n in names if len(names) > 1}
    candidates = [n for n in columns if n not in {*names, weights}] if meta is None else meta
    kept |= _constant(((n, columns[n][rows]) for n in candidates), offsets, ids, meta is not None)
    table = Observations(observations.x, {}, observations.features)
    w_rows = _normalised(w[rows], offsets)
    return Sets(table, rows, offsets, ids, w_rows, kept, atoms or Vectors()).checked()


def mixtures(
    sets: Sets,
    n: int,
    k: int,
    *,
    alpha: float = 1.0,
    size: tuple[int, int] = (64, 256),
    rng: Rng = 0,
    name: str = "mixture",
) -> Sets:
    """Construct n mixtures of k sets each, with exact Dirichlet proportions.

    Atoms are drawn without replacement inside a component; one that is smaller than its share is
    taken whole, and the rest is drawn with replacement.

    Args:
        sets: The components, of equal weights.
        n: How many mixtures.
        k: Components of each, chosen without replacement.
        alpha: Concentration of the Dirichlet distribution.
        size: Least and greatest number of atoms, drawn uniformly.
        rng: Source of every draw.
        name: Mixtures are called name0, name1, ...

    Returns:
        Weighted sets over the same observations. A column of metadata `weight_<id>` for every
        component holds its proportion, zero where it is absent.

    Raises:
        ValueError: If the components are weighted, there are fewer than k of them, a mixture may
            have fewer than k atoms, or a number is not positive.

    Example:
        >>> obs = Observations(np.arange(6.0)[:, None], {"c": np.array(list("aabbcc"))})
        >>> mixed = mixtures(by_label(obs, "c"), n=5, k=2, size=(4, 4))
        >>> total = sum(mixed.meta.values())
        >>> len(mixed), bool(np.allclose(total, 1))
        (5, True)
    """
    low, high = size
    if sets.weighted:
        raise ValueError("The components are weighted; mixtures need sets of equal weights.")
    if not 1 <= k <= len(sets) or not k <= low <= high or n < 1 or not alpha > 0:
        raise ValueError(
            f"n = {n}, k = {k}, size = {size} and alpha = {alpha} with {len(sets)} components: "
            "needed are 1 <= k <= components, k <= size[0] <= size[1], n >= 1 and alpha > 0."
        )
    generator = as_generator(rng)
    draw = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    part = without_replacement(np.full(n, len(sets)), np.full(n, k), generator).reshape(n, k)
    share = draw.dirichlet(np.full(k, alpha), n)
    counts = _apportioned(share, draw.integers(low, high + 1, n))

    # from here on a group is a component of a mixture
    sizes, totals = sets.sizes[part.ravel()], counts.ravel()
    distinct = np.minimum(sizes, totals)
    group, rank = np.repeat(np.arange(n * k), totals), ranks(totals)
    place = (draw.random(len(group)) * sizes[group]).astype(np.int64)
    place[rank < distinct[group]] = without_replacement(sizes, distinct, generator)
    proportions = np.zeros((n, len(sets)))
    np.put_along_axis(proportions, part, share, axis=1)
    offsets = np.concatenate([[0], counts.sum(1).cumsum()])
    columns = zip(sets.ids, proportions.T, strict=True)
    return replace(
        sets,
        rows=sets.rows[sets.offsets[part.ravel()][group] + place],
        offsets=offsets,
        ids=np.array([f"{name}{i}" for i in range(n)]),
        w=_normalised((share / counts).ravel()[group], offsets),
        meta={f"weight_{component}": column for component, column in columns},
    )


def as_text(column: np.ndarray) -> np.ndarray:
    """Write labels as strings, whole floats like integers, a missing label as an empty string."""
    if column.dtype.kind != "f":
        return plain_column(column).astype(str)
    whole = np.isfinite(column) & (column == np.round(column)) & (np.abs(column) < 2**53)
    text = np.where(whole, np.where(whole, column, 0).astype(np.int64).astype(str), column)
    return np.where(np.isnan(column), "", text.astype(str))


def _labels(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return ids in the order in which they appear, and the number of the id of each row."""
    texts = [as_text(column) for column in columns.values()]
    code = np.zeros(len(texts[0]), np.int64)
    for name, text in zip(columns, texts, strict=True):
        if (text == "").any():
            raise ValueError(
                f"Row {np.argmax(text == '')} has no label in column {name!r}; every atom belongs "
                "to a set. Drop such rows first."
            )
        values, inverse = np.unique(text, return_inverse=True)
        code = np.unique(code * len(values) + inverse, return_inverse=True)[1]
    _, first = np.unique(code, return_index=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    parts = zip(*(text[first[order]].tolist() for text in texts), strict=True)
    return np.array(["|".join(part) for part in parts]), number[code]


def _checked_weights(
    column: np.ndarray, name: str, code: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    if column.dtype.kind not in "biuf":
        raise ValueError(f"The weights in column {name!r} are {column.dtype}; they are numbers.")
    w = column.astype(float)
    invalid = ~np.isfinite(w) | (w < 0)
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ValueError(
            f"Weight {w[row]} in row {row} of column {name!r}; sampling weights are finite and "
            "not negative."
        )
    total = np.bincount(code, w, minlength=len(ids))
    if (total <= 0).any():
        raise ValueError(
            f"The weights of set '{ids[np.argmax(total <= 0)]}' sum to zero; at least one of its "
            "atoms needs a positive weight. Drop the set otherwise."
        )
    return w


def _large_enough(sizes: np.ndarray, min_size: int) -> np.ndarray:
    large: np.ndarray = sizes >= _at_least_one("min_size", min_size)
    if not large.any():
        median = int(np.median(sizes))
        advice = f"Lower min_size: half of them have {median} or more."
        if median < 2:
            advice = "Check that the column `by` names sets, and not single atoms."
        raise ValueError(
            f"None of {len(sizes)} sets has min_size = {min_size} atoms; the largest has "
            f"{sizes.max()}. {advice}"
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


def _normalised(w: np.ndarray, offsets: np.ndarray) -> np.ndarray | None:
    """Divide the weights of each set by their sum; None if all sets have equal ones."""
    sizes = np.diff(offsets)
    w = w / np.repeat(np.add.reduceat(w, offsets[:-1]), sizes)
    return None if np.allclose(w * np.repeat(sizes, sizes), 1, rtol=0, atol=1e-12) else w


def _apportioned(share: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Assign each of k components one atom, and the others by largest remainders."""
    k = share.shape[1]
    exact = share * (m - k)[:, None]
    counts = np.floor(exact).astype(np.int64)
    remainder = m - k - counts.sum(1)
    place = np.argsort(np.argsort(counts - exact, axis=1), axis=1)
    total: np.ndarray = 1 + counts + (place < remainder[:, None])
    return total


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} = {value}; a set has at least one atom.")
    return value
