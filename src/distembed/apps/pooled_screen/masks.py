r"""Intensities within a mask of the nucleus and in the ring around it.

The nucleus is the part of the smoothed DNA channel above the threshold of Otsu (1979) that is
nearest to the centre of the crop. The ring is what lies within `width` pixels of it, but for the
pixels next to it. Nothing depends on the size of a box or on padding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["nuclear_ratio", "otsu"]

Array = NDArray[np.float64]


def otsu(x: Array, bins: int = 64) -> float:
    """Return the threshold of the largest variance between the two sides.

    Example:
        >>> round(otsu(np.array([0.0, 0.0, 1.0, 9.0, 10.0])), 0)
        1.0
    """
    count, edge = np.histogram(x, bins)
    middle = (edge[:-1] + edge[1:]) / 2
    below, above = count.cumsum(), count[::-1].cumsum()[::-1]
    total = (count * middle).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        low = total[:-1] / below[:-1]
        high = (total[-1] - total[:-1]) / above[1:]
        variance = np.nan_to_num(below[:-1] * above[1:] * np.square(low - high))
    return float(edge[1:][int(np.argmax(variance))])


def nuclear_ratio(images: NDArray[np.floating], width: int = 4) -> Array:
    """Return the mean of channel 1 in the nucleus over that in its ring, of each image, `(n,)`.

    NaN where there is no nucleus or no ring.

    Args:
        images: `(n, 2, H, W)`, DNA and the channel that is measured, in units of the camera.
        width: Width of the ring.
    """
    values = np.full(len(images), np.nan)
    for i, (dna, signal) in enumerate(np.asarray(images, np.float64)):
        smooth = ndimage.gaussian_filter(dna, 1.0)
        label, count = ndimage.label(smooth > otsu(smooth))
        if not count:
            continue
        distance = ndimage.distance_transform_edt(label == 0, return_indices=True)
        middle = tuple(side // 2 for side in label.shape)
        nearest = tuple(int(index[middle]) for index in distance[1])
        nucleus = label == label[nearest]
        near = ndimage.distance_transform_edt(~nucleus)
        ring = (near > 1) & (near <= width) & (label == 0)
        if nucleus.sum() < 4 or ring.sum() < 4:
            continue
        # a grey level keeps the ratio of two dark regions from being one of noise
        values[i] = (signal[nucleus].mean() + 1) / (max(signal[ring].mean(), 0) + 1)
    return values
