r"""Latent distances, and their calibration to units of W2.

The generative loss determines z up to a smooth invertible map, so the unit of a latent distance
is arbitrary. A calibration estimates it from pairs of training sets whose W2 was measured,

    W2^2 ~ f(|z_1 - z_2|^2) (1 + tau e),    E e = 0, Var e = 1,

with f increasing, zero at zero, and linear beyond the largest fitted distance
(`distembed.geometry.relation`). Its error is measured on pairs that were not fitted
(`distembed.geometry.deviation`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.geometry.attachment import MeasuredPairs, TrainingTable
from distembed.geometry.deviation import deviation_ratios
from distembed.geometry.relation import Relation, RelationSettings, checked, enclosed

__all__ = [
    "Calibration",
    "CalibrationSettings",
    "Ground",
    "check_ground",
    "error_sentence",
    "latent_distances",
    "subtract_noise",
]

Array = NDArray[np.float64]
Ground = Literal["input", "model"]
"""The space of atoms: the units of the data, or the model's space after its transform."""


def check_ground(ground: str) -> None:
    """Raise a ValueError if there is no ground space of this name."""
    if ground not in ("input", "model"):
        raise ValueError(
            f"ground is {ground!r}; it is 'input' (the units of the data) or 'model' (the space "
            "after the transform)."
        )


def error_sentence(error: float, deciles: Sequence[float]) -> str:
    """Write the relative error of a calibration, and that of each tenth of the pairs.

    Example:
        >>> error_sentence(0.04, [0.09, 0.021])
        'median error 4.0 %, from near to far pairs 9.0, 2.1 %'
    """
    text = f"median error {100 * error:.1f} %"
    parts = ", ".join(f"{100 * value:.1f}" for value in deciles)
    return f"{text}, from near to far pairs {parts} %" if parts else text


def latent_distances(a: ArrayLike, b: ArrayLike | None = None) -> Array:
    """Return Euclidean distances between embeddings, `(A, L), (B, L) -> (A, B)`.

    Example:
        >>> latent_distances([[0.0, 0.0], [3.0, 4.0]])[0].tolist()
        [0.0, 5.0]
    """
    from scipy.spatial.distance import cdist

    first = np.asarray(a, dtype=np.float64)
    second = first if b is None else np.asarray(b, dtype=np.float64)
    out: Array = cdist(first, second)
    return out


def subtract_noise(
    distances: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    left: ArrayLike = 1.0,
) -> None:
    r"""Replace distances d by $\sqrt{\max(d^2 - s (v + w), 0)}$, in place.

    Args:
        distances: `(A, B)`.
        first: The noise v of the rows, `(A,)`.
        second: The noise w of the columns, `(B,)`.
        left: The share s of the noise that is left where sets share atoms, `(A, B)`.

    Example:
        >>> d = np.array([[5.0, 1.0]])
        >>> subtract_noise(d, np.array([4.0]), np.array([5.0, 5.0]))
        >>> d.tolist()
        [[4.0, 0.0]]
    """
    np.square(distances, out=distances)
    distances -= np.asarray(left) * (first[:, None] + second)
    np.maximum(distances, 0, out=distances)
    np.sqrt(distances, out=distances)


@dataclass(frozen=True)
class CalibrationSettings:
    """Settings of the fit of a calibration.

    Attributes:
        fewest_pairs: Fewer measured pairs are refused.
        validation: Every so many pairs one is kept for the error and the ratios; a 95 % interval
            for W2 needs 39 of them.
        decile: Least number of kept pairs in a decile; with fewer there are no deciles.
        relation: Knots and slopes.
    """

    fewest_pairs: int = 10
    validation: int = 2
    decile: int = 3
    relation: RelationSettings = field(default_factory=RelationSettings)


