r"""The population of sets: a density of embeddings, from which new distributions can be drawn.

The density is a Gaussian mixture over z (`distembed.inference.population.mixture`), the number of
components chosen by the likelihood of held-out sets. How unusual a set is, is a p-value that is
calibrated although no population is a Gaussian mixture (cross-conformal prediction; Vovk, 2015):
the sets are split into folds, $q_{-f}$ is fitted without fold f, and with scores

    s_f(z) = log q_{-f}(z) - log E q_{-f},     p(z) = (1 + #{i: s_{f(i)}(z_i) <= s_{f(i)}(z)})
                                                      / (S + 1).

z and z_i are compared under a fit to neither. If z is a set like the others, sets and all
their sizes drawn alike, p is uniform but for the overlap of the folds: $P(p \le \alpha) \le
2 \alpha$ is proved, and $\alpha$ is what one observes. $\mathbb{E} q$ matters under noise alone: a
set of few atoms has a low density wherever it lies, and would be unusual for its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.geometry.attachment import TrainingTable
from distembed.inference.population.mixture import Mixture
from distembed.inference.population.selection import (
    PopulationSettings,
    cross_validated,
    rows_of,
    smallest_near_best,
)
from distembed.rng import Rng, as_generator, stream

__all__ = ["UNUSUAL", "Population"]

UNUSUAL = 0.01
"""P-values up to this one are pointed out."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """A density of the embeddings of sets, with calibrated p-values.

    Attributes:
        centre: Mean of the embeddings, `(L,)`.
        scale: Their deviation, `(L,)`, the unit of the mixtures.
        mixture: Fitted to all sets.
        folds: The mixtures without each fold.
        scores: Scores of the sets of each fold, under the mixture without it.
        held_out: Mean log density of held-out sets for each number of components that was tried,
            in the units of z.
    """

    centre: Array
    scale: Array
    mixture: Mixture
    folds: tuple[Mixture, ...]
    scores: tuple[Array, ...]
    held_out: Mapping[int, float]

    @classmethod
    def fit(cls, context: TrainingTable, settings: PopulationSettings | None = None) -> Population:
        """Fit to embeddings of training sets.

        Embeddings of sets that trained the encoder are more alike than those of new sets, so
        held-out sets are used if there are enough of them.

        Raises:
            ValueError: If there are fewer than twenty sets, or all are alike.
        """
        settings, rng = settings or PopulationSettings(), stream(context.seed, "population")
        enough = context.held_out.sum() >= settings.fewest_held_out
        rows = np.flatnonzero(context.held_out) if enough else np.arange(len(context))
        order = torch.randperm(len(rows), generator=rng)[: settings.sets].numpy()
        return cls.from_embeddings(context.z[rows[order]], rng=rng, settings=settings)

    @classmethod
    def from_embeddings(
        cls,
        z: ArrayLike,
        *,
        noise: ArrayLike | None = None,
        rng: Rng = 0,
        settings: PopulationSettings | None = None,
    ) -> Population:
        """Fit to any embeddings.

        Args:
            z: Embeddings, `(S, L)`.
            noise: Covariances of z, `(S, L, L)`, to model the distributions rather than the sets
                that were sampled from them; left out, sets are taken as they are.
            rng: Source of the folds and of the starts.
            settings: Settings of the fit.

        Raises:
            ValueError: If there are fewer than twenty sets, shapes do not fit, a value is not
                finite, or all sets are alike.

        Example:
            >>> z = np.random.default_rng(0).standard_normal((200, 2))
            >>> population = Population.from_embeddings(z)
            >>> len(population.mixture.weights)
            1
            >>> population.unusual([[0.0, 0.0], [9.0, 0.0]]).round(3).tolist()
            [1.0, 0.005]
        """
        settings = settings or PopulationSettings()
        points = _checked(z, settings)
        deviation = points.std(0)
        if deviation.max() <= 1e-12 * np.abs(points).max():
            raise ValueError("All sets have one embedding; there is no population to model.")
        centre = points.mean(0)
        scale = deviation.clip(min=settings.floor * deviation.max())
        x, blur = (points - centre) / scale, _scaled(noise, scale, points.shape)
        random = _numpy(rng)
        fold = random.permutation(len(x)) % settings.folds
        fits, held_out = cross_validated(x, blur, fold, settings, random)
        k = smallest_near_best(held_out)
        scores = tuple(
            np.sort(_score(mixture, x[fold == f], rows_of(blur, fold == f)))
            for f, mixture in enumerate(fits[k])
        )
        unit = float(np.log(scale).sum())
        means = {n: float(value.mean()) - unit for n, value in held_out.items()}
        whole = Mixture.fit(x, k, blur, random)
        return cls(centre, scale, whole, fits[k], scores, means)

    def log_density(self, z: ArrayLike, noise: ArrayLike | None = None) -> Array:
        """Return the log density of embeddings `(S, L)` with noise `(S, L, L)`: `(S,)`."""
        x, blur = self._units(z, noise)
        return self.mixture.log_density(x, blur) - float(np.log(self.scale).sum())

    def unusual(self, z: ArrayLike, noise: ArrayLike | None = None) -> Array:
        """Return the p-value that each set is of this population, `(S,)`.

        Args:
            z: Embeddings of sets that were not fitted, `(S, L)`; p-values of fitted sets are too
                large.
            noise: Their covariances. If the population was fitted without, its sets had noise
                of their own, which is then counted twice: p-values of small sets are too large,
                and no set is called unusual for its size.
        """
        x, blur = self._units(z, noise)
        count = np.ones(len(x))
        for mixture, scores in zip(self.folds, self.scores, strict=True):
            count += np.searchsorted(scores, _score(mixture, x, blur), side="right")
        p: Array = count / (1 + sum(map(len, self.scores)))
        return p

    def too_few_sentence(self) -> str:
        """Return a sentence if S sets are too few for a p-value of 1 %, else an empty one."""
        sets, needed = sum(map(len, self.scores)), math.ceil(1 / UNUSUAL) - 1
        return (sets < needed) * (
            f"the population has {sets} sets and no p-value below 1 / {sets + 1}, so that no set "
            f"can be called unusual at {UNUSUAL:.0%}, for which {needed} are needed"
        )

    def sample(self, n: int, rng: Rng) -> Array:
        """Draw embeddings of new distributions, `(n, L)`, without the noise of a set."""
        drawn: Array = self.centre + self.scale * self.mixture.sample(n, _numpy(rng))
        return drawn

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return tensors of everything; the config holds the number of folds."""
        parts = {"mixture": self.mixture} | {f"fold{f}": m for f, m in enumerate(self.folds)}
        arrays = {
            "centre": self.centre,
            "scale": self.scale,
            "held_out": np.array([*self.held_out.items()], dtype=np.float64),
            **{f"scores{f}": scores for f, scores in enumerate(self.scores)},
            **{f"{part}.{k}": value for part, m in parts.items() for k, value in vars(m).items()},
        }
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        return {"folds": len(self.folds)}, tensors

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Population:
        """Rebuild a population."""
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}

        def mixture(part: str) -> Mixture:
            names = ("weights", "means", "covariances")
            return Mixture(**{name: arrays[f"{part}.{name}"] for name in names})

        folds = range(int(config["folds"]))
        return cls(
            arrays["centre"],
            arrays["scale"],
            mixture("mixture"),
            tuple(mixture(f"fold{f}") for f in folds),
            tuple(arrays[f"scores{f}"] for f in folds),
            {int(k): float(value) for k, value in arrays["held_out"]},
        )

    def _units(self, z: ArrayLike, noise: ArrayLike | None) -> tuple[Array, Array | None]:
        points = np.asarray(z, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != len(self.centre):
            raise ValueError(f"z has shape {points.shape}; expected (S, {len(self.centre)}).")
        if not np.isfinite(points).all():
            raise ValueError("z holds NaN or infinity; embeddings are finite numbers.")
        return (points - self.centre) / self.scale, _scaled(noise, self.scale, points.shape)


def _checked(z: ArrayLike, settings: PopulationSettings) -> Array:
    points = np.asarray(z, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError(f"z has shape {points.shape} or holds NaN; expected finite (S, L).")
    if len(points) < settings.fewest_sets:
        raise ValueError(
            f"{len(points)} sets are too few for a population: with fewer than "
            f"{settings.fewest_sets} no set can be unusual at 5 %, because its p-value is at "
            "least 1 / (S + 1)."
        )
    if not 2 <= settings.folds <= len(points):
        raise ValueError(f"folds = {settings.folds}; give 2 to {len(points)}, the number of sets.")
    return points


def _score(mixture: Mixture, z: Array, noise: Array | None) -> Array:
    return mixture.log_density(z, noise) - mixture.log_overlap(noise)


def _scaled(noise: ArrayLike | None, scale: Array, shape: tuple[int, ...]) -> Array | None:
    if noise is None:
        return None
    covariances = np.asarray(noise, dtype=np.float64)
    if covariances.shape != (*shape, shape[1]):
        raise ValueError(
            f"noise has shape {covariances.shape}; expected one covariance a set, "
            f"{(*shape, shape[1])}."
        )
    if not np.isfinite(covariances).all():
        raise ValueError(
            "noise holds NaN: a set of a single atom has no covariance. Leave such sets out."
        )
    return covariances / np.outer(scale, scale)


def _numpy(rng: Rng) -> np.random.Generator:
    """Turn a seed or a generator of torch into one of numpy."""
    seed = torch.randint(2**62, (), generator=as_generator(rng), dtype=torch.int64)
    return np.random.default_rng(int(seed))
