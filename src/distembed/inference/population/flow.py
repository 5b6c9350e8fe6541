r"""A population of sets whose model is a normalising flow.

It is `Population` of `density` beside it with splines (Durkan et al., 2019) over whitened
embeddings instead of a Gaussian mixture, for some hundreds of sets and a few coordinates that
follow a curve: a mixture needs many components there. Scores are log densities, and p-values
cross-conformal as there. Noise of single sets has no closed form under a flow; sets are taken as
they are. Needs the extra `flows`.

The flow starts at the Gaussian of its sets and is trained by maximum likelihood until a fifth of
them, held out, gain nothing more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.normalizing import SplineFlow
from distembed.rng import Rng, as_generator

__all__ = ["FlowPopulation"]

Array = NDArray[np.float64]
_FEWEST, _HELD_OUT = 50, 5
_STEPS, _EVERY, _PATIENCE, _RATE, _DECAY = 600, 10, 5, 5e-3, 1e-3
_WIDTH, _DEPTH = 32, 2
_FLOOR = 1e-3  # of the deviation of a coordinate


@dataclass(frozen=True)
class _Density:
    r"""A Gaussian that a flow bends: $u = (z - centre) A$, $p(z) = q(u) |A|$."""

    centre: Array
    whiten: Array
    flow: SplineFlow

    @classmethod
    def fit(cls, z: Array, rng: torch.Generator) -> _Density:
        cov = np.atleast_2d(np.cov(z.T))
        floor = (_FLOOR**2 * cov.diagonal()).clip(min=_FLOOR**4 * cov.diagonal().max())
        # Cholesky, which the units of coordinates scale and do not turn
        factor = np.linalg.inv(np.linalg.cholesky(cov + np.diag(floor)))
        seed = int(torch.randint(2**62, (), generator=rng))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow = SplineFlow(z.shape[1], 1, _WIDTH, _DEPTH)
        found = cls(z.mean(0), factor.T, flow)
        order = torch.randperm(len(z), generator=rng)
        found._train(*found._whitened(z)[order].tensor_split([len(z) // _HELD_OUT]))
        return found

    def _train(self, held_out: Tensor, points: Tensor) -> None:
        optimiser = torch.optim.AdamW(self.flow.parameters(), _RATE, weight_decay=_DECAY)
        best, state, waited = -np.inf, copy.deepcopy(self.flow.state_dict()), 0
        for step in range(_STEPS):
            if step % _EVERY == 0:
                with torch.no_grad():
                    gain, waited = float(self._log_prob(held_out).mean()), waited + 1
                if gain > best:
                    best, state, waited = gain, copy.deepcopy(self.flow.state_dict()), 0
                if waited == _PATIENCE:
                    break
            optimiser.zero_grad()
            (-self._log_prob(points).mean()).backward()
            torch.nn.utils.clip_grad_norm_(self.flow.parameters(), 1.0)
            optimiser.step()
        self.flow.load_state_dict(state)
        self.flow.eval().requires_grad_(False)

    def _whitened(self, z: Array) -> Tensor:
        return torch.from_numpy((z - self.centre) @ self.whiten).float()

    def _log_prob(self, u: Tensor) -> Tensor:
        return self.flow.log_prob(SetBatch.from_dense(u[:, None]), u, u.new_zeros(len(u), 1))

    @torch.no_grad()
    def log_density(self, z: Array) -> Array:
        """Return log densities of `(S, L)`, `(S,)`."""
        nats = self._log_prob(self._whitened(z)).double().numpy()
        found: Array = nats + np.linalg.slogdet(self.whiten)[1]
        return found

    def sample(self, n: int, rng: torch.Generator) -> Array:
        """Draw embeddings, `(n, L)`."""
        u = self.flow.sample(torch.zeros(1, 1), n, rng)[0].double().numpy()
        drawn: Array = self.centre + u @ np.linalg.inv(self.whiten)
        return drawn


@dataclass(frozen=True)
class FlowPopulation:
    """A flow over the embeddings of sets, with calibrated p-values.

    Attributes:
        density: Fitted to all sets.
        folds: Fitted without each fold.
        scores: Of the sets of each fold, under the flow without it.
    """

    density: _Density
    folds: tuple[_Density, ...]
    scores: tuple[Array, ...]

    @classmethod
    def fit(cls, z: ArrayLike, *, folds: int = 5, rng: Rng = 0) -> FlowPopulation:
        """Fit a population.

        Args:
            z: Embeddings, `(S, L)`.
            folds: Of the calibration.
            rng: Source of the folds, the starts and the sets that are held out.

        Raises:
            ValueError: If there are fewer than fifty sets, or a value is not finite.
            ImportError: If zuko is not installed.

        Example:
            >>> z = np.random.default_rng(0).standard_normal((60, 2))
            >>> population = FlowPopulation.fit(z, folds=2)
            >>> bool(population.unusual([[0.0, 0.0], [9.0, 0.0]])[1] < 0.05)
            True
        """
        points = np.asarray(z, dtype=np.float64)
        if points.ndim != 2 or not np.isfinite(points).all():
            raise ValueError(f"z has shape {points.shape} or holds NaN; expected finite (S, L).")
        if len(points) < _FEWEST:
            raise ValueError(
                f"{len(points)} sets are too few for a flow, which needs {_FEWEST}; use "
                "Population, a Gaussian mixture."
            )
        if not 2 <= folds <= len(points) // 2:
            raise ValueError(f"folds = {folds}; give 2 to {len(points) // 2}.")
        generator = as_generator(rng)
        fold = torch.randperm(len(points), generator=generator).numpy() % folds
        fits = tuple(_Density.fit(points[fold != f], generator) for f in range(folds))
        scores = tuple(np.sort(d.log_density(points[fold == f])) for f, d in enumerate(fits))
        return cls(_Density.fit(points, generator), fits, scores)

    def log_density(self, z: ArrayLike) -> Array:
        """Return the log density of embeddings `(S, L)`: `(S,)`."""
        return self.density.log_density(np.asarray(z, dtype=np.float64))

    def unusual(self, z: ArrayLike) -> Array:
        """Return the p-value that each set is of this population, `(S,)`."""
        points = np.asarray(z, dtype=np.float64)
        count = np.ones(len(points))
        for density, scores in zip(self.folds, self.scores, strict=True):
            count += np.searchsorted(scores, density.log_density(points), side="right")
        p: Array = count / (1 + sum(map(len, self.scores)))
        return p

    def sample(self, n: int, rng: Rng) -> Array:
        """Draw embeddings of new distributions, `(n, L)`."""
        return self.density.sample(n, as_generator(rng))
