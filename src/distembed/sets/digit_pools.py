"""The 1,797 scans of 8 x 8 pixels that scikit-learn ships, as a set for every digit.

| Optical recognition of handwritten digits (Alpaydin and Kaynak, 1998)
"""

from __future__ import annotations

import numpy as np
import torch

from distembed.data.observations import Observations
from distembed.data.spaces import Images
from distembed.registry import need
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["digit_pools"]


def digit_pools(test: float = 0.4, seed: int = 0) -> tuple[Sets, Sets]:
    """Divide the images of each digit into a training and a test set.

    Args:
        test: Share of the images of each digit in the test pool.
        seed: Of the division.

    Returns:
        The training and the test pool: ten sets each, of images `(1, 8, 8)` with whole values
        from 0 to 16.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    scans = need("sklearn.datasets", "sklearn").load_digits()
    images = scans.images[:, None].astype(np.float32)
    labels = scans.target.astype(str)
    order = torch.randperm(len(labels), generator=stream(seed, "digits")).numpy()
    in_test = np.empty(len(labels), dtype=bool)
    for digit in np.unique(labels):
        rows = order[labels[order] == digit]
        in_test[rows] = np.arange(len(rows)) >= round(len(rows) * (1 - test))

    def pool(mask: np.ndarray) -> Sets:
        observations = Observations(images[mask], {"digit": labels[mask]})
        pooled = by_label(observations, "digit", atoms=Images(0, 16, whole=True))
        return pooled.select(np.argsort(pooled.ids))

    return pool(~in_test), pool(in_test)
