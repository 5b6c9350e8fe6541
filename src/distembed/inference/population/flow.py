r"""A population of sets whose density is a normalising flow.

A spline flow (Durkan et al., 2019) over whitened embeddings takes the place of the Gaussian
mixture of `Population`, for several hundred sets with two to four coordinates on a curve, for
which a mixture needs many components. Scores are log densities, and p-values are cross-conformal
as there. The noise of single sets has no closed form under a flow; sets are taken as they are.
Needs the extra `flows`.

The flow starts at the Gaussian of its sets and is trained by maximum likelihood until the
likelihood of a fifth of them, held out, no longer rises.
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

__all__ = ["FlowPopulation", "FlowSettings"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FlowSettings:
    """Settings of the flow and its training.

    Attributes:
        folds: Number of folds of the calibration.
        fewest_sets: Fewer sets are refused.
        validation: One set in so many is held out for early stopping.
        steps: Steps of training, at most.
        every: Steps between validations.
        patience: Validations without a gain before training stops.
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        width: Hidden units of a layer.
        depth: Hidden layers.
        floor: Least deviation of a coordinate, as a share of its own.
    """

    folds: int = 5
    fewest_sets: int = 50
    validation: int = 5
    steps: int = 600
    every: int = 10
    patience: int = 5
    lr: float = 5e-3
    weight_decay: float = 1e-3
    width: int = 32
    depth: int = 2
    floor: float = 1e-3


@dataclass(frozen=True)
class _Density:
    r"""A flow over whitened embeddings: $u = (z - centre) A$, $p(z) = q(u) |\det A|$."""

    centre: Array
    whiten: Array
    flow: SplineFlow

    @classmethod
    def fit(cls, z: Array, rng: torch.Generator, settings: FlowSettings) -> _Density:
        cov, share = np.atleast_2d(np.cov(z.T)), settings.floor
        floor = (share**2 * cov.diagonal()).clip(min=share**4 * cov.diagonal().max())
        # Cholesky, which a change of units scales and does not rotate
        factor = np.linalg.inv(np.linalg.cholesky(cov + np.diag(floor)))
        seed = int(torch.randint(2**62, (), generator=rng))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow = SplineFlow(z.shape[1], 1, settings.width, settings.depth)
        density = cls(z.mean(0), factor.T, flow)
        order = torch.randperm(len(z), generator=rng)
        u, count = density._whitened(z)[order], len(z) // settings.validation
        density._train(u[:count], u[count:], settings)
        return density

    def _train(self, held_out: Tensor, points: Tensor, settings: FlowSettings) -> None:
        optimiser = torch.optim.AdamW(
            self.flow.parameters(), settings.lr, weight_decay=settings.weight_decay
        )
        best, state, stale = -np.inf, copy.deepcopy(self.flow.state_dict()), 0
        for step in range(settings.steps):
            if step % settings.every == 0:
                with torch.no_grad():
                    score, stale = float(self._log_prob(held_out).mean()), stale + 1
                if score > best:
                    best, state, stale = score, copy.deepcopy(self.flow.state_dict()), 0
                if stale == settings.patience:
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
        density: Array = nats + np.linalg.slogdet(self.whiten)[1]
        return density

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
        scores: Scores of the sets of each fold, under the flow without it.
    """

    density: _Density
    folds: tuple[_Density, ...]
    scores: tuple[Array, ...]

    @classmethod
    def from_embeddings(
        cls, z: ArrayLike, *, rng: Rng = 0, settings: FlowSettings = FlowSettings()
    ) -> FlowPopulation:
        """Fit to embeddings.

        Args:
            z: Embeddings, `(S, L)`.
            rng: Source of the folds, the starts and the sets that are held out.
            settings: Settings of the fit.

        Raises:
            ValueError: If there are fewer than fifty sets, or a value is not finite.
            ImportError: If zuko is not installed.

        Example:
            >>> z = np.random.default_rng(0).standard_normal((60, 2))
            >>> population = FlowPopulation.from_embeddings(z, settings=FlowSettings(folds=2))
            >>> bool(population.unusual([[0.0, 0.0], [9.0, 0.0]])[1] < 0.05)
            True
        """
        points, folds = np.asarray(z, dtype=np.float64), settings.folds
        if points.ndim != 2 or not np.isfinite(points).all():
            raise ValueError(f"z has shape {points.shape} or holds NaN; expected finite (S, L).")
        if len(points) < settings.fewest_sets:
            raise ValueError(
                f"{len(points)} sets are too few for a flow, which needs {settings.fewest_sets}; "
                "use Population, a Gaussian mixture."
            )
        if not 2 <= folds <= len(points) // 2:
            raise ValueError(f"folds = {folds}; give 2 to {len(points) // 2}.")
        generator = as_generator(rng)
        fold = torch.randperm(len(points), generator=generator).numpy() % folds
        fits = tuple(_Density.fit(points[fold != f], generator, settings) for f in range(folds))
        scores = tuple(np.sort(d.log_density(points[fold == f])) for f, d in enumerate(fits))
        return cls(_Density.fit(points, generator, settings), fits, scores)

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
