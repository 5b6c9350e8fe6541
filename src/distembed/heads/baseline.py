"""Means of atoms as embeddings: what a prediction from a GDE is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distembed.model.embeddings import Embeddings
from distembed.sets.collection import Sets
from distembed.sets.repeated import merge_repeated

__all__ = ["mean_table"]


def mean_table(
    sets: Sets, trained: NDArray[np.bool_] | None = None, widest: int = 64
) -> Embeddings:
    """Return the mean of the atoms of each set, with its sampling covariance.

    Args:
        sets: The sets.
        trained: Marks of the sets that an encoder was trained on, `(S,)`, so that a comparison
            with it is on the same sets.
        widest: Most features for which covariances are computed.

    Raises:
        ValueError: If atoms are tokens, which have no mean.

    Example:
        >>> from distembed.sets.read import read
        >>> table = mean_table(read([[[0.0], [2.0]]]))
        >>> table.z.tolist(), table.cov.tolist()
        ([[1.0]], [[[1.0]]])
    """
    if not sets.dtype.is_floating_point:
        raise ValueError(
            f"The atoms are {sets.atoms.name}, which have no mean. Leave the baseline out."
        )
    means, covs, effective = [], [], []
    distinct = merge_repeated(sets)
    for number in range(len(sets)):
        batch = distinct.batch([number])
        x, w = batch.x.flatten(1).double().numpy(), batch.w.double().numpy()
        w = w / w.sum()
        m, mean = 1 / np.square(w).sum(), w @ x
        means.append(mean)
        effective.append(m)
        if x.shape[1] <= widest:
            centred = x - mean
            # the unbiased covariance of an atom over the effective size; none of a single atom
            share = m / (m - 1) / m if len(x) > 1 else np.nan
            covs.append(share * (centred.T * w) @ centred)
    z = np.asarray(means, dtype=np.float32)
    cov = np.asarray(covs, dtype=np.float32) if covs else None
    sizes = np.asarray(sets.sizes, dtype=np.int64)
    meta = dict(sets.meta)
    return Embeddings(z, sets.ids, sizes, np.asarray(effective), meta, cov, trained=trained)
