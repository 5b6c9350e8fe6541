r"""Forecast the embedding of the set that follows: ridge regression of the change.

For pairs (z, z') of embeddings and covariates c of the later set,

    z' = z + b + A (x - mean x),   x = (z, c),

with A the minimiser of sum_i |z'_i - z_i - b - A (x_i - mean x)|^2 + n alpha |A|^2 over inputs in
units of one deviation for z, and of its own for each covariate. The penalty is chosen on inner
folds. At an infinite penalty the forecast is the mean change, which is among the candidates. The
error of a forecast is the covariance of residuals on pairs that the fit has not seen; it includes
the sampling errors of both embeddings, so that it is that for sets of such sizes.

Scores are of outer folds, in which the penalty is chosen anew, beside `persistence` (z' = z) and
`mean_change`. Sets that an encoder was trained on are easier to embed, which flatters all methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from distembed.data.observations import refuse_unknown
from distembed.heads.covariates import Levels, coded
from distembed.heads.folds import Folds, as_groups
from distembed.heads.scores import Score, corrected_interval
from distembed.model.embeddings import Embeddings
from distembed.rng import Rng, as_generator
from distembed.sets.pairs import Pairs

__all__ = ["Forecast", "forecast"]

Array = NDArray[np.float64]

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0, np.inf)


@dataclass(frozen=True)
class Forecast:
    """A fitted forecast.

    Attributes:
        centre: Mean of the inputs, `(L + F,)`.
        slopes: Slopes A in the units of the inputs, `(L, L + F)`.
        change: Mean change b, `(L,)`.
        cov: Covariance of the error of a forecast, `(L, L)`.
        penalty: The penalty that was chosen.
        scores: Mean squared error of the forecast and of the baselines, by name.
        errors: Squared error of each pair in its outer fold, `(P,)` by name.
        levels: Values of each covariate of text; None for numbers.
    """

    centre: Array
    slopes: Array
    change: Array
    cov: Array
    penalty: float
    scores: Mapping[str, Score]
    errors: Mapping[str, Array]
    levels: Levels = field(default_factory=dict)

    def predict(
        self, table: Embeddings, covariates: Mapping[str, ArrayLike] | None = None
    ) -> Embeddings:
        """Forecast the embeddings of the sets that follow.

        Args:
            table: Embeddings of the sets before, `(S, L)`.
            covariates: Those that it was fitted with, each `(S,)`.

        Returns:
            The same table with forecasts in place of z, and the covariance of their errors.

        Raises:
            ValueError: If a covariate is missing or has a value that was not there, or the
                embeddings are of another dimension.
        """
        z = np.asarray(table.z, np.float64)
        if z.shape[1] != len(self.change):
            raise ValueError(
                f"The embeddings have dimension {z.shape[1]}, and the forecast was fitted to "
                f"{len(self.change)}. Embed the sets with the model that it was fitted with."
            )
        given = covariates or {}
        if given.keys() != self.levels.keys():
            raise ValueError(
                f"The forecast has the covariates {', '.join(self.levels) or 'none'}, and given "
                f"are {', '.join(given) or 'none'}. Give each by name, one value a set."
            )
        c, _ = coded({k: np.asarray(v) for k, v in given.items()}, len(z), self.levels)
        x = np.concatenate([z, c], axis=1) - self.centre
        next_z = z + self.change + x @ self.slopes.T
        cov = np.broadcast_to(self.cov, (len(z), *self.cov.shape)).astype(np.float32)
        return Embeddings(
            next_z.astype(np.float32),
            table.ids,
            table.sizes,
            table.effective_sizes,
            table.meta,
            cov,
        )

    def draw(self, table: Embeddings, n: int, rng: Rng = 0) -> NDArray[np.float32]:
        """Draw embeddings from forecasts with their errors, `(n, S, L)`, for `model.sample`.

        Args:
            table: What `predict` returned.
            n: Number of draws.
            rng: Source of the draws.
        """
        size = (n, *table.z.shape)
        noise = torch.randn(size, generator=as_generator(rng), dtype=torch.float64).numpy()
        value, vector = np.linalg.eigh(self.cov)
        drawn: NDArray[np.float32] = (
            table.z + noise @ (vector * np.sqrt(value.clip(0))).T
        ).astype(np.float32)
        return drawn


def forecast(
    table: Embeddings,
    pairs: Pairs,
    covariates: Sequence[str] = (),
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    seed: int = 0,
) -> Forecast:
    """Fit a forecast to pairs of embeddings, and score it on pairs that it was not fitted to.

    Args:
        table: Embeddings of all sets.
        pairs: Pairs of its rows (`distembed.sets.pairs`). Groups are not divided by folds, unless
            all pairs are of one group.
        covariates: Columns of metadata of the later set that are known before it is, such as the
            treatment: numbers, or text of few values.
        penalties: Candidates, of which an infinite one is the mean change.
        folds: Number of outer and of inner folds.
        seed: Of the folds.

    Raises:
        ValueError: If there are fewer groups than folds in an outer fold, a number is missing, or
            a penalty is negative.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(60, 1))
        >>> rows = np.concatenate([z, 0.5 * z + 2]).astype(np.float32)
        >>> ids, ones = np.arange(120).astype(str), np.ones(120)
        >>> table = Embeddings(rows, ids, ones.astype(int), ones)
        >>> pairs = Pairs(np.arange(60), np.arange(60, 120), ids[:60])
        >>> fit = forecast(table, pairs, penalties=[1e-6])
        >>> fit.predict(table.select([0])).z.round(3).tolist() == (rows[60:61].round(3)).tolist()
        True
    """
    if not penalties or min(penalties) < 0:
        raise ValueError(f"penalties = {list(penalties)}; they are at least 0, and there is one.")
    refuse_unknown(covariates, table.meta, "metadata column")
    z = np.asarray(table.z, np.float64)
    own = {name: np.asarray(table.meta[name])[pairs.after] for name in covariates}
    c, levels = coded(own, len(pairs))
    x, y = np.concatenate([z[pairs.before], c], axis=1), z[pairs.after] - z[pairs.before]
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError("An embedding or a covariate of a pair is missing. Leave the pair out.")
    several = len(np.unique(pairs.group)) > 1
    groups = as_groups(pairs.group if several else None, len(pairs))
    latent, errors, residuals = z.shape[1], {}, np.zeros_like(y)
    outer = _folds(groups, folds, seed)
    mean_change = np.zeros_like(y)
    for train, test in outer:
        residuals[test] = y[test] - _chosen(
            x[train], y[train], groups[train], latent, penalties, folds, seed
        ).at(x[test])
        mean_change[test] = y[test] - y[train].mean(0)
    for name, error in (
        ("forecast", residuals), ("persistence", y), ("mean_change", mean_change)
    ):  # fmt: skip
        errors[name] = np.square(error).sum(1)
    ratio = 1 / (folds - 1)
    scores = {
        name: Score("mse", *corrected_interval(own, ratio), 0.0, own)
        for name, error in errors.items()
        for own in [np.array([error[test].mean() for _, test in outer])]
    }
    fit = _chosen(x, y, groups, latent, penalties, folds, seed)
    cov = residuals.T @ residuals / len(pairs)
    return Forecast(fit.centre, fit.slopes, fit.change, cov, fit.penalty, scores, errors, levels)


@dataclass(frozen=True)
class _Ridge:
    centre: Array
    slopes: Array
    change: Array
    penalty: float

    def at(self, x: Array) -> Array:
        """Return the changes at inputs `(n, L + F)`."""
        changes: Array = self.change + (x - self.centre) @ self.slopes.T
        return changes


def _ridges(x: Array, y: Array, latent: int, penalties: Sequence[float]) -> list[_Ridge]:
    """Fit a ridge regression for each penalty, from one decomposition."""
    centre, change = x.mean(0), y.mean(0)
    deviation = x.std(0)
    unit = np.where(deviation > 0, deviation, 1.0)
    common = np.sqrt(np.square(deviation[:latent]).mean())
    unit[:latent] = common if common > 0 else 1.0
    u, s, v = np.linalg.svd((x - centre) / unit, full_matrices=False)
    kept = s > 1e-10 * max(s.max(initial=0), 1e-300)
    u, s, v = u[:, kept], s[kept], v[kept]
    target = u.T @ (y - change)
    fits = []
    for penalty in penalties:
        shrunk = s / (s**2 + len(x) * penalty) if np.isfinite(penalty) else np.zeros_like(s)
        slopes = (v.T * shrunk @ target).T / unit
        fits.append(_Ridge(centre, slopes, change, float(penalty)))
    return fits


def _chosen(
    x: Array,
    y: Array,
    groups: NDArray[np.int64],
    latent: int,
    penalties: Sequence[float],
    count: int,
    seed: int,
) -> _Ridge:
    """Fit with the penalty of the smallest error on inner folds."""
    total = np.zeros(len(penalties))
    if len(penalties) > 1:
        for train, test in _folds(groups, count, seed):
            fits = _ridges(x[train], y[train], latent, penalties)
            total += [np.square(y[test] - fit.at(x[test])).sum() for fit in fits]
    return _ridges(x, y, latent, [penalties[int(total.argmin())]])[0]


def _folds(groups: NDArray[np.int64], count: int, seed: int) -> Folds:
    """Divide pairs into folds of whole groups of nearly equal numbers."""
    names = np.unique(groups)
    if count < 2 or len(names) < count:
        raise ValueError(
            f"folds = {count} for {len(names)} groups of pairs; a fold holds a group or more, and "
            "there are at least two folds. Use fewer folds, or more pairs."
        )
    order = np.random.default_rng(seed).permutation(names)
    tests = [np.isin(groups, part) for part in np.array_split(order, count)]
    return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests]
