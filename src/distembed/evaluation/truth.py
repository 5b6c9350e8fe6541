r"""The W2 of known distributions that have no formula for it, measured on fresh samples twice.

$\widehat W = (W^{(1)} + W^{(2)}) / 2$, each the exact W2 of n atoms a set, drawn anew for every
pair. Both are too large by about the same amount, which leaves ranks alone. How well the two agree
says how far to trust them: where r is their correlation, that of the truth itself with their mean
is $\sqrt{2 r / (1 + r)}$ (Spearman, 1910; Brown, 1910).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.divergences.exact import ExactW2
from distembed.evaluation.bootstrap import spearman
from distembed.evaluation.cache import cached
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["MeasuredW2", "measured_w2"]


@dataclass(frozen=True)
class MeasuredW2:
    """A truth that was measured.

    Attributes:
        w2: The mean of two measurements of each pair, `(P,)`.
        agreement: Their rank correlation.
    """

    w2: NDArray[np.float64]
    agreement: float


def measured_w2(
    sets: Collection, pairs: NDArray[np.int64], points: int = 800, seed: int = 0
) -> MeasuredW2:
    """Measure the W2 of pairs of distributions, once: the result is kept on disk.

    Args:
        sets: Distributions that draw fresh atoms, as those of `distembed.data.synthetic` do.
        pairs: Which, `(P, 2)`.
        points: Fresh atoms of both sets for each pair and measurement.
        seed: Of the atoms.
    """

    def measure(k: int) -> NDArray[np.float64]:
        a, b = (
            sets.batch(side.tolist(), points, stream(seed, "measured", k, part)).to(
                dtype=torch.float64
            )
            for part, side in enumerate(pairs.T)
        )
        inputs = [a.x.numpy(), b.x.numpy()]
        return cached("w2", inputs, lambda: ExactW2()(a, b).numpy())

    first, second = measure(0), measure(1)
    once = np.ones((1, len(sets)))
    return MeasuredW2((first + second) / 2, spearman(first, second, pairs, once).value)
