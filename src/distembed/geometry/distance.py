r"""Latent distances, and their calibration to units of W2.

The generative loss determines z up to a smooth invertible map, so the unit of a latent distance
is arbitrary. A calibration estimates it from pairs of training sets whose W2 was measured,

    W2 ~ a |z_1 - z_2|^p,

with a and p from least squares in W2^2. Its error is measured on pairs that were not fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.geometry.attachment import TrainingTable

__all__ = ["Calibration", "Ground", "check_ground", "latent_distances", "subtract_noise"]

Ground = Literal["input", "model"]
"""The space of atoms: the units of the data, or the model's space after its transform."""


def check_ground(ground: str) -> None:
    """Raise a ValueError if there is no ground space of this name."""
    if ground not in ("input", "model"):
        raise ValueError(
            f"ground is {ground!r}; it is 'input' (the units of the data) or 'model' (the space "
            "after the transform)."
        )


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


def subtract_noise(
    distances: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    r"""Replace distances d by $\sqrt{\max(d^2 - v - w, 0)}$, in place.

    Args:
        distances: `(A, B)`.
        first: The noise v of the rows, `(A,)`.
        second: The noise w of the columns, `(B,)`.

    Example:
        >>> d = np.array([[5.0, 1.0]])
        >>> subtract_noise(d, np.array([4.0]), np.array([5.0, 5.0]))
        >>> d.tolist()
        [[4.0, 0.0]]
    """
    np.square(distances, out=distances)
    distances -= first[:, None] + second
    np.maximum(distances, 0, out=distances)
    np.sqrt(distances, out=distances)


@dataclass(frozen=True)
class CalibrationSettings:
    """Settings of the fit of a calibration.

    Attributes:
        fewest_pairs: Fewer measured pairs are refused.
        validation: Every so many pairs one is kept for the error and the ratios.
        ratios: Number of ratios below which more pairs are kept, up to every second; a 95 %
            interval for W2 needs 79.
        powers: Range of the exponent p.
    """

    fewest_pairs: int = 10
    validation: int = 5
    ratios: int = 80
    powers: tuple[float, float] = (0.05, 5.0)


@dataclass(frozen=True)
class Calibration:
    """A power law from latent distances to W2.

    Attributes:
        scale: The factor a, W2 at latent distance one.
        power: The exponent p.
        error: Median relative error on pairs that were not fitted, NaN if there were none.
        pairs: Number of measured pairs.
        ground: The space in which W2 was measured.
        low_ratios: Lower bounds of the ratio of measured to predicted W2 on pairs that were not
            fitted, sorted: intervals for W2 are made from them
            (`distembed.inference.calibrated`).
        high_ratios: Upper bounds of the same ratios, sorted.
    """

    scale: float = 1.0
    power: float = 1.0
    error: float = float("nan")
    pairs: int = 0
    ground: Ground = "model"
    low_ratios: tuple[float, ...] = ()
    high_ratios: tuple[float, ...] = ()

    @classmethod
    def fit(cls, context: TrainingTable) -> Calibration:
        """Fit to the pairs of training sets whose W2 was measured.

        Raises:
            ValueError: If W2 was not measured, or does not grow with latent distance.
        """
        pairs = context.pairs
        if not len(pairs):
            raise ValueError(pairs.reason)
        return cls.from_pairs(pairs.latent, pairs.w2_squared, (pairs.low, pairs.high))

    @classmethod
    def from_pairs(
        cls,
        latent: ArrayLike,
        w2_squared: ArrayLike,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
        ground: Ground = "model",
        settings: CalibrationSettings = CalibrationSettings(),
    ) -> Calibration:
        """Fit to measured pairs by least squares in W2^2.

        Args:
            latent: Latent distances, `(P,)`, positive.
            w2_squared: Squared W2 of the same pairs, `(P,)`, less what sampling adds. Single
                values may be negative; to leave those out would bias the fit.
            bounds: Lower and upper bounds of each squared W2, `(P,)`; `w2_squared` itself if left
                out.
            ground: The space in which W2 was measured.
            settings: Settings of the fit.

        Raises:
            ValueError: If there are fewer than ten pairs, or W2 does not grow with latent
                distance.

        Example:
            >>> d = np.linspace(1, 2, 50)
            >>> round(Calibration.from_pairs(d, 9 * d**2).scale, 6)
            3.0
        """
        x, y = np.asarray(latent, dtype=np.float64), np.asarray(w2_squared, dtype=np.float64)
        if len(x) < settings.fewest_pairs or x.min() <= 0:
            raise ValueError(f"{len(x)} pairs of distinct sets are too few to calibrate on.")
        every = min(settings.validation, max(2, len(x) // settings.ratios))
        validation = np.arange(len(x)) % every == every - 1
        scale, power = _power_law(x[~validation], y[~validation], settings.powers)
        predicted = scale * x[validation] ** power

        def ratios(squared: ArrayLike) -> NDArray[np.float64]:
            measured = np.sqrt(np.asarray(squared, dtype=np.float64)[validation].clip(0))
            return np.sort(measured / predicted).round(6)

        error = float(np.median(np.abs(ratios(y) - 1)))
        low_ratios, high_ratios = (tuple(ratios(b).tolist()) for b in bounds or (y, y))
        return cls(scale, power, error, len(x), ground, low_ratios, high_ratios)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return JSON, in which an unknown error is null, and the ratios."""
        config = {
            "scale": self.scale,
            "power": self.power,
            "error": None if math.isnan(self.error) else self.error,
            "pairs": self.pairs,
            "ground": self.ground,
        }
        ratios = {"low_ratios": self.low_ratios, "high_ratios": self.high_ratios}
        return config, {k: torch.tensor(v, dtype=torch.float64) for k, v in ratios.items()}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Calibration:
        """Rebuild a calibration."""
        check_ground(config["ground"])
        return cls(
            float(config["scale"]),
            float(config["power"]),
            math.nan if config["error"] is None else float(config["error"]),
            int(config["pairs"]),
            cast(Ground, config["ground"]),
            tuple(tensors["low_ratios"].tolist()),
            tuple(tensors["high_ratios"].tolist()),
        )

    def __call__(self, latent: ArrayLike) -> NDArray[np.float64]:
        """Return W2 at latent distances, of the same shape."""
        distances: NDArray[np.float64] = np.asarray(latent, dtype=np.float64)
        return self.scale * distances**self.power


def _power_law(
    x: NDArray[np.float64], y: NDArray[np.float64], powers: tuple[float, float]
) -> tuple[float, float]:
    """Return a and p of the least-squares fit of (a x^p)^2 to y.

    Raises:
        ValueError: If y is not positive on average, or the fit does not converge.
    """
    from scipy.optimize import curve_fit

    unit, size = np.median(x), y.mean()
    if size <= 0:
        raise ValueError("The sets are no further apart than samples of one of them.")

    def squared(d: NDArray[np.float64], a: float, p: float) -> NDArray[np.float64]:
        value: NDArray[np.float64] = a * (d / unit) ** (2 * p)
        return value

    low, high = powers
    # in units of their mean, because the solver measures its steps against one
    try:
        (level, power), _ = curve_fit(
            squared, x, y / size, (1.0, 1.0), bounds=((0.0, low), (np.inf, high))
        )
    except RuntimeError as error:
        raise ValueError(f"W2 is not a power of the latent distance: {error}") from error
    return float(np.sqrt(level * size) / unit**power), float(power)
