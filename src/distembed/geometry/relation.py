r"""The monotone relation of squared W2 to squared latent distance, of degree one at infinity.

With x = |z_1 - z_2|^2, squared W2 is piecewise linear in x between the knots $0 = t_0 < .. < t_K$,

    f(x) = sum_k b_k min(max(x - t_{k-1}, 0), t_k - t_{k-1}),    b_k > 0,    x <= t_K,
    f(x) = f(t_K) x / t_K,                                                   x >  t_K,

so that W2 = f(x)^{1/2} is zero at zero, increasing, and proportional to the latent distance below
the first knot and above the last one, the largest fitted distance. Slopes come from non-negative
least squares with weights 1 / x: the deviation of a measured W2^2 grows as its root, and for K = 1
this is the ratio estimator b = sum y / sum x (Cochran, 1977, section 6.2), in which single y may
be negative. W2 = c |z_1 - z_2| is recovered exactly.

The number and place of the knots were chosen on Gaussians in 2, 5 and 20 dimensions and mixtures
of finite pools in 40, each with the latent distance itself, its root, square and tanh: see
docs/geometry.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Relation", "RelationSettings", "checked", "enclosed"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RelationSettings:
    """Settings of the fit of a relation.

    Attributes:
        quantiles: Quantiles of the latent distances at which the knots between zero and the
            largest lie, closer at small distances.
        prior: Weight of the mean slope in the slope of each piece, relative to the root of that
            of the data. It decides where there are more pieces than pairs.
        least_slope: Least slope of a piece, as a share of the mean slope: W2 increases strictly.
    """

    quantiles: tuple[float, ...] = (0.03, 0.1, 0.3, 0.6, 0.9)
    prior: float = 0.03
    least_slope: float = 0.01


@dataclass(frozen=True)
class Relation:
    """An increasing function from latent distances to W2; the identity by default.

    Attributes:
        knots: Squared latent distances of the knots, from zero on.
        values: Squared W2 at the knots, from zero on.
    """

    knots: tuple[float, ...] = (0.0, 1.0)
    values: tuple[float, ...] = (0.0, 1.0)

    @classmethod
    def linear(cls, scale: float, largest: float = 1.0) -> Relation:
        """Return W2 as a multiple of the latent distance.

        Args:
            scale: The factor.
            largest: The largest fitted latent distance.
        """
        return cls((0.0, largest**2), (0.0, (scale * largest) ** 2))

    @classmethod
    def fit(
        cls,
        latent_squared: ArrayLike,
        w2_squared: ArrayLike,
        size: ArrayLike,
        settings: RelationSettings = RelationSettings(),
    ) -> Relation:
        """Fit to measured pairs.

        Args:
            latent_squared: Squared latent distances, `(P,)`; estimates may be negative, and are
                then taken as zero.
            w2_squared: Squared W2 of the same pairs, `(P,)`; estimates may be negative.
            size: Positive squared distances to whose inverse the weights are proportional, `(P,)`.
            settings: Settings of the fit.

        Raises:
            ValueError: If W2 or the latent distance is not positive on average.

        Example:
            >>> x = np.linspace(1.0, 4.0, 30)
            >>> Relation.fit(x, 9 * x, x)([1.0, 10.0]).round(6).tolist()
            [3.0, 30.0]
        """
        from scipy.optimize import nnls

        x, y, weights = (
            np.asarray(values, dtype=np.float64)
            for values in (latent_squared, w2_squared, 1 / np.asarray(size))
        )
        x = x.clip(0)
        mean_slope = float((weights * x * y).sum() / max((weights * x * x).sum(), 1e-300))
        if not (x.max() > 0 and mean_slope > 0):
            raise ValueError("The sets are no further apart than samples of one of them.")
        knots = np.unique([0.0, *np.quantile(x, settings.quantiles), x.max()])
        parts = np.clip(x[:, None] - knots[:-1], 0, np.diff(knots))
        least = settings.least_slope * mean_slope
        # in units of the mean slope and the largest distance: no unit matters to the solver
        root, unit = np.sqrt(weights * knots[-1]), knots[-1] * mean_slope
        rest = (y - least * x) / unit
        columns = parts / knots[-1] * root[:, None]
        prior = settings.prior * np.diag(np.linalg.norm(columns, axis=0))
        design = np.concatenate([columns, prior])
        goal = np.concatenate([rest * root, prior.sum(1) * (1 - settings.least_slope)])
        slopes, _ = nnls(design, goal)
        steps = (slopes * mean_slope + least) * np.diff(knots)
        values = np.cumsum([0.0, *steps])
        return cls(tuple(knots.tolist()), tuple(values.tolist()))

    @property
    def largest(self) -> float:
        """The largest fitted latent distance."""
        return float(np.sqrt(self.knots[-1]))

    def __call__(self, latent: ArrayLike) -> Array:
        """Return W2 at latent distances, of the same shape."""
        squares: Array = np.sqrt(self.squared(np.square(np.asarray(latent, dtype=np.float64))))
        return squares

    def squared(self, latent_squared: ArrayLike) -> Array:
        """Return squared W2 at squared latent distances, of the same shape."""
        x = np.asarray(latent_squared, dtype=np.float64)
        beyond = np.maximum(x / self.knots[-1], 1)
        values: Array = np.interp(x, self.knots, self.values) * beyond
        return values

    def slope(self, latent_squared: ArrayLike) -> Array:
        """Return the derivative of `squared`, that of the piece below at a knot."""
        slopes = np.diff(self.values) / np.diff(self.knots)
        piece = np.searchsorted(self.knots[1:-1], np.asarray(latent_squared))
        values: Array = slopes[piece]
        return values


def checked(knots: Sequence[float], values: Sequence[float]) -> Relation:
    """Return a relation that was stored.

    Raises:
        ValueError: If it does not increase from zero.
    """
    relation = Relation(tuple(map(float, knots)), tuple(map(float, values)))
    pairs = relation.knots, relation.values
    if len({len(p) for p in pairs}) > 1 or any(p[0] or not (np.diff(p) > 0).all() for p in pairs):
        raise ValueError(f"The calibration does not increase from zero: {knots} to {values}.")
    return relation


def enclosed(
    latent_squared: ArrayLike,
    estimate_and_bounds: tuple[ArrayLike, ArrayLike, ArrayLike],
    size: ArrayLike,
    settings: RelationSettings,
) -> tuple[Relation, Relation, Relation]:
    """Fit squared W2 and its lower and upper bounds, which enclose it at each knot.

    Args:
        latent_squared: As of `Relation.fit`.
        estimate_and_bounds: Squared W2, its lower bounds and its upper bounds, `(P,)` each.
        size: As of `Relation.fit`.
        settings: As of `Relation.fit`.

    Raises:
        ValueError: If the sets do not differ.
    """
    estimate, lower, upper = estimate_and_bounds
    relation = Relation.fit(latent_squared, estimate, size, settings)
    try:
        low = Relation.fit(latent_squared, lower, size, settings).values
    except ValueError:  # sampling may have added all that was measured
        low = tuple(1e-12 * value for value in relation.values)
    high = Relation.fit(latent_squared, upper, size, settings).values
    levels = np.minimum(low, relation.values), np.maximum(high, relation.values)
    bounds = [Relation(relation.knots, tuple(level.tolist())) for level in levels]
    return relation, bounds[0], bounds[1]
