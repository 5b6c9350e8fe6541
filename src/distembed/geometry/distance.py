r"""From latent distances to W2 units.

The generative loss fixes z up to any smooth invertible map, so the unit of a latent distance is
an accident. A calibration states it: on pairs of training sets whose W2 was measured,

    W2 ~ a |z_1 - z_2|^p,

with a and p from least squares on the logarithms, and its error measured on pairs that the fit
did not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Calibration", "latent_distances"]


def latent_distances(a: ArrayLike, b: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return Euclidean distances between embeddings, `(A, L), (B, L) -> (A, B)`.

    Example:
        >>> latent_distances([[0.0, 0.0], [3.0, 4.0]])[0].tolist()
        [0.0, 5.0]
    """
    from scipy.spatial.distance import cdist

    first = np.asarray(a, dtype=np.float64)
    second = first if b is None else np.asarray(b, dtype=np.float64)
    out: NDArray[np.float64] = cdist(first, second)
    return out


@dataclass(frozen=True)
class Calibration:
    """A power that turns latent distances into W2.

    Attributes:
        scale: The factor a, W2 at latent distance one.
        power: The exponent p.
        error: Median relative error on pairs that were not used, NaN where there were none.
        pairs: How many pairs were used.
        ground: The space W2 was measured in, `model` or `input`.
    """

    scale: float = 1.0
    power: float = 1.0
    error: float = float("nan")
    pairs: int = 0
    ground: str = "model"

    @classmethod
    def fit(cls, latent: ArrayLike, w2: ArrayLike, ground: str = "model") -> Calibration:
        """Fit on measured pairs; every fifth pair is kept for the error.

        Args:
            latent: Latent distances, `(P,)`.
            w2: W2 of the same pairs, `(P,)`; pairs with either equal to zero are left out.
            ground: The space that W2 was measured in.

        Raises:
            ValueError: If fewer than ten pairs are left.

        Example:
            >>> d = np.linspace(1, 2, 50)
            >>> round(Calibration.fit(d, 3 * d).scale, 6)
            3.0
        """
        x, y = np.asarray(latent, dtype=np.float64), np.asarray(w2, dtype=np.float64)
        usable = (x > 0) & (y > 0)
        x, y = np.log(x[usable]), np.log(y[usable])
        if len(x) < 10:
            raise ValueError(f"{len(x)} pairs of distinct sets are too few to calibrate on.")
        test = np.arange(len(x)) % 5 == 4
        spread = x[~test].var()
        power = float(np.cov(x[~test], y[~test], bias=True)[0, 1] / spread) if spread else 1.0
        if power <= 0:  # latent distances that do not grow with W2 have no unit: keep their order
            power = 1.0
        shift = float((y[~test] - power * x[~test]).mean())
        error = np.abs(np.expm1(shift + power * x[test] - y[test]))
        return cls(float(np.exp(shift)), power, float(np.median(error)), int(len(x)), ground)

    def __call__(self, latent: ArrayLike) -> NDArray[np.float64]:
        """Turn latent distances of any shape into W2."""
        distances: NDArray[np.float64] = np.asarray(latent, dtype=np.float64)
        return self.scale * distances**self.power
