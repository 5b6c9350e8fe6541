r"""Test by permutations whether a column of the metadata explains columns of numbers.

The share of the variance of numbers Y $(S, C)$, centred, that a column explains is

    R^2 = |Q^T Y|^2 / |Y|^2,

with Q an orthonormal basis of the centred indicators of groups, or of the centred ranks of a
number. For embeddings, summed over all coordinates, this is the statistic of a permutational
analysis of variance (Anderson, 2001): F is increasing in R^2. For ranks of a single column it is
$H / (S - 1)$ with the statistic H of Kruskal and Wallis without ties, and the square of Spearman's
correlation for a number; so one statistic serves all.

*Permutations.* If the column has no relation to the sets, any assignment of its values to them is
as likely as the observed one, and $p = (1 + \#\{R^{2*} \ge R^2\}) / (1 + B)$ is valid at any size.
Sets of one block (a patient, a plate) are not exchangeable with those of another. Where the column
is constant in every block, blocks take the place of sets, each with the mean of its rows of Y;
otherwise values are permuted within blocks, after the mean of each block is subtracted from Y and
from the indicators or ranks.

*Many columns.* With the maximum of R^2 over columns in place of each permutation's own value, the
probability of any false discovery is at most alpha (Westfall and Young, 1993), whatever the
dependence of the columns. Holm's correction would need permutations in proportion to the number of
columns, because no permutation p-value is below $1 / (1 + B)$.

| A new method for non-parametric multivariate analysis of variance (Anderson, 2001)
| Permutation p-values should never be zero (Phipson, Smyth, 2010)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from distembed.rng import Rng, as_generator

__all__ = ["Explained", "explained", "ranks"]

Array = NDArray[np.float64]
Scheme = Literal["sets", "blocks", "within blocks"]


@dataclass(frozen=True)
class Explained:
    """How much of some numbers a column explains.

    Attributes:
        share: Share of the variance of each column of numbers, `(C,)`; NaN where it is constant.
        p: P-value of each, `(C,)`.
        p_adjusted: P-value of each, adjusted for the number of columns, `(C,)`.
        total: Share of the variance of all columns together.
        p_total: Its p-value.
        permutations: Number of permutations.
        scheme: What was permuted.
    """

    share: Array
    p: Array
    p_adjusted: Array
    total: float
    p_total: float
    permutations: int
    scheme: Scheme


def explained(
    numbers: ArrayLike,
    codes: ArrayLike,
    *,
    ordered: bool,
    blocks: ArrayLike | None = None,
    permutations: int = 999,
    rng: Rng = 0,
) -> Explained:
    """Test whether a column explains numbers of sets.

    Args:
        numbers: `(S, C)`, such as embeddings or the `ranks` of moments.
        codes: The column, `(S,)`: the number of the group of each set, or numbers of which the
            ranks are used.
        ordered: Whether the column is a number, and not of groups.
        blocks: Number of the block of each set, `(S,)`; none if left out.
        permutations: Number of permutations B.
        rng: Source of the permutations.

    Raises:
        ValueError: If the lengths differ, or the column is constant.

    Example:
        >>> result = explained([[1.0], [2.0], [9.0], [10.0]], [0, 0, 1, 1], ordered=False)
        >>> round(result.total, 3)
        0.985
    """
    y, labels = np.asarray(numbers, dtype=np.float64), np.asarray(codes)
    if y.ndim != 2 or labels.shape != y.shape[:1] or not np.isfinite(y).all():
        raise ValueError(
            f"The numbers have shape {y.shape} and the column {labels.shape}; give finite numbers "
            "of shape (S, C), and one value of the column a set."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError("All sets have the same value of the column, which explains nothing.")
    unit = None if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    scheme = _scheme(labels, unit)
    if unit is not None and scheme == "blocks":
        y, labels, unit = _means(y, unit), labels[np.unique(unit, return_index=True)[1]], None
    design = ranks(labels)[:, None] if ordered else (labels[:, None] == np.unique(labels)) * 1.0
    y, q = _centred(y, unit), _basis(_centred(design, unit))
    generator = as_generator(rng)
    squares = (y**2).sum(0)
    own = _projected(q, y)
    # a copy of the observed assignment counts as extreme in spite of rounding
    bar, bar_total = own * (1 - 1e-9), own.sum() * (1 - 1e-9)
    varies = squares > 1e-12 * max(float(squares.max()), 1e-300)
    scale = np.where(varies, squares, np.inf)
    extreme, extreme_max = np.zeros((2, len(squares)), dtype=int)
    extreme_total = 0
    for rows in _assignments(len(y), unit, permutations, generator):
        drawn = _projected(q[rows], y)
        extreme += drawn >= bar
        extreme_max += (drawn / scale).max(initial=0.0) >= bar / scale
        extreme_total += int(drawn.sum() >= bar_total)
    count = 1 + permutations
    total = float(squares.sum())
    return Explained(
        np.where(varies, own / scale, np.nan),
        np.where(varies, (1 + extreme) / count, 1.0),
        np.where(varies, (1 + extreme_max) / count, 1.0),
        float(own.sum() / total) if total > 0 else np.nan,
        (1 + extreme_total) / count,
        permutations,
        scheme,
    )


def ranks(numbers: ArrayLike) -> Array:
    """Return the ranks of each column, ties at their mean; a missing value has the middle rank.

    So a missing value adds nothing to a covariance of ranks.

    Example:
        >>> ranks([30.0, 10.0, np.nan, 10.0]).tolist()
        [3.0, 1.5, 2.0, 1.5]
    """
    from scipy.stats import rankdata

    values = np.asarray(numbers, dtype=np.float64)
    ranked = np.asarray(rankdata(values, axis=0, nan_policy="omit"), dtype=np.float64)
    middle = (np.isfinite(ranked).sum(0) + 1) / 2
    return np.where(np.isfinite(ranked), ranked, middle)


def _scheme(labels: NDArray[np.generic], unit: NDArray[np.int64] | None) -> Scheme:
    if unit is None:
        return "sets"
    pairs = np.unique(np.stack([unit, np.unique(labels, return_inverse=True)[1]], 1), axis=0)
    return "blocks" if len(pairs) == int(unit.max()) + 1 else "within blocks"


def _means(columns: Array, unit: NDArray[np.int64]) -> Array:
    """Return the mean of each column in each block, `(K, C)`."""
    sums = np.zeros((int(unit.max()) + 1, columns.shape[1]))
    np.add.at(sums, unit, columns)
    means: Array = sums / np.bincount(unit)[:, None]
    return means


def _centred(columns: Array, unit: NDArray[np.int64] | None) -> Array:
    """Subtract the mean of each column, or that of each block."""
    return columns - (columns.mean(0) if unit is None else _means(columns, unit)[unit])


def _basis(design: Array) -> Array:
    """Return an orthonormal basis of the columns, `(S, K)`."""
    u, s, _ = np.linalg.svd(design, full_matrices=False)
    return np.ascontiguousarray(u[:, s > 1e-9 * s[0]])


def _projected(q: Array, y: Array) -> Array:
    """Return the squared length of the projection of each column, `(C,)`."""
    squares: Array = ((q.T @ y) ** 2).sum(0)
    return squares


def _assignments(
    count: int, unit: NDArray[np.int64] | None, permutations: int, rng: torch.Generator
) -> Iterator[NDArray[np.int64]]:
    """Draw assignments: row s receives the value of row `rows[s]`, of its own block."""
    if unit is None:
        for _ in range(permutations):
            yield torch.randperm(count, generator=rng).numpy()
        return
    grouped = np.argsort(unit, kind="stable")
    for _ in range(permutations):
        noise = torch.rand(count, generator=rng, dtype=torch.float64).numpy()
        rows = np.empty(count, dtype=np.int64)
        rows[grouped] = np.lexsort((noise, unit))
        yield rows
