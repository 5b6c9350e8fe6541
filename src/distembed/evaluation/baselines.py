"""Baseline distances between sets, from the same atoms that a model embeds.

Most baselines map each set to a vector and take Euclidean distances, as the model does; Bures and
exact optimal transport (OT) compare pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.bures import procrustes_w2
from distembed.divergences.exact import Distance, pairwise_w2
from distembed.encoders.kernel import KernelMean
from distembed.encoders.moments import Moments
from distembed.evaluation import BASELINES
from distembed.nn.per_set import moments_per_set
from distembed.nn.sqrtm import sqrtm
from distembed.nn.subspace import leading_subspace
from distembed.registry import NamedMember, applicable, build, split_member
from distembed.rng import stream

__all__ = [
    "Baseline",
    "BuresDistance",
    "ExactDistance",
    "Kernel",
    "Mean",
    "MeanCov",
    "Quantiles",
    "ShapeDistance",
    "affordable_atoms",
    "build_baselines",
    "double_kernel",
    "half_kernel",
    "pair_distances",
]


class Baseline(Protocol):
    """A distance between sets.

    Attributes:
        costly: Whether each pair is a problem of optimal transport, so that `evaluate` limits the
            number of pairs.
    """

    costly: ClassVar[bool]

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Return the distances of pairs `(P, 2)` of the sets of a batch, `(P,)`."""


def build_baselines(
    members: Sequence[NamedMember], atoms: str, distance: Distance | None = None
) -> Mapping[str, Baseline]:
    """Build baselines from members, under the labels of their rows.

    Args:
        members: Names of `BASELINES`, or mappings of a name and options.
        atoms: The kind of atoms that they are used on.
        distance: The distance of two atoms, where it is not Euclidean.

    Raises:
        ValueError: If there is no such baseline, or it is not defined for the kind of atoms.
    """
    baselines: dict[str, Baseline] = {}
    for member in members:
        name, options = split_member(member, "baseline", BASELINES)
        built: Baseline = build(BASELINES, member, "baseline", facts={"distance": distance})
        if name not in applicable(BASELINES, atoms):
            names = ", ".join(applicable(BASELINES, atoms)) or "none"
            raise ValueError(
                f"The baseline {name} is not defined for {atoms}: it compares atoms as vectors of "
                f"numbers. Baselines of {atoms}: {names}."
            )
        label = ", ".join([name, *(f"{k}={v}" for k, v in options.items())])
        baselines[label] = built
    return baselines


def pair_distances(z: Tensor, pairs: Tensor) -> Tensor:
    """Return Euclidean distances of pairs `(P, 2)` of embeddings `(S, L)`, in float64."""
    gap = z.double()[pairs[:, 0]] - z.double()[pairs[:, 1]]
    distances: Tensor = torch.linalg.vector_norm(gap, dim=1)
    return distances


def affordable_atoms(problems: int, largest: int, seconds: float = 40) -> int:
    """Return the size at which so many exact OT problems take about so many seconds of one core.

    A fixed rule, so that results do not depend on the machine: 1.6 ms at 100 atoms, growing with
    the power 2.2 (measured from one to 512 atoms); at least 50, and at most the largest.
    """
    size = 100 * (seconds / (0.0016 * max(problems, 1))) ** (1 / 2.2)
    return max(50, min(largest, int(size)))


@dataclass(frozen=True)
class Mean:
    """The distance of the means."""

    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare means."""
        return pair_distances(batch.mean(batch.flat.double()), pairs)


@dataclass(frozen=True)
class MeanCov:
    """The distance of (mean, root covariance), an upper bound of Bures.

    Args:
        axes: Covariances are taken on at most so many principal axes of all atoms.
    """

    axes: int = 64
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare means and roots."""
        mean, root = _mean_and_root(batch, self.axes)
        return pair_distances(torch.cat([mean, root.flatten(1)], 1), pairs)


