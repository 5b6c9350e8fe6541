"""Recognise the kind of atoms by their shape, type and values, where it is not stated.

| kind      | rule                                                              |
|-----------|-------------------------------------------------------------------|
| `images`  | atoms have three axes; uint8 pixels have the range 0 to 255       |
| `counts`  | vectors of whole numbers, none negative: of an integer type, or   |
|           | features with names that are all whole, as in tables and cells    |
| `vectors` | all others but arrays that may be pictures                        |

Atoms of two axes of 8 numbers or more (height x width, without channels) and of four axes or more
may be pictures or not, and their kind has to be stated.

Vectors and counts have the same default transform but for draws, which are clipped at zero for
counts: this choice changes nothing that is fitted. Whole numbers on a scale of their own (channels
of a cytometer, ages in years) are counts by this rule. Tokens cannot be told from counts, and are
stated with their alphabet.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from distembed.data.file_rows import FileRows
from distembed.data.observations import Observations
from distembed.data.spaces import Counts, Images, Vectors, describe
from distembed.protocols import AtomSpace

__all__ = ["channels_first", "kind_of", "recognise", "say_kind"]

logger = logging.getLogger(__name__)

_SIDE = 8
"""Least height and width of a picture."""
_CHANNELS = (1, 3, 4)
"""Channels of an image in files: grey, RGB, and RGB with transparency."""


def recognise(observations: Observations) -> AtomSpace:
    """Return the kind of the atoms, and log it if they are images or counts.

    Vectors that are mapped from disk are not read for this.

    Raises:
        ValueError: If the atoms may be pictures or vectors.

    Example:
        >>> recognise(Observations(np.array([[0, 3], [1, 0]])))
        Counts()
        >>> recognise(Observations(np.zeros((5, 3, 8, 8), np.uint8)))
        Images(low=0, high=255, whole=True)
    """
    space = kind_of(observations)
    say_kind(space)
    return space


def say_kind(space: AtomSpace) -> None:
    """Log a kind that was recognised, if it is images or counts."""
    if space.name != "vectors":
        logger.info(
            "The atoms are taken as %s. State another kind with `atoms`: 'vectors', or for "
            "sequences {'name': 'tokens', 'alphabet': 'ACGT'}.",
            describe(space),
        )


def kind_of(observations: Observations) -> AtomSpace:
    """Return the kind of the atoms, as `recognise` does, without a word.

    Raises:
        ValueError: If the atoms may be pictures or vectors.
    """
    x = observations.x
    shape = observations.event_shape
    if len(shape) == 2 and min(shape) >= _SIDE or len(shape) > 3:
        raise ValueError(
            f"Atoms have shape {shape}, which may be a picture or not. An image is channels x "
            "height x width: give x[:, None] for one channel, with atoms='images'. For flat "
            "numbers say atoms='vectors'."
        )
    if x.ndim == 4:
        return Images(0, 255, whole=True) if x.dtype == np.uint8 else Images()
    return Counts() if x.ndim == 2 and _whole(observations) else Vectors()


def channels_first(observations: Observations) -> Observations:
    """Move the channels of images from the last axis to the first, where they can only be last.

    That is where the last axis has 1, 3 or 4 entries and the first one more than 4. Images that
    are mapped from disk are not moved, because each would be read in strides.

    Raises:
        ValueError: If such images are mapped from disk.

    Example:
        >>> channels_first(Observations(np.zeros((5, 32, 32, 3)))).event_shape
        (3, 32, 32)
    """
    shape = observations.event_shape
    if len(shape) != 3 or shape[-1] not in _CHANNELS or shape[0] <= max(_CHANNELS):
        return observations
    if isinstance(observations.x, FileRows):
        return observations  # which readers of images make with channels first
    if isinstance(observations.x, np.memmap):
        raise ValueError(
            f"Images of shape {shape} have their channels last, and are mapped from disk; they "
            "are channels x height x width here. Write the file as np.moveaxis(x, -1, 1), or load "
            "it into memory."
        )
    logger.info("The channels of images of shape %s are the last axis; they are moved to the "
                "first.", shape)  # fmt: skip
    return replace(observations, x=np.moveaxis(observations.x, -1, 1))


def _whole(observations: Observations) -> bool:
    """Return whether all numbers are whole and none is negative."""
    x = observations.x
    if isinstance(x, np.memmap | FileRows) or x.dtype.kind not in "iuf":
        return False
    values = x.data if observations.sparse else x
    if x.dtype.kind != "f":
        return bool((values >= 0).all())
    head = values[:1000]  # decides for nearly all real numbers
    return observations.features is not None and all(
        bool(((v == np.round(v)) & (v >= 0)).all()) for v in (head, values)
    )
