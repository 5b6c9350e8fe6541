"""Coverage of a model's intervals, and the share of noise in its distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.subject import CalibratedModel
from distembed.evaluation.truth import ReferenceW2
from distembed.model.embeddings import Embeddings, noise_of

__all__ = ["certainty", "noise_share"]


def noise_share(table: Embeddings, pairs: NDArray[np.int64]) -> float:
    r"""Return the median share of noise in squared distances, $\operatorname{tr} V / |d|^2$.

    Args:
        table: Embeddings with covariances.
        pairs: Rows of two sets with covariances each, `(P, 2)`.

    Returns:
        The share; NaN if all pairs coincide.
    """
    first, second = pairs.T
    squared = np.square(table.z[first].astype(float) - table.z[second]).sum(1)
    noise, apart = noise_of(table), squared > 0
    if not apart.any():
        return float("nan")
    return float(np.median((noise[first] + noise[second])[apart] / squared[apart]))


def certainty(
    model: CalibratedModel,
    table: Embeddings,
    reference: ReferenceW2,
    level: float = 0.95,
    largest: int = 5000,
) -> dict[str, str]:
    """Measure the share of noise in distances, and the coverage of intervals for W2.

    Args:
        model: Returns the intervals.
        table: Its embeddings of the contexts, with covariances.
        reference: Pairs and their W2. If that was measured on samples, it has errors of its own,
            and the intervals are not checked.
        level: Coverage of the intervals.
        largest: Number of pairs that are used at most.

    Returns:
        Sentences, by what they are about: `noise` and `w2_intervals`.
    """
    pairs, w2 = reference.index.numpy()[:largest], reference.w2[:largest]
    # the error of a set of one atom cannot be estimated
    finite = np.isfinite(table.covariances).all((1, 2))
    estimated = np.take(finite, pairs).all(1)
    pairs, w2 = pairs[estimated], w2[estimated]
    if not len(pairs):
        return {}
    share = f"{noise_share(table, pairs):.1%}"
    sentences = {"noise": f"{share} of the squared latent distance of two sets (median)"}
    if not reference.exact:
        return sentences
    try:
        interval = model.distance_intervals(table, pairs, level=level)
    except ValueError as error:
        return sentences | {"w2_intervals": f"none: {error}"}
    inside = (interval.low <= w2) & (w2 <= interval.high)
    width = float(np.median((interval.high - interval.low) / np.maximum(w2, 1e-300)))
    text = f"{inside.mean():.1%} of {len(pairs)} pairs lie in their {level:.0%} interval, whose "
    text += f"width is {width:.0%} of W2 (median)"
    return sentences | {"w2_intervals": f"{text}. {interval.warning}".removesuffix(". ")}
