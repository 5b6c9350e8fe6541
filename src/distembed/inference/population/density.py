r"""The population of sets: a model of Q, from which distributions are drawn, over embeddings.

Q is a Gaussian mixture over z (`distembed.inference.population.mixture`), the number of components
chosen by the likelihood of held-out sets. How unusual a set is, is a p-value, calibrated so that
it can be trusted although no population is a Gaussian mixture (cross-conformal prediction; Vovk,
2015): the sets are dealt into folds, $q_{-f}$ is fitted without fold f, and with scores

    s_f(z) = log q_{-f}(z) - log E q_{-f},     p(z) = (1 + #{i: s_{f(i)}(z_i) <= s_{f(i)}(z)})
                                                      / (S + 1).

z and z_i are compared under a fit that saw neither. If z is a set like the others, sets and all
their sizes drawn alike, p is uniform but for the overlap of the folds: $P(p \le \alpha) \le
2 \alpha$ is proved, and $\alpha$ is what one sees. $\mathbb{E} q$ matters under noise alone: a set
of few atoms has a low density wherever it lies, and would be unusual for its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from distembed.inference.population.mixture import Mixture
from distembed.rng import Rng, as_generator

__all__ = ["UNUSUAL", "Population"]

UNUSUAL = 0.01
"""P-values up to this one are pointed out."""

Array = NDArray[np.float64]
_FEWEST = 20
_MOST = 8  # components
_EACH = 10  # sets that a component needs
_FLOOR = 1e-3  # of the largest deviation of a coordinate


@dataclass(frozen=True)
class Population:
    """A model of the embeddings of sets, with calibrated p-values.

    Attributes:
        centre: Mean of the embeddings, `(L,)`.
        scale: Their deviation, `(L,)`; mixtures live in these units.
        mixture: Fitted to all sets.
        folds: The mixtures without each fold.
        scores: Of the sets of each fold, under the mixture without it.
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
    def fit(
        cls,
        z: ArrayLike,
        *,
        components: int | Literal["auto"] = "auto",
        noise: ArrayLike | None = None,
        folds: int = 5,
        rng: Rng = 0,
    ) -> Population:
        """Fit a population.

        Args:
            z: Embeddings, `(S, L)`.
            components: How many Gaussians; `auto` takes the fewest, up to eight, whose held-out
                log density is within a standard error of the best.
            noise: Covariances of z, `(S, L, L)`, to model the distributions behind the sets
                rather than the sets; left out, sets are taken as they are.
            folds: Of the calibration.
            rng: Source of the folds and of the starts.

        Raises:
            ValueError: If there are fewer than twenty sets, shapes do not fit, a value is not
                finite, or all sets are alike.

        Example:
            >>> z = np.random.default_rng(0).standard_normal((200, 2))
            >>> population = Population.fit(z)
            >>> len(population.mixture.weights)
            1
            >>> population.unusual([[0.0, 0.0], [9.0, 0.0]]).round(3).tolist()
            [1.0, 0.005]
        """
        points = np.asarray(z, dtype=np.float64)
        if points.ndim != 2 or not np.isfinite(points).all():
            raise ValueError(f"z has shape {points.shape} or holds NaN; expected finite (S, L).")
        if len(points) < _FEWEST:
            raise ValueError(
                f"{len(points)} sets are too few for a population: with fewer than {_FEWEST} no "
                "set can be unusual at 5 %, because its p-value is at least 1 / (S + 1)."
            )
        if not 2 <= folds <= len(points):
            raise ValueError(f"folds = {folds}; give 2 to {len(points)}, the number of sets.")
        deviation = points.std(0)
        if deviation.max() <= 1e-12 * np.abs(points).max():
            raise ValueError("All sets have one embedding; there is no population to model.")
        centre, scale = points.mean(0), deviation.clip(min=_FLOOR * deviation.max())
        x, blur = (points - centre) / scale, _scaled(noise, scale, points.shape)
        random = _numpy(rng)
        fold = random.permutation(len(x)) % folds
        tried = _candidates(components, len(x), folds)
        fits, held = {}, {}
        for k in tried:
            fits[k] = tuple(
                Mixture.fit(x[fold != f], k, _at(blur, fold != f), random) for f in range(folds)
            )
            held[k] = np.empty(len(x))
            for f, mixture in enumerate(fits[k]):
                held[k][fold == f] = mixture.log_density(x[fold == f], _at(blur, fold == f))
            if k >= 2 + max(held, key=lambda n: float(held[n].sum())):
                break  # two more did not help
        k = _fewest(held)
        scores = tuple(
            np.sort(_score(mixture, x[fold == f], _at(blur, fold == f)))
            for f, mixture in enumerate(fits[k])
        )
        unit = float(np.log(scale).sum())
        means = {n: float(value.mean()) - unit for n, value in held.items()}
        whole = Mixture.fit(x, k, blur, random)
        return cls(centre, scale, whole, fits[k], scores, means)

    def log_density(self, z: ArrayLike, noise: ArrayLike | None = None) -> Array:
        """Return the log density of embeddings `(S, L)`, seen with noise `(S, L, L)`: `(S,)`."""
        x, blur = self._units(z, noise)
        return self.mixture.log_density(x, blur) - float(np.log(self.scale).sum())

    def unusual(self, z: ArrayLike, noise: ArrayLike | None = None) -> Array:
        """Return the p-value that each set is of this population, `(S,)`.

        Args:
            z: Embeddings of sets that were not fitted, `(S, L)`; those that were look too usual.
            noise: Their covariances. Where the population was fitted without, its sets had noise
                of their own, which is then counted twice: p-values of sets of few atoms are too
                large, and no set is called unusual for its size.
        """
        x, blur = self._units(z, noise)
        count = np.ones(len(x))
        for mixture, scores in zip(self.folds, self.scores, strict=True):
            count += np.searchsorted(scores, _score(mixture, x, blur), side="right")
        p: Array = count / (1 + sum(map(len, self.scores)))
        return p

    def sample(self, n: int, rng: Rng) -> Array:
        """Draw embeddings of new distributions, `(n, L)`, without the noise of a set."""
        drawn: Array = self.centre + self.scale * self.mixture.sample(n, _numpy(rng))
        return drawn

    def arrays(self) -> dict[str, Array]:
        """Return all that it is as named arrays, which `from_arrays` reads back exactly."""
        parts = {"mixture": self.mixture} | {f"fold{f}": m for f, m in enumerate(self.folds)}
        return {
            "centre": self.centre,
            "scale": self.scale,
            "held_out": np.array([*self.held_out.items()], dtype=np.float64),
            **{f"scores{f}": scores for f, scores in enumerate(self.scores)},
            **{f"{part}.{k}": value for part, m in parts.items() for k, value in vars(m).items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Population:
        """Rebuild a population."""

        def mixture(part: str) -> Mixture:
            names = ("weights", "means", "covariances")
            return Mixture(**{name: arrays[f"{part}.{name}"] for name in names})

        folds = range(sum(name.startswith("scores") for name in arrays))
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
            raise ValueError("z holds NaN or infinity, which no population can place.")
        return (points - self.centre) / self.scale, _scaled(noise, self.scale, points.shape)


def _score(mixture: Mixture, z: Array, noise: Array | None) -> Array:
    return mixture.log_density(z, noise) - mixture.log_overlap(noise)


def _candidates(components: int | Literal["auto"], sets: int, folds: int) -> range:
    """Numbers of components to try."""
    fitted = sets - -(-sets // folds)
    if components == "auto":
        return range(1, max(1, min(_MOST, fitted // _EACH)) + 1)
    if not 1 <= components <= fitted:
        raise ValueError(
            f"components = {components}; give 'auto', or 1 to {fitted} for {sets} sets."
        )
    return range(components, components + 1)


def _fewest(held: Mapping[int, Array]) -> int:
    """Return the least number whose held-out log density is near that of the best."""
    best = held[max(held, key=lambda k: float(held[k].sum()))]

    def near(k: int) -> bool:
        gap = best - held[k]
        return bool(gap.mean() <= gap.std() / len(gap) ** 0.5)

    return next(k for k in held if near(k))


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


def _at(noise: Array | None, rows: NDArray[np.bool_]) -> Array | None:
    return None if noise is None else noise[rows]


def _numpy(rng: Rng) -> np.random.Generator:
    """Turn a seed or a generator of torch into one of numpy."""
    seed = torch.randint(2**62, (), generator=as_generator(rng), dtype=torch.int64)
    return np.random.default_rng(int(seed))
