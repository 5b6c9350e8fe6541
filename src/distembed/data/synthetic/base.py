"""Collections of known distributions: everything that follows from a method to draw atoms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.data.spaces import Vectors
from distembed.protocols import AtomSpace
from distembed.rng import stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Known", "parameter", "positive", "simplex"]


class Known(Protocol):
    """Mixin of a `Collection` of known distributions, for classes with a method `draw`.

    Attributes:
        atoms: The kind of atoms.
        size: Atoms of a set where no number is given.
        seed: Of the atoms that belong to a set.
    """

    atoms: AtomSpace = Vectors()
    size: int
    seed: int

    def __len__(self) -> int: ...

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom."""

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each of the sets `index (B,)`, `(B, m, *event)` float32."""

    @property
    def ids(self) -> np.ndarray:
        """Name of each set: its number."""
        return np.arange(len(self)).astype(str)

    @property
    def meta(self) -> dict[str, np.ndarray]:
        """No metadata: the parameters are attributes."""
        return {}

    @property
    def sizes(self) -> np.ndarray:
        """Nominal number of atoms of each set, `(S,)`."""
        return np.full(len(self), self.size)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the atoms, that of their kind."""
        return self.atoms.dtype

    @property
    def features(self) -> None:
        """No names of features."""
        return None

    @property
    def weighted(self) -> bool:
        """Whether weights differ: they are equal."""
        return False

    def batch(
        self, indices: Sequence[int], m: int | None = None, rng: torch.Generator | None = None
    ) -> SetBatch:
        """Draw `m` (else `size`) fresh atoms of each set, or without `rng` read its own atoms.

        Raises:
            ValueError: If `m` is given without `rng`, or is not positive.
        """
        index = torch.as_tensor(indices, dtype=torch.int64)
        if rng is not None:
            return SetBatch.from_dense(
                self.draw(index, self.size if m is None else positive(m), rng)
            )
        if m is not None:
            raise ValueError(f"m = {m} atoms are to be drawn, but there is no rng; pass one.")
        atoms = [self.draw(i[None], self.size, stream(self.seed, "atoms", int(i))) for i in index]
        return SetBatch.from_dense(torch.cat(atoms))

    def chunks(self, index: int, rows: int, part: int = 0, parts: int = 1) -> Iterator[SetBatch]:
        """Read the set's own atoms in pieces of at most `rows`; weights stay 1 / size."""
        whole = self.batch([index])
        for low in range(part * rows, self.size, parts * positive(rows)):
            x, w = whole.x[low : low + rows], whole.w[low : low + rows]
            yield SetBatch(x, w, torch.tensor([0, len(x)]))


def positive(value: int) -> int:
    """Return a count, or raise a ValueError if it is not positive."""
    if value < 1:
        raise ValueError(f"A count is {value}; it is at least 1.")
    return value


def parameter(name: str, value: ArrayLike, ndim: int) -> Tensor:
    """Return a finite float64 tensor of `ndim` axes, or raise a ValueError."""
    tensor = torch.as_tensor(value, dtype=torch.float64)
    if tensor.ndim != ndim or not tensor.numel():
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; it needs {ndim} axes.")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds NaN or infinity.")
    return tensor


def simplex(name: str, value: ArrayLike) -> Tensor:
    """Return rows of probabilities from rows of weights, or raise a ValueError."""
    p = parameter(name, value, 2)
    if bool((p < 0).any()) or bool((p.sum(1) <= 0).any()):
        raise ValueError(f"{name} needs rows of numbers >= 0 that do not sum to zero.")
    return p / p.sum(1, keepdim=True)
