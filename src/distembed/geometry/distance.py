r"""From latent distances to W2 units.

The generative loss fixes z up to any smooth invertible map, so the unit of a latent distance is
an accident. A calibration states it: on pairs of training sets whose W2 was measured,

    W2 ~ a |z_1 - z_2|^p,

with a and p from least squares in W2^2, and its error measured on pairs that the fit did not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        least: Measured over predicted W2 of the pairs that were not used, at the least that W2 may
            be, sorted: what intervals for W2 are made from (`distembed.inference.calibrated`).
        most: The same at the most that W2 may be.
    """

    scale: float = 1.0
    power: float = 1.0
    error: float = float("nan")
    pairs: int = 0
    ground: str = "model"
    least: tuple[float, ...] = ()
    most: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        latent: ArrayLike,
        w2_squared: ArrayLike,
        ground: str = "model",
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Calibration:
        """Fit on measured pairs by least squares in W2^2.

        Every fifth is kept for the error and the ratios, and more of fewer than 400: a 95 %
        interval needs 79.

        Args:
            latent: Latent distances, `(P,)`, positive.
            w2_squared: Squared W2 of the same pairs, `(P,)`, less what sampling adds. Single
                values may be negative; leaving those out would bend the fit.
            ground: The space that W2 was measured in.
            bounds: The least and the most that each squared W2 may be, `(P,)`, where it is not
                known how much sampling adds; `w2_squared` itself where left out.

        Raises:
            ValueError: If there are fewer than ten pairs, or W2 does not grow with latent
                distance.

        Example:
            >>> d = np.linspace(1, 2, 50)
            >>> round(Calibration.fit(d, 9 * d**2).scale, 6)
            3.0
        """
        from scipy.optimize import curve_fit

        x, y = np.asarray(latent, dtype=np.float64), np.asarray(w2_squared, dtype=np.float64)
        if len(x) < 10 or x.min() <= 0:
            raise ValueError(f"{len(x)} pairs of distinct sets are too few to calibrate on.")
        every = min(5, max(2, len(x) // 80))
        kept = np.arange(len(x)) % every == every - 1
        unit = np.median(x)
        size = y[~kept].mean()
        if size <= 0:
            raise ValueError("The sets are no further apart than samples of one of them.")

        def power_law(d: NDArray[np.float64], a: float, p: float) -> NDArray[np.float64]:
            value: NDArray[np.float64] = a * (d / unit) ** (2 * p)
            return value

        # in units of their mean, because the solver measures its steps against one
        start, within = (1.0, 1.0), ((0.0, 0.05), (np.inf, 5.0))
        (level, power), _ = curve_fit(power_law, x[~kept], y[~kept] / size, start, bounds=within)
        level *= size
        predicted = np.sqrt(power_law(x[kept], level, power))

        def ratios(squared: ArrayLike) -> NDArray[np.float64]:
            measured = np.sqrt(np.asarray(squared, dtype=np.float64)[kept].clip(0))
            return np.sort(measured / predicted).round(6)

        error = float(np.median(np.abs(ratios(y) - 1)))
        scale = np.sqrt(level) / unit**power
        least, most = (tuple(ratios(b).tolist()) for b in bounds or (y, y))
        return cls(float(scale), float(power), error, len(x), ground, least, most)

    def describe(self) -> dict[str, Any]:
        """Return JSON, where an error that is not known is null."""
        error = None if math.isnan(self.error) else self.error
        return vars(self) | {
            "error": error, "least": list(self.least), "most": list(self.most)
        }  # fmt: skip

    @classmethod
    def from_description(cls, stored: Mapping[str, Any]) -> Calibration:
        """Rebuild a calibration."""
        error = math.nan if stored["error"] is None else stored["error"]
        known = {name: tuple(stored[name]) for name in ("least", "most")}
        return cls(**{**stored, "error": error, **known})

    def __call__(self, latent: ArrayLike) -> NDArray[np.float64]:
        """Turn latent distances of any shape into W2."""
        distances: NDArray[np.float64] = np.asarray(latent, dtype=np.float64)
        return self.scale * distances**self.power
