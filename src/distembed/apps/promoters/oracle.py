"""An oracle of expression: ridge regression on k-mers of promoters that no set has.

It judges sequences that nobody measured, and is no better than its own R2 on measured promoters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.data.tokens import Tokens
from distembed.encoders.sequence_features import mean_kmers
from distembed.registry import need

__all__ = ["Oracle"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Oracle:
    """A regression of expression on k-mers.

    Attributes:
        model: The regression.
        r2: Its R2 on promoters that it was not fitted to.
        promoters: Number of promoters that it was fitted to.
    """

    model: Any
    r2: float
    promoters: int

    @classmethod
    def fit(cls, sequences: Sequence[str], level: Array, rng: np.random.Generator) -> Oracle:
        """Fit to four fifths of promoters, with the penalty of the smallest error on the others.

        Args:
            sequences: The promoters.
            level: Their expression.
            rng: Draws the division.
        """
        linear = need("sklearn.linear_model", "sklearn")
        order = rng.permutation(len(level))
        x = _kmers(sequences)
        train, choice, test = np.split(order, [round(0.7 * len(order)), round(0.85 * len(order))])
        models = [
            linear.Ridge(alpha).fit(x[train], level[train]) for alpha in (0.003, 0.01, 0.03, 0.1)
        ]
        best = max(models, key=lambda model: model.score(x[choice], level[choice]))
        return cls(best, float(best.score(x[test], level[test])), len(train))

    def predict(self, sequences: Sequence[str]) -> Array:
        """Predict the expression of promoters, `(N,)`."""
        predicted: Array = self.model.predict(_kmers(sequences))
        return predicted


def _kmers(sequences: Sequence[str], most: int = 1024) -> Array:
    """Return the shares of k-mers of each sequence, `(N, F)`."""
    x = torch.from_numpy(Tokens("dna").encode(list(sequences)))
    batch = SetBatch(x, torch.ones(len(x)), torch.arange(len(x) + 1))
    shares: Array = mean_kmers(batch, 4, most).numpy()
    return shares
