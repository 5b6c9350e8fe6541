r"""Mutual information of two vectors: an estimate from neighbours, and a bound from a forecast.

The estimator of Kraskov et al. with k neighbours, in the largest of the two Chebyshev distances:

    I = psi(k) + psi(n) - mean_i (psi(a_i + 1) + psi(b_i + 1)),

a_i and b_i being the numbers of points that are nearer in x, and in y, than the k-th neighbour of
i in both. It is biased, the more the more dimensions there are: read it beside the same estimate
of permuted pairs.

For any score s(x, y), the InfoNCE bound of n pairs is

    I >= log n + mean_i log ( exp s(x_i, y_i) / sum_j exp s(x_i, y_j) ),

here of the Gaussian forecast of y from x that other pairs were fitted to: the score cannot have
learned the pairs it is judged on.

| Estimating mutual information (Kraskov, Stögbauer, Grassberger, 2004), estimator 1
| Representation learning with contrastive predictive coding (van den Oord et al., 2018)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import digamma, logsumexp

__all__ = [
    "contrastive_bits",
    "neighbour_bits",
    "permuted_bits",
    "permuted_within",
    "retrieval",
]

Array = NDArray[np.float64]


def neighbour_bits(x: Array, y: Array, k: int = 3) -> float:
    """Estimate the mutual information of pairs, in bits.

    Args:
        x: First vectors, `(n, p)`.
        y: Second vectors, `(n, q)`.
        k: Number of neighbours.

    Raises:
        ValueError: If there are at most k pairs.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(800, 1))
        >>> y = 0.9 * x + np.sqrt(1 - 0.9**2) * rng.normal(size=(800, 1))
        >>> bool(abs(neighbour_bits(x, y) + 0.5 * np.log2(1 - 0.9**2)) < 0.1)
        True
    """
    return _bits(_distances(x), _distances(y), k)


def permuted_bits(
    x: Array,
    y: Array,
    strata: NDArray[np.int64],
    draws: int,
    rng: np.random.Generator,
    k: int = 3,
) -> tuple[float, Array]:
    """Estimate the mutual information of pairs, and of pairs that are permuted within strata.

    Args:
        x: First vectors, `(n, p)`.
        y: Second vectors, `(n, q)`.
        strata: Number of the stratum of each pair, `(n,)`.
        draws: Number of permutations.
        rng: Source of the permutations.
        k: Number of neighbours.

    Returns:
        The estimate, and those of the permutations, `(draws,)`, in bits.
    """
    dx, dy = _distances(x), _distances(y)
    null = np.empty(draws)
    for i in range(draws):
        order = permuted_within(strata, rng)
        null[i] = _bits(dx, dy[np.ix_(order, order)], k)
    return _bits(dx, dy, k), null


def _distances(x: Array) -> Array:
    """Return Chebyshev distances, infinite from a point to itself, `(n, n)`."""
    distance: Array = cdist(x, x, "chebyshev")
    np.fill_diagonal(distance, np.inf)
    return distance


def _bits(dx: Array, dy: Array, k: int) -> float:
    """Estimate mutual information from the distances of both vectors."""
    n = len(dx)
    if n <= k:
        raise ValueError(f"There are {n} pairs, and {k} neighbours need at least {k + 1}.")
    radius = np.partition(np.maximum(dx, dy), k - 1, axis=1)[:, k - 1 : k]
    nearer = digamma((dx < radius).sum(1) + 1) + digamma((dy < radius).sum(1) + 1)
    return float((digamma(k) + digamma(n) - nearer.mean()) / np.log(2))


def contrastive_bits(score: Array) -> float:
    """Return the InfoNCE bound of mutual information, in bits.

    Args:
        score: Score of each x with each y, `(n, n)`; pairs are on the diagonal.

    Example:
        >>> contrastive_bits(np.zeros((8, 8)))
        0.0
    """
    n = len(score)
    own = np.diag(score) - logsumexp(score, axis=1)
    return float((np.log(n) + own.mean()) / np.log(2)) + 0.0


def retrieval(score: Array) -> Array:
    """Return, for each x, the share of other y that its own y is ahead of, `(n,)`.

    Ties count half.

    Args:
        score: Score of each x with each y, `(n, n)`; pairs are on the diagonal.

    Example:
        >>> retrieval(np.eye(3)).tolist(), retrieval(np.zeros((3, 3))).tolist()
        ([1.0, 1.0, 1.0], [0.5, 0.5, 0.5])
    """
    own = np.diag(score)[:, None]
    ahead = (own > score).sum(1) + 0.5 * ((own == score).sum(1) - 1)
    share: Array = ahead / (len(score) - 1)
    return share


def permuted_within(strata: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a permutation that moves each index within its stratum only, `(n,)`.

    Args:
        strata: Number of the stratum of each index, `(n,)`.
        rng: Source of the draw.

    Example:
        >>> strata = np.array([0, 1, 0, 2])
        >>> bool((strata[permuted_within(strata, np.random.default_rng(0))] == strata).all())
        True
    """
    # both orders list the strata one after the other, and the second one shuffles within them
    order = np.argsort(strata, kind="stable")
    shuffled = np.lexsort((rng.random(len(strata)), strata))
    result = np.empty(len(strata), dtype=np.int64)
    result[order] = shuffled
    return result
