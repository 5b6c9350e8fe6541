r"""Baselines that refer sets to the k-means centres of their pooled atoms.

With centres $c_k$ and the shares $p_k$ of all atoms nearest to them:

- **Linear optimal transport** (Wang et al., 2013): an optimal coupling g of the centres, weighted
  by their shares, with a set maps each centre to the mean of the atoms that it is coupled to,
  $T(c_k) = \sum_j g_{kj} x_j / p_k$. A set is the vector of $\sqrt{p_k}\, T(c_k)$. One problem of
  optimal transport a set; distances of pairs are Euclidean.
- **Histograms**: a set is the share of its atoms nearest to each centre, and two histograms are
  compared by exact optimal transport between the centres. One problem a pair.

The centres are those of the sets that are compared, since a baseline has no training sets; each
set counts the same.

| A linear optimal transportation framework for quantifying and visualizing variations in sets of
  images (Wang et al., 2013)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.exact import optimal_plan
from distembed.evaluation.baselines import affordable_atoms, pair_distances
from distembed.rng import stream

__all__ = ["Histogram", "LinearTransport", "histograms", "pooled_centres"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearTransport:
    """The distance of linear optimal transport embeddings.

    Args:
        centres: Number of centres.
        atoms: At most so many atoms of a set; fewer if there are many sets.
        pooled: Atoms of all sets that the centres are computed from.
    """

    centres: int = 64
    atoms: int = 256
    pooled: int = 4096
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare the embeddings."""
        return pair_distances(self.embeddings(batch), pairs)

    def embeddings(self, batch: SetBatch) -> Tensor:
        """Return the vectors of all sets, `(S, centres * D)`, in float64."""
        centre = pooled_centres(batch, self.centres, self.pooled)
        share = histograms(batch, centre).mean(0)
        used = share > 0
        centre, share = centre[used], share[used] / share[used].sum()
        atoms = affordable_atoms(len(batch), self.atoms, seconds=10)
        part = batch.subsample(atoms, stream("linear transport"))
        return torch.stack([_moved(part[i], centre, share) for i in range(len(batch))])


@dataclass(frozen=True)
class Histogram:
    """W2 of histograms on centres.

    Args:
        centres: Number of centres.
        pooled: Atoms of all sets that the centres are computed from.
    """

    centres: int = 128
    pooled: int = 8192
    costly: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare pair by pair."""
        centre = pooled_centres(batch, self.centres, self.pooled)
        share = histograms(batch, centre)
        cost = _squared(centre, centre)
        return torch.tensor(
            [_histogram_w2(share[i], share[j], cost) for i, j in pairs.tolist()],
            dtype=torch.float64,
        )


def pooled_centres(batch: SetBatch, count: int, pooled: int) -> Array:
    """Return k-means centres of atoms drawn from all sets alike, `(K, D)`.

    There are at most as many as distinct atoms among those that are drawn.

    Args:
        batch: The sets.
        count: Number of centres.
        pooled: Number of atoms that are drawn, with the weights of their sets.
    """
    from scipy.cluster.vq import kmeans2

    rng = stream("centres")
    index = torch.multinomial(batch.w.double(), pooled, replacement=True, generator=rng)
    x = batch.flat[index].double().numpy()
    distinct = np.unique(x, axis=0)
    if len(distinct) <= count:
        return np.ascontiguousarray(distinct)
    with warnings.catch_warnings():
        # a centre that loses its atoms stays where it is, with a share of zero
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centre: Array = kmeans2(x, _first_centres(x, count), iter=20, minit="matrix")[0]
    return centre


def _first_centres(x: Array, count: int) -> Array:
    """Draw first centres from atoms by k-means++ (Arthur and Vassilvitskii, 2007), `(K, D)`.

    The draw is that of SciPy, which compares all atoms with all earlier centres for each new one
    and so takes K / 2 times as long: minutes for images.
    """
    rng = np.random.default_rng(0)
    rows = [int(rng.integers(len(x)))]
    nearest = _squared(x, x[rows])[:, 0]
    while len(rows) < count:
        reach = nearest.cumsum()
        rows.append(int(np.searchsorted(reach / reach[-1], rng.uniform())))
        np.minimum(nearest, _squared(x, x[rows[-1:]])[:, 0], out=nearest)
    return x[rows]


def histograms(batch: SetBatch, centre: Array) -> Array:
    """Return the share of the atoms of each set that is nearest to each centre, `(S, K)`."""
    from scipy.cluster.vq import vq

    nearest = torch.from_numpy(vq(batch.flat.double().numpy(), centre)[0].astype(np.int64))
    share = torch.zeros(len(batch), len(centre), dtype=torch.float64)
    share.index_put_((batch.owner, nearest), batch.w.double(), accumulate=True)
    return (share / share.sum(1, keepdim=True)).numpy()


def _moved(one: SetBatch, centre: Array, share: Array) -> Tensor:
    """Return the means of the atoms coupled to each centre, times the root of its share."""
    x, w = one.flat.double().numpy(), one.w.double().numpy()
    plan = optimal_plan(share, w / w.sum(), _squared(centre, x))
    moved = np.zeros_like(centre)
    np.add.at(moved, plan.rows, plan.mass[:, None] * x[plan.columns])
    return torch.from_numpy((moved / np.sqrt(share)[:, None]).ravel())


def _squared(a: Array, b: Array) -> Array:
    """Return squared distances, `(K, D), (M, D) -> (K, M)`."""
    from scipy.spatial.distance import cdist

    squared: Array = cdist(a, b, "sqeuclidean")
    return squared


def _histogram_w2(u: Array, v: Array, cost: Array) -> float:
    """Return W2 between two histograms, from the squared distances of their centres."""
    rows, columns = np.flatnonzero(u), np.flatnonzero(v)
    part = cost[np.ix_(rows, columns)]
    plan = optimal_plan(u[rows], v[columns], part)
    return float(np.sqrt((plan.mass * part[plan.rows, plan.columns]).sum()))
