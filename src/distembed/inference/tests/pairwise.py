r"""Test many pairs of sets for one distribution, by their embeddings alone.

If sets a and b come from one distribution, $z_a - z_b$ is nearly normal around zero with
covariance $V_a + V_b$, so $|z_a - z_b|^2$ is a sum of chi-squares weighted by its eigenvalues.
The p-values of all pairs are adjusted for their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.inference.chi_square.weighted_sum import ChiSquareSum
from distembed.inference.tests.multiplicity import benjamini_hochberg

__all__ = ["PairwiseResult", "pairwise_tests", "tail"]


@dataclass(frozen=True)
class PairwiseResult:
    """Results of the tests of P pairs.

    Attributes:
        pairs: The two sets of each pair, `(P, 2)`.
        statistic: `|z_a - z_b|^2`, `(P,)`.
        p: Asymptotic p-values, `(P,)`.
        q: P-values adjusted after Benjamini and Hochberg, `(P,)`.
    """

    pairs: NDArray[np.int64]
    statistic: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]


def pairwise_tests(
    z: ArrayLike,
    cov: ArrayLike,
    pairs: ArrayLike,
    *,
    left: ArrayLike = 1.0,
    numbers: int = 2**22,
) -> PairwiseResult:
    r"""Test many pairs of sets by their embeddings, without their atoms.

    Under the null $|z_a - z_b|^2$ is a sum of chi-squares weighted by the eigenvalues of
    $V_a + V_b$. The p-values are asymptotic: for small sets the covariances are too small, and so
    are the p-values. Test single pairs of small sets by permutation.

    Args:
        z: Embeddings, `(S, L)`.
        cov: Their covariances, `(S, L, L)`.
        pairs: The two sets of each pair, `(P, 2)`.
        left: Share of the variance of the difference that is left where the sets of a pair share
            atoms, `(P,)` (`distembed.sets.sharing.left_noise`); 1 where they share none. Where
            none is left, both sets are the same atoms, and p is one.
        numbers: Size of the covariances of pairs that are in memory at once.

    Raises:
        ValueError: If shapes do not fit, or a pair has a set that does not exist, one set twice,
            or a set without a covariance, such as a single atom.

    Example:
        >>> z, cov = [[0.0], [0.0], [5.0]], [[[0.5]]] * 3
        >>> pairwise_tests(z, cov, [[0, 1], [0, 2]]).q.round(6).tolist()
        [1.0, 1e-06]
    """
    points, spread = np.asarray(z, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    index = np.asarray(pairs)
    if points.ndim != 2 or spread.shape != (*points.shape, points.shape[-1]):
        raise ValueError(
            f"z has shape {points.shape} and cov {spread.shape}; expected (S, L) and (S, L, L)."
        )
    if index.ndim != 2 or index.shape[1] != 2 or index.dtype.kind not in "iu":
        raise ValueError(
            f"pairs has shape {index.shape} and dtype {index.dtype}; expected (P, 2) integers."
        )
    if index.size and (index.min() < 0 or index.max() >= len(points)):
        beyond = index[(index < 0) | (index >= len(points))][0]
        raise ValueError(
            f"pairs names set {beyond}, which is beyond the numbers of the sets, 0 to "
            f"{len(points) - 1}."
        )
    if (index[:, 0] == index[:, 1]).any():
        same = index[index[:, 0] == index[:, 1]][0, 0]
        raise ValueError(f"pairs has set {same} twice in a pair; a test compares two sets.")
    sets = np.unique(index)
    finite = np.isfinite(spread[sets]).all((1, 2)) & np.isfinite(points[sets]).all(1)
    if not finite.all():
        raise ValueError(
            f"Set {sets[~finite][0]} has no covariance, such as a set of a single atom; leave "
            "its pairs out."
        )
    statistic = np.square(points[index[:, 0]] - points[index[:, 1]]).sum(1)
    size = max(1, numbers // points.shape[1] ** 2)
    parts = np.split(index, range(size, len(index), size))
    weights = np.concatenate([
        np.linalg.eigvalsh(spread[part[:, 0]] + spread[part[:, 1]]) for part in parts
    ])  # fmt: skip
    share = np.broadcast_to(np.asarray(left, dtype=np.float64), len(index))
    # two sets of the same atoms differ by rounding; of m atoms all but one leave about 1 / m
    same = share < 1e-9
    p = np.where(same, 1.0, tail(np.where(same, 0.0, statistic), weights * share[:, None]))
    return PairwiseResult(index.astype(np.int64), statistic, p, benjamini_hochberg(p))


def tail(x: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper tail of weighted chi-squares; one at zero, even if all weights are zero."""
    above = ChiSquareSum(weights.clip(min=0)).above(x)
    return np.where(x > 0, above, 1.0).clip(0, 1)
