"""What a model says of its own errors, and whether that is true."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.halves import Evaluated, Halves
from distembed.evaluation.rank_correlation import Truth
from distembed.model.embeddings import Embeddings, noise_of

__all__ = ["certainty", "noise_share"]

LEVEL, MOST_PAIRS = 0.95, 5000


def noise_share(table: Embeddings, pairs: NDArray[np.int64]) -> float:
    r"""Return the median share of noise in squared distances, $\operatorname{tr} V / |d|^2$.

    Args:
        table: Embeddings with covariances.
        pairs: Rows of two sets that have one, `(P, 2)`.

    Returns:
        The share; NaN where all pairs coincide.
    """
    first, second = pairs.T
    squared = np.square(table.z[first].astype(float) - table.z[second]).sum(1)
    noise, apart = noise_of(table), squared > 0
    if not apart.any():
        return float("nan")
    return float(np.median((noise[first] + noise[second])[apart] / squared[apart]))


def certainty(model: Evaluated, sets: Halves, truth: Truth) -> dict[str, str]:
    """Say how much of distances is noise, and how often intervals hold the true W2.

    Args:
        model: Nothing is said of one whose embeddings have no covariances.
        sets: Its contexts are embedded.
        truth: Pairs and their W2; where it was measured, and not given, it has errors of its own,
            and intervals are not judged by it.

    Returns:
        Sentences by what they are about.
    """
    if "covariance" not in inspect.signature(model.embed).parameters:
        return {}
    asked: Any = model
    table = asked.embed(sets.given, covariance=True)
    pairs, w2 = truth.index.numpy()[:MOST_PAIRS], truth.w2[:MOST_PAIRS]
    # a set of one atom knows nothing of its error
    known = np.isfinite(table.covariances).all((1, 2))[pairs].all(1)
    pairs, w2 = pairs[known], w2[known]
    if not len(pairs):
        return {}
    share = f"{noise_share(table, pairs):.1%}"
    said = {"noise": f"{share} of the squared latent distance of two sets (median)"}
    if not truth.exact or not hasattr(model, "distance_intervals"):
        return said
    try:
        found = asked.distance_intervals(table, pairs, level=LEVEL)
    except ValueError as error:
        return said | {"w2_intervals": f"none: {error}"}
    inside = (found.low <= w2) & (w2 <= found.high)
    width = float(np.median((found.high - found.low) / np.maximum(w2, 1e-300)))
    text = f"{inside.mean():.1%} of {len(pairs)} pairs lie in their {LEVEL:.0%} interval, whose "
    return said | {"w2_intervals": text + f"width is {width:.0%} of W2 (median)"}
