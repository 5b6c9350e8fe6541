r"""Split-conformal quantiles, for sets and for groups of sets.

Scores s of calibration sets and that of a new one are exchangeable, so that the new one is at
most the $\lceil (1 - a)(K + 1) \rceil$-th smallest of K with probability at least $1 - a$,
whatever the head (Vovk, Gammerman and Shafer, 2005; Lei et al., 2018).

Sets of one group, as samples of a patient, are not exchangeable with those of another, but groups
are. The quantile of

    sum_k sum_i 1 / ((K + 1) n_k) delta(s_ki) + 1 / (K + 1) delta(infinity)

with K groups of n_k sets then covers a set of a new group with the same probability (Lee, Barber
and Willett, 2023). With one set a group it is the quantile above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["conformal_quantile"]


def conformal_quantile(
    scores: ArrayLike, level: float = 0.9, groups: ArrayLike | None = None
) -> float:
    """Return the score that a new set exceeds with probability at most `1 - level`.

    Args:
        scores: Scores of calibration sets, `(S,)`.
        level: Coverage.
        groups: Group of each set, `(S,)`; each its own if left out.

    Returns:
        The quantile; infinite if there are fewer than `level / (1 - level)` groups.

    Raises:
        ValueError: If the level is no probability, or there are no scores.

    Example:
        >>> conformal_quantile([3.0, 1.0, 2.0, 4.0], level=0.8)
        4.0
        >>> conformal_quantile([3.0, 1.0, 2.0], level=0.8)
        inf
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; a coverage is between 0 and 1, such as 0.9.")
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 1 or not len(s):
        raise ValueError(
            f"The scores have shape {s.shape}; expected one a calibration set. Hold sets out for "
            "calibration, as calibration=0.25 does."
        )
    labels = np.arange(len(s)) if groups is None else np.asarray(groups)
    _, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(s, kind="stable")
    mass = np.cumsum(1 / counts[number][order]) / (len(counts) + 1)
    # sums of thirds are not whole numbers
    enough = np.flatnonzero(mass >= level - 1e-12)
    return float(s[order[enough[0]]]) if len(enough) else np.inf
