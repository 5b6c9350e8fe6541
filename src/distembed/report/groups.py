"""Comparison of the groups of a cohort: whether they differ, and in which features.

A group is a level of a column of the metadata; a column of numbers or of ordered levels is
compared along its ranks. Embeddings, and ranks of the mean and spread of every feature, are tested
by `distembed.inference.tests.explained`, with the same permutations.

The tests are valid although the model was trained on the same sets, as long as it received nothing
of the column: values of the column are permuted between embeddings that stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distembed.inference.tests.explained import Explained, explained, ranks
from distembed.report.column import choose_column
from distembed.report.dependence import independent
from distembed.report.levels import labels_of, quantities
from distembed.report.moments import Moments, set_moments
from distembed.sets.sharing import shared_noise

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.protocols import Collection
    from distembed.report.column import Column
    from distembed.report.levels import Kind

__all__ = ["Difference", "GroupComparison", "compare_groups", "two_sides"]

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """What a column explains of one moment of one feature.

    Attributes:
        feature: Its name.
        moment: `mean` or `spread`.
        share: Share of the variance of the ranks of the moment.
        p: P-value, adjusted for the number of moments.
        sets: Number of sets in which the moment is defined.
        low: Group of the lowest median of the moment, and that median. Of numbers the groups are
            the lower and the upper third of the column, in this order.
        high: Group of the highest median, and that median.
    """

    feature: str
    moment: str
    share: float
    p: float
    sets: int
    low: tuple[str, float]
    high: tuple[str, float]


@dataclass(frozen=True)
class GroupComparison:
    """A column of the metadata, tested against the sets.

    Attributes:
        column: Its name.
        kind: `categorical`, `ordered` or `continuous`.
        groups: Levels and the number of their sets; none of a continuous column.
        sets: Number of sets that are compared.
        embeddings: Test of the embeddings; None if there is nothing to compare.
        p: Its p-value, times the number of columns among which this one was selected.
        among: Number of columns among which this one was selected; 1 if it was requested.
        differences: Moments of features, the largest share first; none for atoms without features.
        notes: What limits the comparison, in sentences.
    """

    column: str
    kind: Kind
    groups: tuple[tuple[str, int], ...]
    sets: int
    embeddings: Explained | None
    p: float
    among: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare_groups(
    table: Embeddings,
    sets: Collection | None = None,
    color: str | None = None,
    *,
    group: str | None = None,
    permutations: int = 999,
    rng: int = 0,
) -> GroupComparison:
    """Test whether the sets of groups differ, and in which features.

    Args:
        table: Embeddings of the sets.
        sets: The sets, for their features; without them embeddings alone are compared.
        color: The column of groups, or of numbers; by default the one that neighbours predict
            best, whose p-values are multiplied by the number of columns.
        group: Column of blocks of sets that belong together, as patients of samples.
        permutations: Number of permutations; no p-value is below 1 / (1 + permutations).
        rng: Seed of the permutations.

    Returns:
        The comparison; without a test, and with the reason in its notes, if fewer than six sets or
        two groups of two sets can be compared.

    Raises:
        ValueError: If there is no such column, or the table is of other sets.

    Example:
        >>> import distembed as de
        >>> z = np.arange(12.0)[:, None]
        >>> sizes = np.full(12, 5)
        >>> site = np.repeat(["a", "b"], 6)
        >>> names = np.arange(12).astype(str)
        >>> table = de.Embeddings(z, names, sizes, sizes, {"site": site})
        >>> result = compare_groups(table, color="site")
        >>> result.groups, result.p < 0.05
        ((('a', 6), ('b', 6)), True)
    """
    if sets is not None and not np.array_equal(table.ids, sets.ids):
        raise ValueError("The embeddings are of other sets, or in another order; embed these.")
    column = choose_column(table.z, table.meta, table.sizes, color)
    codes, rows, levels, notes = _design(column)
    kind = column.kind
    blocks = None if group is None else _blocks(table, group, rows)
    shared = table.shared if sets is None or table.shared is not None else shared_noise(sets)
    kept = independent(shared, rows, codes, blocks)
    rows, notes = kept.rows, [*notes, *kept.notes]
    counts = [(level, int((codes[rows] == i).sum())) for i, level in enumerate(levels)]
    comparison = GroupComparison(
        column.name,
        kind,
        tuple((level, count) for level, count in counts if count),
        len(rows), None, np.nan, max(column.among, 1), (), tuple(notes),
    )  # fmt: skip
    values = np.unique(codes[rows])
    if len(values) == 1:
        reason = (
            f"There is nothing to compare: the {len(rows)} sets have one value of {column.name}."
        )
        return replace(comparison, notes=(*notes, reason))
    if len(rows) < 6 or kept.units < 6 and kept.notes:
        reason = (
            f"There is nothing to compare: {len(rows)} sets have a value of {column.name} that "
            f"occurs twice or more{f', in {kept.units} independent units' * bool(kept.notes)}; a "
            "comparison needs six sets, and two groups."
        )
        return replace(comparison, notes=(*notes, reason))
    test: dict[str, Any] = {
        "ordered": kind != "categorical", "blocks": kept.blocks, "permutations": permutations,
        "rng": rng,
    }  # fmt: skip
    result = explained(np.asarray(table.z, dtype=float)[rows], codes[rows], **test)
    differences: tuple[Difference, ...] = ()
    if sets is not None and sets.atoms.name in ("vectors", "counts"):
        moments = set_moments(sets)
        differences = _differences(moments, codes, rows, levels, column, test)
    return replace(
        comparison,
        embeddings=result,
        p=min(1.0, result.p_total * comparison.among),
        differences=differences,
        notes=tuple(notes),
    )


def two_sides(
    column: Column, z: NDArray[Any]
) -> tuple[tuple[str, Index], tuple[str, Index]] | None:
    """Return two groups that stand for a column, each with its name and the rows of its sets.

    Of categories they are the two whose mean embeddings are farthest apart, in units of the
    standard error of the difference; of other columns the lower and the upper third.

    Returns:
        The two groups; None if there are not two of two sets.
    """
    codes, rows, levels, _ = _design(column)
    if not len(rows) or len(np.unique(codes[rows])) < 2:
        return None
    if column.kind != "categorical":
        return _thirds(codes, rows, levels, column.write)
    present = np.unique(codes[rows]).astype(int).tolist()
    members = {c: rows[codes[rows] == c] for c in present}
    points = np.asarray(z, dtype=float)

    def apart(a: int, b: int) -> float:
        one, other = points[members[a]], points[members[b]]
        gap = ((one.mean(0) - other.mean(0)) ** 2).sum()
        noise = one.var(0).sum() / len(one) + other.var(0).sum() / len(other)
        return float(gap / max(noise, 1e-300))

    pairs = [(a, b) for i, a in enumerate(present) for b in present[i + 1 :]]
    a, b = max(pairs, key=lambda pair: apart(*pair))
    return (levels[a], members[a]), (levels[b], members[b])


def _design(column: Column) -> tuple[NDArray[Any], Index, list[str], list[str]]:
    """Return the number of each set, the rows that are compared, the levels, and notes."""
    kind, notes = column.kind, []
    levels: list[str] = []
    if kind == "continuous":
        codes = quantities(column.values)
    else:
        numbers, levels = labels_of(column.values)
        codes = np.where(numbers < 0, np.nan, numbers)
    there = np.isfinite(codes)
    if missing := int((~there).sum()):
        noun, verb = ("set has", "is") if missing == 1 else ("sets have", "are")
        notes.append(f"{missing} {noun} no value of {column.name}, and {verb} left out.")
    if kind == "categorical":
        count = np.bincount(codes[there].astype(int), minlength=len(levels))
        there[there] = count[codes[there].astype(int)] > 1
        single = [level for level, c in zip(levels, count, strict=True) if c == 1]
        if single:
            names = ", ".join(single[:5]) + (", ..." if len(single) > 5 else "")
            notes.append(f"Groups of a single set are left out: {names}.")
    return codes, np.flatnonzero(there), levels, notes


def _blocks(table: Embeddings, group: str, rows: Index) -> Index:
    """Return the number of the block of each of some sets, by a column."""
    if group not in table.meta:
        raise ValueError(
            f"There is no metadata column {group!r} of blocks; there are: {', '.join(table.meta)}."
        )
    blocks = labels_of(table.meta[group])[0][rows]
    if (blocks < 0).any():
        raise ValueError(
            f"The column {group!r} of blocks is missing for {int((blocks < 0).sum())} sets; give "
            "each set without a block one of its own."
        )
    return blocks.astype(np.int64)


def _differences(
    moments: Moments,
    codes: NDArray[Any],
    rows: Index,
    levels: list[str],
    column: Column,
    test: dict[str, Any],
) -> tuple[Difference, ...]:
    """Test the ranks of all moments, and describe them, the largest share first."""
    parts = {"mean": moments.mean[rows], "spread": moments.spread[rows]}
    result = explained(ranks(np.concatenate(list(parts.values()), axis=1)), codes[rows], **test)
    own = codes[rows]
    if column.kind == "categorical":
        sides = [(levels[int(c)], np.flatnonzero(own == c)) for c in np.unique(own)]
    else:
        sides = list(_thirds(own, np.arange(len(own)), levels, column.write))

    def described() -> Iterator[Difference]:
        width = len(moments.features)
        for k, (moment, values) in enumerate(parts.items()):
            for d, feature in enumerate(moments.features):
                share = float(result.share[k * width + d])
                medians = [(name, _median(values[at, d])) for name, at in sides]
                defined = [m for m in medians if np.isfinite(m[1])]
                if not np.isfinite(share) or not defined:
                    continue
                low, high = defined[0], defined[-1]
                if column.kind == "categorical":
                    low = min(defined, key=lambda m: m[1])
                    high = max(defined, key=lambda m: m[1])
                p = min(1.0, float(result.p_adjusted[k * width + d]) * max(column.among, 1))
                count = int(np.isfinite(values[:, d]).sum())
                yield Difference(feature, moment, share, p, count, low, high)

    return tuple(sorted(described(), key=lambda row: -row.share))


def _median(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def _thirds(
    codes: NDArray[Any], rows: Index, levels: list[str], write: Callable[[float], str]
) -> tuple[tuple[str, Index], tuple[str, Index]]:
    """Return the sets of the lower and of the upper third, or of the outer levels."""
    own = codes[rows]
    if levels:
        low, high = own.min(), own.max()
        names = levels[int(low)], levels[int(high)]
    else:
        low, high = np.quantile(own, [1 / 3, 2 / 3])
        if low == high:  # a value that most sets have
            low, high = own.min(), own.max()
        names = f"up to {write(low)}", f"from {write(high)}"
    return (names[0], rows[own <= low]), (names[1], rows[own >= high])
