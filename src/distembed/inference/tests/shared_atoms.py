r"""Permutations of two sets that share atoms.

An atom that is in both sets is one draw. Let the different atoms of both be $x_1, ..., x_U$, with
weights $w_{au}$ and $w_{bu}$, zero where an atom is not in a set. If all atoms come from one
distribution and weights do not depend on them, any assignment of atoms to the U places is as
likely as the observed one: places (in a, in b, or in both) stay, and atoms are permuted.

The variance of $z_a - z_b$ is a share of the one that sets of different atoms would have,

    s = sum_u (w_au - w_bu)^2 / sum_i w_i^2,

with the sum over the atoms of both as they are listed: one that a set reads twice counts twice,
and s may then be above one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from distembed.batch import SetBatch

__all__ = ["SharedAtoms"]


@dataclass(frozen=True)
class SharedAtoms:
    """Two sets as weights of the different atoms of both.

    Attributes:
        x: The atoms, `(U, *event)`.
        w: Their weight in each set, `(2, U)`.
        listed: Sum of the squared weights of the atoms as they are listed.

    Example:
        >>> pair = SetBatch.from_list([[[0.0], [1.0]], [[1.0], [2.0]]])
        >>> SharedAtoms.of([[0, 1], [1, 2]], pair).left
        0.5
    """

    x: Tensor
    w: Tensor
    listed: float

    @classmethod
    def of(cls, rows: Sequence[ArrayLike], sets: SetBatch) -> SharedAtoms:
        """Make it of two sets, and of the numbers of their atoms in a table.

        Raises:
            ValueError: If there is not one number an atom, or atoms of one number differ.
        """
        numbers, sizes = [np.asarray(part) for part in rows], sets.sizes.tolist()
        if [part.shape for part in numbers] != [(m,) for m in sizes]:
            raise ValueError(
                f"rows have the shapes {' and '.join(str(p.shape) for p in numbers)} for sets of "
                f"{' and '.join(map(str, sizes))} atoms; give the number of each atom in its "
                "table."
            )
        _, first, place = np.unique(
            np.concatenate(numbers), return_index=True, return_inverse=True
        )
        at = torch.from_numpy(place)
        x = sets.x[torch.from_numpy(first)]
        if not torch.equal(x[at], sets.x):
            raise ValueError(
                "Atoms of one number in `rows` differ, and a number is that of one atom of one "
                "table. Give rows of the table that both sets are of."
            )
        w = torch.zeros(2, len(first), dtype=sets.w.dtype)
        w.index_put_((sets.owner, at), sets.w, accumulate=True)
        present = (w > 0).any(0)  # an atom of no weight in either set has no place to move to
        return cls(x[present], w[:, present], float(sets.w.square().sum()))

    @property
    def left(self) -> float:
        """Share of the variance of the difference that shared atoms leave."""
        return float((self.w[0] - self.w[1]).square().sum()) / self.listed

    def permuted(
        self, embed: Callable[[SetBatch], Tensor], permutations: int, rng: torch.Generator,
        atoms: int,
    ) -> Tensor:  # fmt: skip
        """Return the embeddings of both sets where atoms are permuted, `(2, permutations, L)`.

        Args:
            embed: Returns the embeddings of a batch, `(B, L)`.
            permutations: Their number.
            rng: Source of the permutations.
            atoms: Number of atoms that are embedded at once.
        """
        places = [part.nonzero().flatten() for part in self.w]
        size, parts = max(1, atoms // len(self.x)), []
        for start in range(0, permutations, size):
            count = min(size, permutations - start)
            noise = torch.rand(count, len(self.x), generator=rng, dtype=torch.float64)
            x = self.x[noise.argsort(1)]
            z = [
                embed(SetBatch.from_dense(x[:, at], part[at].expand(count, -1)))
                for at, part in zip(places, self.w, strict=True)
            ]
            parts.append(torch.stack(z))
        return torch.cat(parts, 1)
