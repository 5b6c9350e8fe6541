r"""Measure the debiased squared W2 of pairs of sets.

A pair of sets has

    y = (W^2(a_i, a_j) + W^2(b_i, b_j)) / 2 - (W^2(a_i, b_i) + W^2(a_j, b_j)) / 2

between random halves a and b of their atoms: zero on average for two samples of one distribution.
Each W^2 is exact optimal transport in the space that the encoder reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.divergences.exact import Distance, pairwise_w2
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["HalvedSets", "HalvingSettings", "TooFewPairsError", "W2Pairs"]


class TooFewPairsError(ValueError):
    """The sets have too few pairs whose W2 teaches anything; the message says why."""


@dataclass(frozen=True)
class HalvingSettings:
    """Which sets are paired, and on how many atoms.

    Attributes:
        fewest_sets: Fewer sets of enough atoms are refused.
        fewest_atoms: Smaller sets are left out.
        sets: Number of sets that are paired, at most.
        numbers: Coordinates of the measured atoms together, at most.
        measured: Atoms of each half of a set between which W2 is measured, at most.
    """

    fewest_sets: int = 8
    fewest_atoms: int = 16
    sets: int = 1024
    numbers: int = 2**25
    measured: int = 64


@dataclass(frozen=True)
class W2Pairs:
    """Debiased squared W2 of pairs of sets of a collection.

    Attributes:
        rows: Positions of the two sets in the collection, `(P, 2)`.
        w2_squared: Squared W2 of the pairs, `(P,)`; single estimates may be negative.
    """

    rows: NDArray[np.int64]
    w2_squared: NDArray[np.float64]


class HalvedSets:
    """Halves of the atoms of sets, and the W2 between them.

    Args:
        to_ground: Brings atoms to the space in which W2 lives.
        collection: The sets.
        settings: Sizes.
        distance: The distance of two atoms in that space; Euclidean if left out.
    """

    def __init__(
        self,
        to_ground: Callable[[SetBatch], SetBatch],
        collection: Collection,
        settings: HalvingSettings = HalvingSettings(),
        distance: Distance | None = None,
    ) -> None:
        self.to_ground, self.collection, self.settings = to_ground, collection, settings
        self.distance = distance

    @torch.no_grad()
    def measure(
        self, candidates: NDArray[np.int64], count: int, rng: torch.Generator, role: str = "given"
    ) -> W2Pairs:
        """Measure the debiased squared W2 of random pairs of some sets.

        Args:
            candidates: Positions of the sets.
            count: Number of pairs.
            rng: Source of the pairs and the halves.
            role: What the sets are for, in the message of an error.

        Raises:
            TooFewPairsError: If too few are large enough.
        """
        settings = self.settings
        large = candidates[self.collection.sizes[candidates] >= settings.fewest_atoms]
        if len(large) < settings.fewest_sets:
            atoms = f"{settings.fewest_atoms} atoms or more"
            needed = f"to learn W2 takes {settings.fewest_sets} or more"
            if not len(candidates):
                raise TooFewPairsError(f"There are no {role} sets; {needed} of {atoms}.")
            raise TooFewPairsError(
                f"{len(large)} of {len(candidates)} {role} sets have {atoms}; {needed} of them."
            )
        fit = settings.numbers // (2 * settings.measured * self.width(large))
        limit = max(settings.fewest_sets, min(settings.sets, fit, 2 * count))
        rows = large[torch.randperm(len(large), generator=rng)[:limit].numpy()]
        sets, own = len(rows), torch.arange(len(rows))
        halves = self.draw(rows.tolist(), settings.measured, rng)
        first = torch.arange(count) % sets
        pairs = torch.stack(
            [first, (first + torch.randint(1, sets, (count,), generator=rng)) % sets], 1
        )
        between, within = (
            pairwise_w2(halves, rows, distance=self.distance).double().square()
            for rows in (torch.cat([pairs, pairs + sets]), torch.stack([own, own + sets], 1))
        )
        w2_squared = between.view(2, -1).mean(0) - within[pairs].mean(1)
        return W2Pairs(rows[pairs.numpy()], w2_squared.cpu().numpy())

    def width(self, sets: NDArray[np.int64]) -> int:
        """Return the number of coordinates of an atom in the ground space."""
        atom = self.collection.batch([int(sets[0])], 1, stream(0, "width"))
        return self.to_ground(atom).x.numel()

    def draw(self, rows: list[int], atoms: int, rng: torch.Generator) -> SetBatch:
        """Draw two disjoint parts of some sets in the ground space: first those of all sets."""
        sets = self.collection.batch(rows, 2 * atoms, rng)
        return self.to_ground(SetBatch.concat(list(sets.split(atoms, atoms, rng))))
