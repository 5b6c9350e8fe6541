r"""Estimate from a pilot how many atoms a set needs.

The covariance of z falls as one over the number of atoms, $V = C / m$, so a pilot with V and m
atoms (Kish's effective number) gives $C = m V$, and with it the errors at other numbers of atoms:

    of z:             error^2 = tr C / m,
    of a distance:    error^2 = (4 mu^T C mu / m + 2 tr C^2 / m^2) / (4 |mu|^2),   C = C_1 + C_2,
    power of a test:  P( sum (sqrt(lambda) x + sqrt(m) mu)^2 > c ),
                      P( sum lambda x^2 > c ) = size,    lambda the eigenvalues of C,

where each set of a pair has m atoms. The statistic of the test is $m |z_1 - z_2|^2$, whose limit
is a weighted chi-square; its power grows with m from its size to one. The effect $\mu$ is
$z_1 - z_2$ of the pilot, scaled so that $|\mu|^2$ is $|d|^2$ less its noise, because the raw
difference overestimates the effect. If the pilot has no difference above its noise, the number is
infinite. The result is only as accurate as the effect that the pilot estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from distembed.inference.chi_square.roots import falling_root
from distembed.inference.chi_square.weighted_sum import ChiSquareSum, eigen

__all__ = ["DistanceError", "EmbeddingError", "NeededAtoms", "Pilot", "Power", "needed_atoms"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


class Pilot(Protocol):
    """A table of embeddings of S sets with their covariances."""

    @property
    def z(self) -> NDArray[np.floating]:
        """Embeddings, `(S, L)`."""

    @property
    def cov(self) -> NDArray[np.floating] | None:
        """Covariances, `(S, L, L)`, NaN where missing."""

    @property
    def effective_sizes(self) -> Array:
        """Kish's effective number of atoms, `(S,)`."""

    @property
    def ids(self) -> NDArray[np.str_]:
        """Names, `(S,)`."""


@dataclass(frozen=True)
class EmbeddingError:
    """Bound the root of the trace of the covariance of z by `value`."""

    value: float


@dataclass(frozen=True)
class DistanceError:
    """Bound the standard error of a latent distance by `value`.

    It is that of the delta method, so the distance has to be a few times larger than the value.
    """

    value: float


@dataclass(frozen=True)
class Power:
    """Require that a test of level `size` rejects with probability `power`."""

    power: float = 0.8
    size: float = 0.05


@dataclass(frozen=True)
class NeededAtoms:
    """Numbers of atoms that sets need, one row a set or a pair.

    Attributes:
        names: The sets of each row, `(R, 1)` or `(R, 2)`.
        atoms: Effective numbers of atoms, whole, at least one, `(R,)`: infinite where the pilot
            has no difference, NaN where it has no covariance.
        pilot: Effective numbers of the pilot, the smaller one of a pair, `(R,)`.
    """

    names: NDArray[np.str_]
    atoms: Array
    pilot: Array


