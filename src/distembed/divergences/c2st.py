r"""Classifier two-sample test by nearest neighbours.

    accuracy = (1 / 2n) sum_i 1[label of i = label of its nearest other point],

over n points of each of two samples. Samples of one distribution score 1/2 (a little below, as a
point is not its own neighbour), and samples with disjoint supports score 1. Copies of the other
sample score far below 1/2: the nearest point of a copy is its original.

| Revisiting classifier two-sample tests (Lopez-Paz, Oquab, 2017), section 3
"""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, pieces

__all__ = ["neighbour_accuracy"]


def neighbour_accuracy(a: SetBatch, b: SetBatch) -> Tensor:
    """Return the leave-one-out accuracy of the nearest neighbour, set by set, `(B,)`.

    Raises:
        ValueError: If two sets that are compared differ in size or weights: a classifier would win
            by naming the larger one.

    Example:
        >>> near = SetBatch.from_list([[[0.0], [0.1], [0.2]]])
        >>> far = SetBatch.from_list([[[9.0], [9.1], [9.2]]])
        >>> neighbour_accuracy(near, far).item()
        1.0
    """
    aligned(a, b)
    if not a.sizes.equal(b.sizes) or a.equal is None or b.equal is None:
        raise ValueError(
            f"Sets of {_range(a)} and {_range(b)} atoms are compared, of unequal sizes or "
            "weights; subsample both to equal numbers: batch.subsample(m, rng)."
        )
    accuracies = []
    for x, y in zip(pieces(a, a.flat.double()), pieces(b, b.flat.double()), strict=True):
        points = torch.cat([x, y])
        # plain differences: the product form of cdist rounds copies away from each other
        d = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = d.fill_diagonal_(torch.inf).argmin(1)
        label = torch.arange(len(points)) < len(x)
        accuracies.append((label == label[nearest]).double().mean())
    return torch.stack(accuracies)


def _range(batch: SetBatch) -> str:
    """Write the sizes of a batch: one number, or the smallest and the largest."""
    low, high = int(batch.sizes.min()), int(batch.sizes.max())
    return f"{low}" if low == high else f"{low} to {high}"
