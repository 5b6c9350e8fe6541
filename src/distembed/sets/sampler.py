r"""Sample the batch of a training step, as a pure function of (seed, k).

Step k takes the next `batch` sets of an endless sequence of random permutations of all sets, so
that every set is read equally often. The context size is drawn log-uniformly from its range, one
a step, so that small and large contexts are equally frequent on a logarithmic scale.

A batch can be read in P parts of consecutive sets, each with its own stream (seed, k, part, P), so
that a process reads the parts that it computes and no others. The sets of a step and its context
size do not depend on P; the atoms do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["Sampler", "refuse_single_atoms"]


class Sampler:
    """Sampler of disjoint context and target parts of sets, for every step.

    Args:
        collection: Where sets are read; each of at least two atoms.
        batch: Sets a step. If it exceeds the number of sets, sets repeat with other atoms.
        context: Least and greatest number of atoms that are encoded.
        target: Atoms of each set that the generator is scored on.
        seed: Together with k, determines every draw.
        indices: The training sets, such as those that are not held out; all where left out.

    Raises:
        ValueError: If a number is not positive, the range or the choice of sets is empty, or a
            set has a single atom.

    Example:
        >>> from distembed.data.synthetic.gaussians import Gaussians
        >>> sets = Gaussians([[0.0], [9.0]], [[[1.0]], [[1.0]]])
        >>> context, target, index = Sampler(sets, batch=2, context=(4, 8), target=3).step(0)
        >>> target.sizes.tolist(), sorted(index.tolist())
        ([3, 3], [0, 1])
    """

    def __init__(
        self,
        collection: Collection,
        *,
        batch: int,
        context: tuple[int, int],
        target: int,
        seed: int = 0,
        indices: Sequence[int] | None = None,
    ) -> None:
        low, high = context
        if min(batch, low, target) < 1 or low > high:
            raise ValueError(
                f"batch = {batch}, context = {context} and target = {target} must be at least 1, "
                "and the context range must not be empty."
            )
        rows = np.arange(len(collection)) if indices is None else np.asarray(indices, np.int64)
        if not len(rows):
            raise ValueError("There is no set to read; indices is empty.")
        refuse_single_atoms(collection, rows)
        self.collection = collection
        self.sets = batch
        self.context = context
        self.target = target
        self.seed = seed
        self.indices = torch.from_numpy(rows)

    def step(self, k: int, part: int = 0, parts: int = 1) -> tuple[SetBatch, SetBatch, Tensor]:
        """Read a part of step k: the contexts, the targets, and which sets they are, `(B,)` int64.

        Args:
            k: The step.
            part: Number of the part, below `parts`.
            parts: Number of parts of the batch, at most one a set.
        """
        rng = stream(self.seed, "sampler", k)
        index = self._index(k).tensor_split(parts)[part]
        m = self._context(rng)
        if parts > 1:
            rng = stream(self.seed, "sampler", k, part, parts)
        batch = self.collection.batch(index.tolist(), m + self.target, rng)
        context, target = batch.split(m, self.target, rng)
        return context, target, index

    def _index(self, k: int) -> Tensor:
        """Return the k-th piece of the endless sequence of permutations."""
        s = len(self.indices)
        position = torch.arange(k * self.sets, (k + 1) * self.sets)
        first, last = int(position[0]) // s, int(position[-1]) // s
        order = torch.cat([_permutation(s, self.seed, e) for e in range(first, last + 1)])
        return self.indices[order[position - first * s]]

    def _context(self, rng: torch.Generator) -> int:
        low, high = self.context
        u = float(torch.rand((), generator=rng, dtype=torch.float64))
        size = math.exp(math.log(low) + u * (math.log(high + 1) - math.log(low)))
        return min(int(size), high)


def refuse_single_atoms(collection: Collection, indices: np.ndarray | None = None) -> None:
    """Refuse sets that are too small to be split into context and target.

    Args:
        collection: The sets.
        indices: Numbers of the sets to check; all where left out.

    Raises:
        ValueError: If one of them has a single atom.
    """
    index = np.arange(len(collection)) if indices is None else indices
    single = index[collection.sizes[index] < 2]
    if len(single):
        raise ValueError(
            f"{len(single)} {'set has' if len(single) == 1 else 'sets have'} a single atom, the "
            "first being "
            f"'{collection.ids[single[0]]}'; context and target are disjoint, so a set needs two. "
            "Set min_size=2 where the sets are made."
        )


@lru_cache(maxsize=8)
def _permutation(s: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(s, generator=stream(seed, "epoch", epoch))
