"""What an embedding adds to features of the sets: nested models on the same folds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from distembed.heads.cross_validation import CrossValidation, cross_validated
from distembed.heads.joined import join_features
from distembed.heads.scores import Score
from distembed.model.embeddings import Embeddings

__all__ = ["AddedValue", "added_value"]


@dataclass(frozen=True)
class AddedValue:
    """Predictions by features, with and without an embedding.

    Attributes:
        features: Cross-validation of the features alone.
        joined: Of the features with the embedding.
    """

    features: CrossValidation
    joined: CrossValidation

    @property
    def difference(self) -> Score:
        """By how much the embedding raises the first score, with its interval and p-value."""
        return self.joined.difference(self.features)


def added_value(
    table: Embeddings, features: ArrayLike, y: Any, groups: Any = None, **options: Any
) -> AddedValue:
    """Cross-validate features alone, and joined with the embedding, on the same folds.

    Args:
        table: Embeddings of S sets.
        features: Features of the same sets, `(S, F)` or `(S,)`.
        y: The target, as of `cross_validated`.
        groups: Groups, as of `cross_validated`.
        options: Further arguments of `cross_validated`.

    Raises:
        ValueError: As `join_features` and `cross_validated`.

    Example:
        >>> import numpy as np
        >>> z = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
        >>> size = np.full(40, 5)
        >>> table = Embeddings(z, np.arange(40).astype(str), size, size.astype(float))
        >>> noise = np.random.default_rng(0).normal(size=40)
        >>> added_value(table, noise, z[:, 0], folds=3, repeats=1).difference.value > 0.9
        True
    """
    joined = join_features(table, features)
    alone = replace(table, z=joined.features, cov=None)  # type: ignore[arg-type]
    one, two = (cross_validated(t, y, groups, **options) for t in (alone, joined))
    return AddedValue(one, two)
