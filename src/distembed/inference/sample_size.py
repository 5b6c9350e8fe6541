r"""How many atoms a set needs, from a pilot.

The covariance of z falls as one over the number of atoms, $V = C / m$, so a pilot with V and m
atoms (Kish's effective number) knows $C = m V$, and with it what other numbers would give:

    of z:             error^2 = tr C / m,
    of a distance:    error^2 = (4 mu^T C mu / m + 2 tr C^2 / m^2) / (4 |mu|^2),   C = C_1 + C_2,
    power of a test:  P( sum (sqrt(lambda) x + sqrt(m) mu)^2 > c ),
                      P( sum lambda x^2 > c ) = size,    lambda the eigenvalues of C,

each set of a pair having m atoms. The test takes $m |z_1 - z_2|^2$ with a weighted chi-square
limit; its power grows with m from its size to one. The effect $\mu$ is $z_1 - z_2$ of the pilot,
shortened so that $|\mu|^2$ is what is left of $|d|^2$ without its noise: with the raw difference
any two sets would look easy to tell apart. A pilot that saw no difference cannot say how many
atoms would show one, and the answer is infinity. What holds for one pilot's effect holds for the
true one no better than the pilot knew it.
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
    """Embeddings of S sets with their covariances."""

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
    """Wanted: the root of the trace of the covariance of z is at most `value`."""

    value: float


@dataclass(frozen=True)
class DistanceError:
    """Wanted: the standard error of a latent distance is at most `value`.

    It is that of the delta method, so the distance has to be a few times larger than the value.
    """

    value: float


@dataclass(frozen=True)
class Power:
    """Wanted: a test of this `size` tells two sets apart with probability `power`."""

    power: float = 0.8
    size: float = 0.05


@dataclass(frozen=True)
class NeededAtoms:
    """Atoms that each set needs, one row a set or a pair.

    Attributes:
        names: The sets of each row, `(R, 1)` or `(R, 2)`.
        atoms: Effective numbers of atoms, whole, at least one, `(R,)`: infinite where the pilot
            saw no difference, NaN where it has no covariance.
        pilot: Effective numbers that the pilot had, the smaller one of a pair, `(R,)`.
    """

    names: NDArray[np.str_]
    atoms: Array
    pilot: Array


def needed_atoms(
    table: Pilot,
    target: EmbeddingError | DistanceError | Power,
    pairs: ArrayLike | None = None,
) -> NeededAtoms:
    """Return how many atoms reach a target, for every set or for pairs of sets.

    Args:
        table: A pilot: `z`, `cov`, `effective_sizes`, `ids`.
        target: What is wanted.
        pairs: Row numbers of the two sets of each pair, `(R, 2)`; all pairs where left out. An
            `EmbeddingError` is about single sets and has none.

    Raises:
        ValueError: If there is no covariance, shapes do not fit, or the target cannot be met by
            any number.
    """
    z = np.asarray(table.z, dtype=np.float64)
    sizes = np.asarray(table.effective_sizes, dtype=np.float64)
    if table.cov is None:
        raise ValueError(
            "The pilot has no covariances, which say how z moves with the number of atoms. Embed "
            "it again with full covariances."
        )
    cov = np.asarray(table.cov, dtype=np.float64)
    if z.ndim != 2 or cov.shape != (*z.shape, z.shape[1]) or sizes.shape != z.shape[:1]:
        raise ValueError(
            f"z has shape {z.shape}, cov {cov.shape} and effective_sizes {sizes.shape}; expected "
            "(S, L), (S, L, L) and (S,)."
        )
    _check(target)
    ids = np.asarray(table.ids)
    one = cov * sizes[:, None, None]
    if isinstance(target, EmbeddingError):
        if pairs is not None:
            raise ValueError("An EmbeddingError is about single sets; leave pairs out.")
        atoms = np.einsum("sii->s", one) / target.value**2
        return NeededAtoms(ids[:, None], _whole(atoms), sizes)
    chosen = np.stack(np.triu_indices(len(z), 1), 1) if pairs is None else np.asarray(pairs)
    if chosen.ndim != 2 or chosen.shape[1] != 2:
        raise ValueError(f"pairs has shape {chosen.shape}; expected (R, 2), two rows a pair.")
    first, second = chosen.T
    d = z[first] - z[second]
    noise = np.einsum("sii->s", cov)
    left = (d**2).sum(1) - noise[first] - noise[second]
    mu = d * np.sqrt(np.maximum(left, 0.0) / np.maximum((d**2).sum(1), 1e-300))[:, None]
    total = one[first] + one[second]
    if isinstance(target, DistanceError):
        atoms = _for_distance(mu, total, target.value)
    else:
        atoms = _for_power(mu, total, target)
    atoms = np.where(left > 0, _whole(atoms), np.where(np.isnan(left), np.nan, np.inf))
    return NeededAtoms(ids[chosen], atoms, np.minimum(sizes[first], sizes[second]))


def _for_distance(mu: Array, cov: Array, error: float) -> Array:
    """The positive root of a quadratic equation in 1/m."""
    linear = 4 * np.einsum("pi,pij,pj->p", mu, cov, mu)
    square = 2 * np.einsum("pij,pji->p", cov, cov)
    wanted = 4 * (mu**2).sum(1) * error**2
    with np.errstate(invalid="ignore", divide="ignore"):
        atoms: Array = (linear + np.sqrt(linear**2 + 4 * square * wanted)) / (2 * wanted)
    return atoms


def _for_power(mu: Array, cov: Array, target: Power) -> Array:
    """Where the power reaches its target, by the saddlepoint."""
    weights, vectors = eigen(cov)
    shift = np.einsum("plk,pl->pk", vectors, mu)
    length, noise = (mu**2).sum(1), weights.sum(1)
    out = np.where(np.isnan(noise), np.nan, np.where(length > 0, 1.0, np.inf))
    rows = np.flatnonzero((noise > 0) & (length > 0))
    weights, shift, length = weights[rows], shift[rows], length[rows]
    critical = ChiSquareSum(weights).quantile(target.size, upper=True)

    def short(log_m: Array, some: Rows) -> Array:
        """Normal score of missing the target."""
        scaled = np.exp(0.5 * log_m)[:, None] * shift[some]
        score = ChiSquareSum(weights[some], scaled).score(critical[some])
        found: Array = np.clip(score, -1e6, 1e6) - ndtri(1 - target.power)
        return found

    # |sqrt(m) mu| beyond the critical length by a concentrated norm of the noise
    top = weights.max(1)
    reach = np.sqrt(critical) + np.sqrt(weights.sum(1))
    reach += np.sqrt(2 * top * np.log(2 / (1 - target.power)))
    most = np.log(reach**2 / length)
    out[rows] = np.exp(falling_root(short, np.minimum(most - 30, 0.0), most, 1e-8))
    return out


def _whole(atoms: Array) -> Array:
    whole: Array = np.maximum(np.ceil(atoms * (1 - 1e-9)), 1.0)
    return whole


def _check(target: EmbeddingError | DistanceError | Power) -> None:
    if isinstance(target, Power):
        if not 0 < target.size < target.power < 1:
            raise ValueError(
                f"size {target.size} and power {target.power}: expected 0 < size < power < 1, as "
                "a test of size 0.05 already rejects so often without any atoms' help."
            )
    elif not 0 < target.value < np.inf:
        raise ValueError(f"The wanted error is {target.value}; it has to be positive and finite.")