def needed_atoms(
    table: Pilot,
    target: EmbeddingError | DistanceError | Power,
    pairs: ArrayLike | None = None,
) -> NeededAtoms:
    """Return the number of atoms that reaches a target, for every set or for pairs of sets.

    Args:
        table: A pilot: `z`, `cov`, `effective_sizes`, `ids`.
        target: The accuracy or the power.
        pairs: Row numbers of the two sets of each pair, `(R, 2)`; all pairs by default. An
            `EmbeddingError` is for single sets, and has no pairs.

    Raises:
        ValueError: If there is no covariance, shapes do not fit, or no number of atoms reaches the
            target.
    """
    z = np.asarray(table.z, dtype=np.float64)
    sizes = np.asarray(table.effective_sizes, dtype=np.float64)
    if table.cov is None:
        raise ValueError(
            "The pilot has no covariances, from which the numbers of atoms are computed. Embed it "
            "again with covariance=True."
        )
    cov = np.asarray(table.cov, dtype=np.float64)
    if z.ndim != 2 or cov.shape != (*z.shape, z.shape[1]) or sizes.shape != z.shape[:1]:
        raise ValueError(
            f"z has shape {z.shape}, cov {cov.shape} and effective_sizes {sizes.shape}; expected "
            "(S, L), (S, L, L) and (S,)."
        )
    _check(target)
    ids = np.asarray(table.ids)
    per_atom = cov * sizes[:, None, None]
    if isinstance(target, EmbeddingError):
        if pairs is not None:
            raise ValueError("An EmbeddingError is for single sets; leave pairs out.")
        atoms = np.einsum("sii->s", per_atom) / target.value**2
        return NeededAtoms(ids[:, None], _whole(atoms), sizes)
    index = np.stack(np.triu_indices(len(z), 1), 1) if pairs is None else np.asarray(pairs)
    if index.ndim != 2 or index.shape[1] != 2:
        raise ValueError(f"pairs has shape {index.shape}; expected (R, 2), two rows a pair.")
    a, b = index.T
    d = z[a] - z[b]
    noise = np.einsum("sii->s", cov)
    effect = (d**2).sum(1) - noise[a] - noise[b]
    mu = d * np.sqrt(np.maximum(effect, 0.0) / np.maximum((d**2).sum(1), 1e-300))[:, None]
    total = per_atom[a] + per_atom[b]
    if isinstance(target, DistanceError):
        atoms = _for_distance(mu, total, target.value)
    else:
        atoms = _for_power(mu, total, target)
    atoms = np.where(effect > 0, _whole(atoms), np.where(np.isnan(effect), np.nan, np.inf))
    return NeededAtoms(ids[index], atoms, np.minimum(sizes[a], sizes[b]))


def _for_distance(mu: Array, cov: Array, error: float) -> Array:
    """Solve a quadratic equation in 1/m for its positive root."""
    linear = 4 * np.einsum("pi,pij,pj->p", mu, cov, mu)
    square = 2 * np.einsum("pij,pji->p", cov, cov)
    bound = 4 * (mu**2).sum(1) * error**2
    with np.errstate(invalid="ignore", divide="ignore"):
        atoms: Array = (linear + np.sqrt(linear**2 + 4 * square * bound)) / (2 * bound)
    return atoms


def _for_power(mu: Array, cov: Array, target: Power) -> Array:
    """Solve for the number at which the power reaches its target, by the saddlepoint."""
    weights, vectors = eigen(cov)
    shift = np.einsum("plk,pl->pk", vectors, mu)
    length, noise = (mu**2).sum(1), weights.sum(1)
    out = np.where(np.isnan(noise), np.nan, np.where(length > 0, 1.0, np.inf))
    rows = np.flatnonzero((noise > 0) & (length > 0))
    weights, shift, length = weights[rows], shift[rows], length[rows]
    critical = ChiSquareSum(weights).quantile(target.size, upper=True)

    def excess(log_m: Array, index: Rows) -> Array:
        """Normal score of the error of the second kind, less its target."""
        scaled = np.exp(0.5 * log_m)[:, None] * shift[index]
        score = ChiSquareSum(weights[index], scaled).score(critical[index])
        value: Array = np.clip(score, -1e6, 1e6) - ndtri(1 - target.power)
        return value

    # |sqrt(m) mu| exceeds the critical length by a bound of the norm of the noise
    top = weights.max(1)
    reach = np.sqrt(critical) + np.sqrt(weights.sum(1))
    reach += np.sqrt(2 * top * np.log(2 / (1 - target.power)))
    high = np.log(reach**2 / length)
    out[rows] = np.exp(falling_root(excess, np.minimum(high - 30, 0.0), high, 1e-8))
    return out


def _whole(atoms: Array) -> Array:
    whole: Array = np.maximum(np.ceil(atoms * (1 - 1e-9)), 1.0)
    return whole


def _check(target: EmbeddingError | DistanceError | Power) -> None:
    if isinstance(target, Power):
        if not 0 < target.size < target.power < 1:
            raise ValueError(
                f"size {target.size} and power {target.power}: expected 0 < size < power < 1, "
                "because a test rejects with probability `size` where there is no effect."
            )
    elif not 0 < target.value < np.inf:
        raise ValueError(f"The target error is {target.value}; it has to be positive and finite.")
