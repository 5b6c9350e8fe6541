r"""Kinds of atoms: what an atom is, how it is stored, and which operations are defined for it.

| kind      | atom                      | type in a batch | default transform      | ground    |
|-----------|---------------------------|-----------------|------------------------|-----------|
| `vectors` | D real numbers, any shape | float32         | standardise            | Euclidean |
| `counts`  | D whole numbers >= 0      | float32         | standardise            | Euclidean |
| `images`  | channels, height, width   | float32         | standardise, one scale | Euclidean |
| `tokens`  | T symbols of an alphabet  | int64           | none                   | edits     |

A collection carries the space of its atoms, and a model stores it. Everything that depends on the
kind asks the space. Two atoms have the distance `AtomSpace.distance`, and W2 between sets is exact
optimal transport under it; its name, `AtomSpace.ground`, stands beside a W2 where it is not
Euclidean. Which members of a family apply is stated by `Member.atoms` and asked with
`distembed.registry.applicable`. An operation that is not defined for a kind is refused by name,
and never computed on the numbers that encode the symbols.

Counts are standardised as they are, and draws are clipped at zero. A logarithm first is usual for
single cells, and is named by `transform=["log1p", "standardise"]`: it is not the default because
the samples of a generator are then mapped back by an exponential, which multiplies their errors
where counts are large (energy distance on ten negative binomials of mean 1 to 50: 0.23 and 0.22
without, 0.72 and 0.83 with it), and because distances are then those of logarithms. Counts with
masses, such as zeros, are left to the scale of the generator (`distembed.generators.score_base`),
which changes draws alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from distembed.data import SPACES
from distembed.data.tokens import Tokens
from distembed.divergences.exact import Distance
from distembed.protocols import AtomSpace
from distembed.registry import build

__all__ = [
    "Counts",
    "Images",
    "Tokens",
    "Vectors",
    "as_space",
    "describe",
    "ground_distance",
    "same_kind",
    "w2_name",
    "with_missing",
]

Missing = Literal["refuse", "mask"]


def as_space(space: str | Mapping[str, Any] | AtomSpace) -> AtomSpace:
    """Build a space from its name, or from a mapping of `name` and options.

    Raises:
        ValueError: If there is no such kind of atom, or it has no such option.

    Example:
        >>> as_space({"name": "tokens", "alphabet": "ACGT"}).facts
        {'atom_kind': 'tokens', 'vocab': 4, 'alphabet': 'ACGT', 'aligned': False}
    """
    if isinstance(space, str | Mapping):
        built: AtomSpace = build(SPACES, space, "kind of atom")
        return built
    return space


def with_missing(space: AtomSpace, missing: str) -> AtomSpace:
    """Return a space whose atoms may have missing values if `missing` is `mask`.

    Raises:
        ValueError: If `missing` is neither `refuse` nor `mask`, or the kind takes no masks.

    Example:
        >>> with_missing(Vectors(), "mask")
        Vectors(missing='mask')
    """
    _check_missing(missing)
    if missing == "refuse":
        return space
    if not isinstance(space, Vectors):
        raise ValueError(
            f"missing = 'mask' is for vectors and counts, and the atoms are {describe(space)}. "
            "Leave it out, and drop atoms that are not complete."
        )
    return replace(space, missing="mask")


def describe(space: AtomSpace) -> str:
    """Write a space as a phrase for messages.

    Example:
        >>> describe(Images(0, 255, whole=True)), describe(Vectors())
        ('images (low=0, high=255, whole=True)', 'vectors')
    """
    options = ", ".join(f"{k}={v!r}" for k, v in space.describe().items() if k != "name")
    return f"{space.name} ({options})" if options else space.name


def same_kind(a: AtomSpace, b: AtomSpace) -> bool:
    """Return whether a network for atoms of one space reads those of the other.

    Vectors, counts and images are arrays of numbers. Tokens need the same alphabet, and
    both to be aligned or neither.

    Example:
        >>> same_kind(Vectors(), Counts()), same_kind(Vectors(), Tokens("ACGT"))
        (True, False)
    """
    return a.dtype == b.dtype and _symbols(a) == _symbols(b)


def ground_distance(space: AtomSpace) -> Distance | None:
    """Return the distance of atoms as `distembed.divergences.exact.pairwise_w2` takes it.

    That is None for the Euclidean distance, which is computed faster in the coordinates.

    Example:
        >>> x = Tokens("ACGT").encode(["ACG", "CG"])
        >>> ground_distance(Tokens("ACGT"))(*torch.from_numpy(x)[:, None]).item()
        1.0
    """
    return None if space.ground == Vectors.ground else space.distance


def w2_name(space: AtomSpace) -> str:
    """Name W2 between sets, with the distance of atoms where it is not Euclidean.

    Example:
        >>> w2_name(Vectors()), w2_name(Tokens("ACGT"))
        ('W2', 'W2 under the Levenshtein distance')
    """
    return "W2" if space.ground == Vectors.ground else f"W2 under the {space.ground} distance"


@dataclass(frozen=True)
class Vectors:
    """Real numbers of any fixed shape, with the Euclidean distance.

    Attributes:
        missing: `refuse` to refuse NaN, or `mask` to take it for a value that was not measured.

    Raises:
        ValueError: If `missing` is neither.
    """

    missing: Missing = "refuse"

    name: ClassVar[str] = "vectors"
    dtype: ClassVar[torch.dtype] = torch.float32
    ground: ClassVar[str] = "Euclidean"

    def __post_init__(self) -> None:
        _check_missing(self.missing)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'missing=' + repr(self.missing) if self.masked else ''})"

    @property
    def masked(self) -> bool:
        """Whether atoms may have missing values."""
        return self.missing == "mask"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Arguments of networks: the kind, and whether they read masks."""
        return {"atom_kind": self.name, **({"masked": True} if self.masked else {})}

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Standardise: named features have units of their own, others share one scale."""
        return [{"name": "standardise", "over": "all" if features is None else "feature"}]

    def check(self, x: np.ndarray) -> None:
        """Accept any numbers."""

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Raise a ValueError: vectors and counts are numbers."""
        raise _text(self.name, sequences)

    def restore(self, x: np.ndarray) -> Any:
        """Return the atoms as they are."""
        return x

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances, `(N, *event), (M, *event) -> (N, M)`."""
        return _euclidean(a, b)

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        return {"name": self.name, **({"missing": self.missing} if self.masked else {})}


class Counts(Vectors):
    """Whole numbers of at least zero, with the Euclidean distance.

    Attributes:
        missing: `refuse` to refuse NaN, or `mask` to take it for a value that was not measured.

    Raises:
        ValueError: If `missing` is neither.
    """

    name: ClassVar[str] = "counts"

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Standardise, as vectors are; the inverse returns no negative numbers."""
        return [{**super().default_transform(features)[0], "low": 0.0}]

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where a value is negative or not whole."""
        invalid = x[(x < 0) | (x != np.round(x))]
        if invalid.size:
            raise ValueError(
                f"A count is {invalid.flat[0]:.4g}; counts are whole numbers of at least 0. Read "
                "the atoms as vectors: atoms='vectors'."
            )

    def restore(self, x: np.ndarray) -> Any:
        """Round to whole numbers of at least zero, int64."""
        return np.round(np.maximum(x, 0)).astype(np.int64)


@dataclass(frozen=True)
class Images:
    """Images of channels x height x width, with the Euclidean distance of pixels.

    Attributes:
        low: Smallest value of a pixel; None where it is not known.
        high: Largest value of a pixel.
        whole: Whether pixels are whole numbers, as in uint8 images.

    Example:
        >>> Images(0, 255, whole=True).restore(np.array([-3.0, 7.6, 300.0]))
        array([  0,   8, 255], dtype=uint8)
    """

    low: float | None = None
    high: float | None = None
    whole: bool = False

    name: ClassVar[str] = "images"
    dtype: ClassVar[torch.dtype] = torch.float32
    ground: ClassVar[str] = "Euclidean"
    masked: ClassVar[bool] = False
    facts: ClassVar[Mapping[str, Any]] = {"atom_kind": "images"}

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Standardise all pixels by one mean and one scale."""
        return [{"name": "standardise", "over": "all"}]

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where atoms are not channels x height x width, or out of range."""
        if x.ndim != 4:
            raise ValueError(
                f"Atoms have shape {x.shape[1:]}; an image is channels x height x width. For one "
                "channel use x[:, None]; for a last axis of channels np.moveaxis(x, -1, 1)."
            )
        low, high = x.min(), x.max()
        if self.low is not None and low < self.low or self.high is not None and high > self.high:
            raise ValueError(
                f"Pixels are {low:.4g} to {high:.4g}, outside of the range {self.low} to "
                f"{self.high} of {describe(self)}. State the range of the data: atoms={{'name': "
                "'images', 'low': ..., 'high': ...}."
            )

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Raise a ValueError: pixels are numbers."""
        raise _text(self.name, sequences)

    def restore(self, x: np.ndarray) -> Any:
        """Clip to the range, and round where pixels are whole: to uint8 from 0 to 255."""
        x = np.clip(x, self.low, self.high) if (self.low, self.high) != (None, None) else x
        if not self.whole:
            return x
        byte = self.low == 0 and self.high is not None and self.high <= 255
        return np.round(x).astype(np.uint8 if byte else np.int64)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances, `(N, *event), (M, *event) -> (N, M)`."""
        return _euclidean(a, b)

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        return {"name": self.name, **asdict(self)}


def _check_missing(missing: str) -> None:
    if missing not in ("refuse", "mask"):
        raise ValueError(
            f"missing = {missing!r}; it is 'refuse', for which NaN is an error, or 'mask', for "
            "which it is a value that was not measured."
        )


def _symbols(space: AtomSpace) -> tuple[str, bool] | None:
    return (space.alphabet, space.aligned) if isinstance(space, Tokens) else None


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of flattened atoms, `(N, *event), (M, *event) -> (N, M)`."""
    distances: Tensor = torch.cdist(a.flatten(1).double(), b.flatten(1).double())
    return distances


def _text(kind: str, sequences: Sequence[str]) -> ValueError:
    """Return the error for strings where numbers are expected."""
    first = next(iter(sequences), "")
    return ValueError(
        f"The atoms are strings, such as {str(first)[:20]!r}, and {kind} are numbers. State the "
        "alphabet of the sequences: atoms={'name': 'tokens', 'alphabet': 'ACGT'}."
    )
