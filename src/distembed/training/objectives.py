r"""Supervise latent distances with a divergence between the sets of a batch.

The encoder loss of the Wasserstein Wormhole (Haviv et al., 2024, arXiv 2404.09411) compares, for
every pair of sets in a batch,

    d_ij = |z_i - z_j|^2 / L   with   S_ij,      loss_i = mean over j != i of (d_ij - S_ij)^2,

where S is the Sinkhorn divergence, a squared cost. It matches the *mean squared* difference, so
that |z_i - z_j| / sqrt(L) is in the units of W2. The loss of a set depends on the other sets of
its batch, which a generator's loss may not; so it is an objective beside the generator's loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences import DIVERGENCES
from distembed.protocols import Divergence, Step
from distembed.registry import NamedMember, build

__all__ = ["PairDistances"]


class _Grounded(Protocol):
    def to_ground(self, batch: SetBatch) -> SetBatch: ...


@dataclass(frozen=True)
class PairDistances:
    """Match squared latent differences to a divergence between the contexts of a batch.

    Args:
        divergence: A member of `DIVERGENCES`, by name or with options, or a `Divergence`.
        weight: Factor of this loss beside the generator's.
        power: Exponent of the divergence: 2 for those in units of W2, such as `exact`.
        mean: Whether the squared difference is divided by L, as published. Without it, |z_i - z_j|
            itself is in the units of W2, as in an encoder whose coordinates start in these units:
            the closed form of the default encoder does not grow by sqrt(L).
        atoms: Number of atoms of a context that are compared: its first ones, which are in random
            order.

    Raises:
        ValueError: If a number is not positive, or there is no such divergence.

    Example:
        >>> from distembed.protocols import Step
        >>> sets = SetBatch.from_list([[[0.0], [2.0]], [[3.0], [5.0]]])
        >>> class Ground(nn.Module):
        ...     def to_ground(self, batch):
        ...         return batch
        >>> step = Step(sets, sets, torch.arange(2), 0, torch.Generator())
        >>> PairDistances("exact", power=2)(Ground(), step, torch.tensor([[0.0], [2.0]])).tolist()
        [25.0, 25.0]
    """

    divergence: NamedMember | Divergence = "sinkhorn"
    weight: float = 1.0
    power: float = 1.0
    mean: bool = True
    atoms: int = 32

    def __post_init__(self) -> None:
        for name in ("weight", "power", "atoms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}; it has to be positive.")
        if isinstance(self.divergence, str | Mapping):
            divergence = build(DIVERGENCES, self.divergence, "divergence")
            object.__setattr__(self, "divergence", divergence)

    def __call__(self, model: nn.Module, step: Step, z: Tensor) -> Tensor:
        """Score each set by its mean over pairs, `(B,)`; a set without a partner has zero."""
        size = len(z)
        i, j = torch.triu_indices(size, size, 1, device=z.device)
        if not len(i):
            return 0 * z.sum(1)
        with torch.no_grad():
            sets = cast(_Grounded, model).to_ground(step.context)
            sets = sets.keep(sets.rank < self.atoms)
            divergence = cast(Divergence, self.divergence)
            target = divergence(sets.select(i), sets.select(j)).pow(self.power).to(z.dtype)
        squared = (z.index_select(0, i) - z.index_select(0, j)).square()  # as in SetBatch.expand
        latent = squared.mean(1) if self.mean else squared.sum(1)
        error = (latent - target).square()
        total = z.new_zeros(size).index_add(0, i, error).index_add(0, j, error)
        return self.weight * total / (size - 1)