@dataclass(frozen=True)
class BuresDistance:
    """W2 of Gaussians with the sample moments.

    Args:
        axes: Covariances are taken on at most so many principal axes of all atoms; the part of the
            means is in full dimension.
    """

    axes: int = 64
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare pair by pair."""
        mean, root = _mean_and_root(batch, self.axes)
        zero = mean.new_zeros(root.shape[-1])
        at_once = max(1, 2**22 // root[0].numel())
        shape = [
            procrustes_w2(zero, root[part[:, 0]], zero, root[part[:, 1]])
            for part in pairs.split(at_once)
        ]
        return torch.hypot(pair_distances(mean, pairs), torch.cat(shape))


@dataclass(frozen=True)
class Quantiles:
    """The distance of quantile functions along fixed directions, about W2 in size.

    Args:
        projections: Number of directions.
        bins: Levels of each quantile function.
    """

    projections: int = 64
    bins: int = 16
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare the vectors of quantiles."""
        encoder = Moments(
            batch.event_shape, 1, "quantiles", projections=self.projections, bins=self.bins
        )
        return pair_distances(_in_parts(encoder.vector, batch), pairs)


@dataclass(frozen=True)
class Kernel:
    """The distance of kernel means, with a Gaussian kernel and random Fourier features.

    Args:
        scale: Bandwidth in units of the median distance between atoms of the sets.
        features: Number of features.
    """

    scale: float = 1.0
    features: int = 1024
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare kernel means."""
        encoder = KernelMean(batch.event_shape, self.features, (self.scale,))
        encoder.prepare(batch)
        return pair_distances(_in_parts(encoder, batch), pairs)


def half_kernel() -> Kernel:
    """Return the kernel mean at half the median distance."""
    return Kernel(0.5)


def double_kernel() -> Kernel:
    """Return the kernel mean at twice the median distance."""
    return Kernel(2.0)


@dataclass(frozen=True)
class ExactDistance:
    """Exact OT on the same atoms, or on as many of them as the number of pairs allows.

    Args:
        atoms: At most so many atoms of each set.
        distance: The distance of two atoms; Euclidean if left out.
    """

    atoms: int = 512
    distance: Distance | None = None
    costly: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare pair by pair."""
        atoms = affordable_atoms(len(pairs), self.atoms)
        some = batch.subsample(atoms, stream(0, "exact distance"))
        return pairwise_w2(some, pairs, distance=self.distance)


@dataclass(frozen=True)
class ShapeDistance:
    """Exact OT after each feature of each set is centred and scaled by the set's own moments."""

    atoms: int = 512
    costly: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare pair by pair."""
        x = batch.flat.double()
        x = x - batch.expand(batch.mean(x))
        deviation = batch.expand(batch.mean(x.square()).sqrt())
        # a feature that does not vary in a set stays at zero
        standardised = batch.replace(x=x / torch.where(deviation > 0, deviation, 1))
        return ExactDistance(self.atoms)(standardised, pairs)


def _mean_and_root(batch: SetBatch, axes: int) -> tuple[Tensor, Tensor]:
    """Means `(S, D)` and root covariances `(S, A, A)` on A principal axes, float64."""
    x = batch.flat.double()
    mean = batch.mean(x)
    if x.shape[1] > axes:
        centred = x - mean.mean(0)
        root = centred * batch.w[:, None].double().sqrt()
        x = centred @ leading_subspace(root, min(axes, *root.shape))[0]
    return mean, sqrtm(moments_per_set(batch, x)[1])


def _in_parts(function: Callable[[SetBatch], Tensor], batch: SetBatch) -> Tensor:
    """Apply a function of sets to parts of a batch, so that memory stays bounded."""
    step = max(1, 2**16 * len(batch) // max(1, len(batch.x)))
    parts = [range(len(batch))[i : i + step] for i in range(0, len(batch), step)]
    with torch.no_grad():
        return torch.cat([function(batch.select(list(part))) for part in parts])
