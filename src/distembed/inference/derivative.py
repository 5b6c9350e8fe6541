r"""Derivatives of z by the weights of atoms, in memory that does not grow with the batch.

Sets of a batch do not see each other, so the gradient of a sum over sets is the gradient of each,
and a batch may be taken some sets at a time. Parameters ask for no gradients meanwhile: what the
graph keeps is what leads back to the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.inference.influence import in_double, is_smooth
from distembed.protocols import Encoder

__all__ = ["ATOMS", "has_derivative", "prepared", "runs", "tracked"]

ATOMS = 65_536
"""Atoms that are embedded at once."""


def prepared(encoder: Encoder, batch: SetBatch, double: bool) -> tuple[Encoder, SetBatch]:
    """Return what embeds, without gradients for parameters, and the batch in its type."""
    if double:
        return in_double(encoder), batch.to(dtype=torch.float64)
    if not isinstance(encoder, nn.Module):
        return encoder, batch
    frozen = copy.deepcopy(encoder).eval().requires_grad_(False)
    types = [p.dtype for p in frozen.parameters() if p.is_floating_point()]
    return frozen, batch.to(dtype=types[0]) if types else batch


def runs(sizes: Tensor) -> Iterator[range]:
    """Share out sets in runs of no more than 65,536 atoms, or of one larger set."""
    start, total = 0, 0
    for b, size in enumerate(sizes.tolist()):
        if b > start and total + size > ATOMS:
            yield range(start, b)
            start, total = b, 0
        total += size
    yield range(start, len(sizes))


def tracked(encoder: Encoder, batch: SetBatch) -> tuple[Tensor, Tensor]:
    """Embed with a graph that leads back to the weights: z `(B, L)` and the weights `(N,)`.

    Raises:
        ValueError: If there is no such graph.
    """
    z, w = _graph(encoder, batch)
    if not z.requires_grad or not is_smooth(encoder):
        raise ValueError(
            f"{type(encoder).__name__} has no derivative by the weights: a median moves in jumps, "
            "and a plain mean does not see weights at all. Use batch.mean, or a jackknife for the "
            "covariance; single atoms have no influence then."
        )
    return z, w


def has_derivative(encoder: Encoder, batch: SetBatch) -> bool:
    """Whether z has a derivative by the weights, by what the encoder says and by its graph."""
    return is_smooth(encoder) and _graph(encoder, batch)[0].requires_grad


def _graph(encoder: Encoder, batch: SetBatch) -> tuple[Tensor, Tensor]:
    w = batch.w.detach().clone().requires_grad_()
    with torch.enable_grad():
        return encoder(batch.replace(w=w)), w
