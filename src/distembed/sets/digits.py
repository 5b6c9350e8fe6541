"""The 1,797 scans of 8 x 8 pixels that scikit-learn ships, as a set for every digit.

| Optical recognition of handwritten digits (Alpaydin and Kaynak, 1998)
"""

from __future__ import annotations

import numpy as np
import torch

from distembed.data.observations import Observations
from distembed.registry import need
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["digit_pools"]


def digit_pools(test: float = 0.4, seed: int = 0) -> tuple[Sets, Sets]:
    """Return the train and the test pool: ten sets each, the images of a digit.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    scans = need("sklearn.datasets", "sklearn").load_digits()
    images = scans.images[:, None].astype(np.float32)
    labels = scans.target.astype(str)
    order = torch.randperm(len(labels), generator=stream(seed, "digits")).numpy()
    ranks = np.empty(len(labels), dtype=np.int64)
    for digit in np.unique(labels):
        own = order[labels[order] == digit]
        ranks[own] = np.arange(len(own)) >= round(len(own) * (1 - test))

    def pool(side: int) -> Sets:
        chosen = ranks == side
        pooled = by_label(Observations(images[chosen], {"digit": labels[chosen]}), "digit")
        return pooled.select(np.argsort(pooled.ids))

    return pool(0), pool(1)
