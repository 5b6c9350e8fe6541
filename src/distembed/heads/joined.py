r"""Embeddings joined with further features of the sets, such as clinical covariates.

A head sees the inputs

    x = (a z, b f),     a^2 = s T / L,   b^2 = (1 - s) T / F,   T = L^s F^(1-s),

z of L and f of F columns, each in units of its deviation: s is the share of z in the variance of
the inputs. At s = 1 the head is that of z alone and at s = 0 that of f alone, with the same
penalties, and it is chosen on inner folds: many features do not drown a short embedding, nor the
reverse. Features are exact; z keeps its covariances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.model.embeddings import Embeddings

__all__ = ["SHARES", "JoinedEmbeddings", "block_scales", "join_features"]

SHARES = (1.0, 0.5, 0.0)
"""Shares of z that heads choose from; of equal losses the first is taken."""


@dataclass(frozen=True)
class JoinedEmbeddings(Embeddings):
    """A table of embeddings with features of the same sets.

    Attributes:
        features: Features, `(S, F)`.
    """

    features: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))


def join_features(table: Embeddings, features: ArrayLike) -> JoinedEmbeddings:
    """Join embeddings with further columns, for a head.

    Args:
        table: Embeddings of S sets; features that it is joined with already come first.
        features: Features of the same sets in the same order, `(S, F)` or `(S,)`.

    Raises:
        ValueError: If the features are of another number of sets, or not finite numbers.

    Example:
        >>> z = np.zeros((2, 3), np.float32)
        >>> table = Embeddings(z, np.array(["a", "b"]), np.array([5, 5]), np.array([5.0, 5.0]))
        >>> join_features(table, [61.0, 48.0]).features.tolist()
        [[61.0], [48.0]]
    """
    try:
        f = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The features are not numbers; give columns of numbers, with classes as columns of "
            "0 and 1."
        ) from error
    f = f[:, None] if f.ndim == 1 else f
    if f.ndim != 2 or len(f) != len(table) or not f.shape[1]:
        raise ValueError(
            f"The features have shape {f.shape}, and the table has {len(table)} sets; give one "
            "row a set, in the order of the table."
        )
    if not np.isfinite(f).all():
        row = int(np.flatnonzero(~np.isfinite(f).all(1))[0])
        raise ValueError(
            f"The features of set {str(table.ids[row])!r} are NaN or infinite. Impute them from "
            "the training sets, or leave the set out."
        )
    columns: dict[str, Any] = {k: v for k, v in vars(table).items() if k != "features"}
    if isinstance(table, JoinedEmbeddings):
        f = np.hstack([table.features, f])
    return JoinedEmbeddings(**columns, features=f)


def block_scales(latent: int, features: int, share: float) -> NDArray[np.float64]:
    """Return the factors of standardised inputs, `(L + F,)`; ones without features.

    Args:
        latent: L.
        features: F.
        share: Share s of z.

    Example:
        >>> block_scales(1, 4, 1.0).tolist(), block_scales(1, 4, 0.0).tolist()
        ([1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0, 1.0])
    """
    if not features:
        return np.ones(latent)
    total = latent**share * features ** (1 - share)
    a, b = np.sqrt(share * total / latent), np.sqrt((1 - share) * total / features)
    return np.repeat([a, b], [latent, features])
