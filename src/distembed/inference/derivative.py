r"""Differentiate z by the weights of atoms, in memory that does not grow with the batch.

The sets of a batch are independent, so the gradient of a sum over sets has the gradient of each
set, and a batch can be processed in runs of sets. Parameters require no gradients: the graph holds
only the path to the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.inference.influence import double_copy
from distembed.protocols import Encoder, encoder_traits

__all__ = ["ATOMS", "frozen_copy", "has_derivative", "set_runs", "weight_graph"]

ATOMS = 65_536
"""Default number of atoms that are embedded at once."""


def frozen_copy(encoder: Encoder, batch: SetBatch, double: bool) -> tuple[Encoder, SetBatch]:
    """Copy an encoder without gradients for its parameters, and cast the batch to its type.

    Args:
        encoder: A module, or any callable, which is not copied.
        batch: B sets.
        double: Whether both are in float64.
    """
    if double:
        return double_copy(encoder), batch.to(dtype=torch.float64)
    if not isinstance(encoder, nn.Module):
        return encoder, batch
    replica = copy.deepcopy(encoder).eval().requires_grad_(False)
    types = [p.dtype for p in replica.parameters() if p.is_floating_point()]
    return replica, batch.to(dtype=types[0]) if types else batch


def set_runs(sizes: Tensor, atoms: int = ATOMS) -> Iterator[range]:
    """Divide sets into runs of at most `atoms` atoms; a larger set is a run of its own.

    Example:
        >>> list(set_runs(torch.tensor([2, 3, 9, 1]), atoms=5))
        [range(0, 2), range(2, 3), range(3, 4)]
    """
    start, total = 0, 0
    for b, size in enumerate(sizes.tolist()):
        if b > start and total + size > atoms:
            yield range(start, b)
            start, total = b, 0
        total += size
    yield range(start, len(sizes))


def weight_graph(encoder: Encoder, batch: SetBatch) -> tuple[Tensor, Tensor]:
    """Embed with a graph from the weights: z `(B, L)` and the weights `(N,)`.

    Raises:
        ValueError: If z has no derivative by the weights.
    """
    z, w = _graph(encoder, batch)
    if not z.requires_grad or not encoder_traits(encoder).smooth:
        raise ValueError(
            f"{type(encoder).__name__} has no derivative by the weights: a median moves in jumps, "
            "and a plain mean does not use weights at all. Use batch.mean, or a jackknife for the "
            "covariance; single atoms have no influence then."
        )
    return z, w


def has_derivative(encoder: Encoder, batch: SetBatch) -> bool:
    """Whether z has a derivative by the weights, by the traits of the encoder and by its graph."""
    return encoder_traits(encoder).smooth and _graph(encoder, batch)[0].requires_grad


def _graph(encoder: Encoder, batch: SetBatch) -> tuple[Tensor, Tensor]:
    w = batch.w.detach().clone().requires_grad_()
    with torch.enable_grad():
        return encoder(batch.replace(w=w)), w