@dataclass(frozen=True)
class Calibration:
    """A map from latent distances to W2; the identity, of no pairs, by default.

    Attributes:
        relation: The map.
        low: The map if sampling adds to a measured W2 as much as it may.
        high: The map if it adds nothing.
        error: Median relative error on pairs that were not fitted, NaN if there were none. It
            includes the error of their measured W2.
        deciles: The same for each tenth of these pairs, by latent distance; empty for few pairs.
        pairs: Number of measured pairs.
        ground: The space in which W2 was measured.
        ratios: Ratios of W2 to its prediction on pairs that were not fitted, sorted, without the
            error of the measurement.
    """

    relation: Relation = Relation()
    low: Relation = Relation()
    high: Relation = Relation()
    error: float = float("nan")
    deciles: tuple[float, ...] = ()
    pairs: int = 0
    ground: Ground = "model"
    ratios: tuple[float, ...] = ()

    @classmethod
    def fit(cls, context: TrainingTable) -> Calibration:
        """Fit to the pairs of training sets whose W2 was measured.

        Raises:
            ValueError: If W2 was not measured, or does not grow with latent distance.
        """
        if not len(context.pairs):
            raise ValueError(context.pairs.reason)
        return cls.from_measured(context.pairs)

    @classmethod
    def from_pairs(cls, latent: ArrayLike, w2_squared: ArrayLike) -> Calibration:
        """Fit to latent distances `(P,)` and squared W2 `(P,)` without errors of measurement.

        Raises:
            ValueError: As `from_measured`.

        Example:
            >>> d = np.linspace(1, 2, 50)
            >>> Calibration.from_pairs(d, 9 * d**2)([1.5, 20.0]).round(6).tolist()
            [4.5, 60.0]
        """
        return cls.from_measured(MeasuredPairs.exact(latent, w2_squared))

    @classmethod
    def from_measured(
        cls,
        pairs: MeasuredPairs,
        ground: Ground = "model",
        settings: CalibrationSettings = CalibrationSettings(),
    ) -> Calibration:
        """Fit to measured pairs.

        Args:
            pairs: Squared latent distances and squared W2 with their errors. Single values may be
                negative; to leave those out would bias the fit.
            ground: The space in which W2 was measured.
            settings: Settings of the fit.

        Raises:
            ValueError: If there are fewer than ten pairs, or W2 does not grow with latent
                distance.
        """
        noise = np.sqrt(np.mean(pairs.latent_gap**2)) if len(pairs) else 0.0
        size = np.maximum(pairs.latent_squared, noise)
        if len(pairs) < settings.fewest_pairs or size.min() <= 0:
            raise ValueError(f"{len(pairs)} pairs of distinct sets are too few to calibrate on.")
        kept = np.arange(len(pairs)) % settings.validation == settings.validation - 1
        part = pairs.select(~kept)
        bounded = part.w2_squared, part.low, part.high
        maps = enclosed(part.latent_squared, bounded, size[~kept], settings.relation)
        relation = maps[0]
        validation = pairs.select(kept)
        errors = np.abs(np.sqrt(validation.w2_squared.clip(0) / relation.squared(size[kept])) - 1)
        deciles: tuple[float, ...] = ()
        if len(errors) >= 10 * settings.decile:
            order = np.array_split(errors[validation.latent_squared.argsort(kind="stable")], 10)
            deciles = tuple(float(np.median(part)) for part in order)
        ratios = deviation_ratios(validation, relation, size[kept])
        error = float(np.median(errors))
        return cls(*maps, error, deciles, len(pairs), ground, tuple(ratios.tolist()))

    def __call__(self, latent: ArrayLike) -> Array:
        """Return W2 at latent distances, of the same shape."""
        return self.relation(latent)

    def beyond(self, latent: ArrayLike) -> NDArray[np.bool_]:
        """Return whether latent distances are above the largest fitted one, of the same shape."""
        far: NDArray[np.bool_] = np.asarray(latent) > (self.relation.largest * (1 + 1e-9))
        return far if self.pairs else np.zeros_like(far)

    def warning(self, latent: ArrayLike) -> str:
        """Return a sentence on pairs beyond the largest fitted distance; empty if there are none.

        Args:
            latent: Latent distances of pairs, of any shape.
        """
        far = self.beyond(latent)
        return self._warning(int(far.sum()), far.size)

    def warning_of_matrix(self, w2: NDArray[np.floating[Any]], symmetric: bool) -> str:
        """Return the sentence of `warning` from calibrated distances, a matrix or a vector.

        Args:
            w2: What the calibration made of latent distances.
            symmetric: Whether the rows are the columns, so that a pair stands there twice.
        """
        if not self.pairs:
            return ""
        limit = float(self(self.relation.largest)) * (1 + 1e-9)
        parts = np.array_split(w2, max(1, w2.size >> 22))  # no second matrix is held
        far, size = sum(int((part > limit).sum()) for part in parts), w2.size
        if symmetric:
            far, size = far // 2, len(w2) * (len(w2) - 1) // 2
        return self._warning(far, size)

    def _warning(self, far: int, pairs: int) -> str:
        if not far:
            return ""
        return (
            f"{far:,} of {pairs:,} pairs are further apart than the calibration was "
            f"fitted: their latent distance is above {self.relation.largest:.3g}, that of W2 = "
            f"{float(self(self.relation.largest)):.3g}. W2 goes on in proportion to the latent "
            "distance there, an extrapolation whose error is unknown, and intervals have no upper "
            "end."
        )

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return JSON, in which an unknown error is null, and the ratios.

        The three maps have one set of knots.
        """
        config = {
            "knots": list(self.relation.knots),
            "values": list(self.relation.values),
            "low": list(self.low.values),
            "high": list(self.high.values),
            "error": None if math.isnan(self.error) else self.error,
            "deciles": list(self.deciles),
            "pairs": self.pairs,
            "ground": self.ground,
        }
        return config, {"ratios": torch.tensor(self.ratios, dtype=torch.float64)}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Calibration:
        """Rebuild a calibration.

        Raises:
            ValueError: If the map does not increase, or there is no such ground space.
        """
        check_ground(config["ground"])
        knots = config["knots"]
        return cls(
            checked(knots, config["values"]),
            checked(knots, config["low"]),
            checked(knots, config["high"]),
            math.nan if config["error"] is None else float(config["error"]),
            tuple(map(float, config["deciles"])),
            int(config["pairs"]),
            cast(Ground, config["ground"]),
            tuple(tensors["ratios"].tolist()),
        )
