"""Shortest paths between held-out distributions, and the rivals of a model on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2
from distembed.geometry.displacement import gaussian_path, mixture_path, sample_path
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream

__all__ = ["GaussianShortest", "MixtureShortest", "ShortestPath"]


class ShortestPath(Protocol):
    """The shortest path between two distributions."""

    separation: float
    """W2 of the ends."""
    draws: int
    """Atoms of a point of a path that is compared with it."""

    def gap(self, drawn: SetBatch) -> Tensor:
        """Return W2 between T sets and the T points of the path, `(T,)`."""

    def rivals(self, a: SetBatch, b: SetBatch) -> Mapping[str, SetBatch]:
        """Return T sets of each rival path between two sets, and of the floor."""


class GaussianShortest:
    """McCann's path between two Gaussians.

    Args:
        test: Held-out Gaussians.
        pair: Their rows.
        t: Positions on the path, `(T,)`.
        draws: Atoms of a point.
    """

    def __init__(
        self, test: Gaussians, pair: tuple[int, int], t: NDArray[np.float64], draws: int
    ) -> None:
        i, j = pair
        self.t, self.draws = t, draws
        self.mean, self.cov = gaussian_path(
            test.mean[i], test.cov[i], test.mean[j], test.cov[j], self.t
        )
        self.separation = float(test.w2([i], [j])[0])
        self.seed = (test.seed, i, j)

    def gap(self, drawn: SetBatch) -> Tensor:
        """Compare the moments of the drawn sets."""
        return bures_w2(*moments_per_set(drawn), self.mean, self.cov)

    def rivals(self, a: SetBatch, b: SetBatch) -> Mapping[str, SetBatch]:
        """Draw the floor, the path of the sample moments, and the mixture of both ends."""
        floor = Gaussians(self.mean, self.cov, self.draws)
        every, rng = range(len(self.t)), stream("floor", *self.seed)
        return {"floor": floor.batch(every, self.draws, rng), **_simple(a, b, self.t, self.draws)}


class MixtureShortest:
    """The exact displacement of fresh atoms of two mixtures.

    Args:
        test: Held-out mixtures.
        pair: Their rows.
        t: Positions on the path, `(T,)`.
        draws: Atoms of a point.
    """

    def __init__(
        self, test: Mixtures, pair: tuple[int, int], t: NDArray[np.float64], draws: int
    ) -> None:
        self.test, self.pair, self.t, self.draws = test, pair, t, draws
        self.path = self._displaced("truth")
        first, last = self.path.select([0]), self.path.select([len(self.t) - 1])
        self.separation = float(ExactW2()(first, last))

    def gap(self, drawn: SetBatch) -> Tensor:
        """Compare atoms."""
        return ExactW2()(drawn.to(dtype=torch.float64), self.path)

    def rivals(self, a: SetBatch, b: SetBatch) -> Mapping[str, SetBatch]:
        """Draw the floor, the path of MW2, that of the moments, and the mixture of both ends."""
        i, j = self.pair
        sides = [(self.test.weights[k], self.test.mean[k], self.test.cov[k]) for k in (i, j)]
        path = mixture_path(*sides[0], *sides[1], self.t)
        matched = Mixtures(path.weights.expand(len(self.t), -1), path.means, path.covs)
        rng = stream("mw2", self.test.seed, i, j)
        return {
            "floor": self._displaced("floor"),
            "mw2": matched.batch(range(len(self.t)), self.draws, rng),
            **_simple(a, b, self.t, self.draws),
        }

    def _displaced(self, name: str) -> SetBatch:
        rng = stream(name, self.test.seed, *self.pair)
        a, b = (self.test.batch([k], self.draws, rng) for k in self.pair)
        return sample_path(a.to(dtype=torch.float64), b.to(dtype=torch.float64), self.t)


def _simple(
    a: SetBatch, b: SetBatch, t: NDArray[np.float64], draws: int
) -> Mapping[str, SetBatch]:
    """Draw the shortest path of the moments of two sets, and their mixture with weight t."""
    (mean, cov), every = moments_per_set(SetBatch.concat([a, b])), range(len(t))
    path = gaussian_path(mean[0], cov[0], mean[1], cov[1], t)
    rng = stream("simple", draws)
    bures = Gaussians(*path, size=draws).batch(every, draws, rng)
    level = torch.rand(draws, generator=rng)
    first, last = (s.subsample(draws, rng).flat[:draws] for s in (a, b))
    blend = [torch.where((level < float(s))[:, None], last, first) for s in t]
    return {"bures": bures, "blend": SetBatch.from_dense(torch.stack(blend))}
