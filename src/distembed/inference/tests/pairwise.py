r"""Do sets come from one distribution? Many pairs at once, from embeddings alone.

If sets a and b come from one distribution, $z_a - z_b$ is nearly normal around zero with
covariance $V_a + V_b$, so $|z_a - z_b|^2$ is a sum of chi-squares weighted by its eigenvalues.
Atoms are not needed again, and the p-values of all pairs are adjusted for their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.inference.chi_square.weighted_sum import ChiSquareSum
from distembed.inference.tests.multiplicity import benjamini_hochberg

__all__ = ["PairwiseResult", "pairwise_tests", "tail"]

_NUMBERS = 2**22  # of covariances of pairs, at once


@dataclass(frozen=True)
class PairwiseResult:
    """What tests of many pairs found, one value a pair.

    Attributes:
        pairs: The two sets of each pair, `(P, 2)`.
        statistic: `|z_a - z_b|^2`, `(P,)`.
        p: Asymptotic p-values, `(P,)`.
        q: The same after Benjamini and Hochberg, `(P,)`.
    """

    pairs: NDArray[np.int64]
    statistic: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]


def pairwise_tests(z: ArrayLike, cov: ArrayLike, pairs: ArrayLike) -> PairwiseResult:
    r"""Test many pairs of sets by their embeddings, without their atoms.

    Under the null $|z_a - z_b|^2$ is a sum of chi-squares that the eigenvalues of $V_a + V_b$
    weigh. It is asymptotic only: where sets are small the covariances are too small, and so are
    the p-values. Test single pairs of small sets by permutation.

    Args:
        z: Embeddings, `(S, L)`.
        cov: Their covariances, `(S, L, L)`.
        pairs: The two sets of each pair, `(P, 2)`.

    Raises:
        ValueError: If shapes do not fit, a pair names a set that does not exist, or one set twice,
            or one without a covariance, as of a single atom.

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
        raise ValueError(f"pairs names sets beyond 0 to {len(points) - 1}.")
    if (index[:, 0] == index[:, 1]).any():
        raise ValueError("A pair names one set twice; a set is no evidence against itself.")
    used = np.unique(index)
    known = np.isfinite(spread[used]).all((1, 2)) & np.isfinite(points[used]).all(1)
    if not known.all():
        raise ValueError(
            f"Set {used[~known][0]} has no covariance, as a set of a single atom has none; leave "
            "its pairs out."
        )
    statistic = np.square(points[index[:, 0]] - points[index[:, 1]]).sum(1)
    some = max(1, _NUMBERS // points.shape[1] ** 2)
    parts = np.split(index, range(some, len(index), some))
    weights = np.concatenate([
        np.linalg.eigvalsh(spread[part[:, 0]] + spread[part[:, 1]]) for part in parts
    ])  # fmt: skip
    p = tail(statistic, weights)
    return PairwiseResult(index.astype(np.int64), statistic, p, benjamini_hochberg(p))


def tail(x: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tail of weighted chi-squares; one at zero, also where nothing varies."""
    above = ChiSquareSum(weights.clip(min=0)).above(x)
    return np.where(x > 0, above, 1.0).clip(0, 1)
