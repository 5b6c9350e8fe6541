"""Mosaics: many images side by side in one picture.

Images that are mostly blank (strokes, stained cells) are drawn as ink on the background of the
page: the distance from the blank end of the range becomes opacity. Others keep their own greys or
colours.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

from distembed.registry import need

__all__ = ["Tone", "as_images", "data_uri", "mosaic", "tone_of"]


@dataclass(frozen=True)
class Tone:
    """Mapping of pixel values to lightness.

    Attributes:
        low: Value of one end of the range.
        high: Value of the other end.
        paper: Which end is blank paper, `low` or `high`; empty if neither is.
    """

    low: float
    high: float
    paper: str


def as_images(x: np.ndarray, largest_side: int = 96) -> np.ndarray:
    """Bring images `(n, C, H, W)` to `(n, H, W)`, or to `(n, H, W, 3)` if they have 3 channels.

    Images of two, four or more channels are averaged over the channels. A last axis of one or
    three channels is accepted as well. Images with a side above `largest_side` are reduced by
    averages over square blocks.

    Raises:
        ValueError: If atoms do not have the axes of an image.
    """
    if x.ndim not in (3, 4):
        raise ValueError(
            f"Atoms have shape {x.shape[1:]}; an image is channels x height x width, or height x "
            "width."
        )
    x = np.asarray(x, dtype=float)
    if x.ndim == 4:
        if x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
            x = np.moveaxis(x, 3, 1)
        x = np.moveaxis(x, 1, 3) if x.shape[1] == 3 else x.mean(1)
    block = -(-max(x.shape[1:3]) // largest_side)
    if block > 1:
        height, width = (max(1, side // block) for side in x.shape[1:3])
        x = x[:, : height * block, : width * block]
        x = x.reshape(len(x), height, block, width, block, *x.shape[3:]).mean((2, 4))
    return x


def tone_of(images: np.ndarray) -> Tone:
    """Compute the tone of real images, which generated ones are drawn in as well.

    The range is that of the 0.5 and the 99.5 percentile. An end is paper if the median lies within
    15 % of it.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)`, from `as_images`.
    """
    low, high = np.percentile(images, [0.5, 99.5]).tolist()
    if high <= low:
        low, high = float(images.min()), float(images.min()) + 1.0
    if images.ndim == 4:
        return Tone(low, high, "")
    middle = (np.median(images) - low) / (high - low)
    return Tone(low, high, "low" if middle < 0.15 else "high" if middle > 0.85 else "")


def mosaic(images: np.ndarray, columns: int, tone: Tone, width: int = 800) -> np.ndarray:
    """Arrange images in rows, as one picture.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)`.
        columns: Number of images in a row; the rest of the last row is transparent.
        tone: From `tone_of`.
        width: Images are enlarged by the largest whole factor for which the picture is at most
            this many pixels wide, at least by 1.

    Returns:
        `(rows, width, 4)` uint8, transparent between the images.
    """
    value = np.clip((images - tone.low) / (tone.high - tone.low), 0, 1)
    if tone.paper:
        ink = value if tone.paper == "low" else 1 - value
        rgba = np.concatenate([np.zeros((*value.shape, 3)), ink[..., None]], axis=-1)
    else:
        rgb = value if value.ndim == 4 else np.repeat(value[..., None], 3, axis=-1)
        rgba = np.concatenate([rgb, np.ones((*rgb.shape[:3], 1))], axis=-1)
    n, h, w = rgba.shape[:3]
    rows = -(-n // columns)
    zoom = max(1, (width // columns) // (w + 1))
    gap = max(1, zoom * min(h, w) // 12)
    tiles = rgba.repeat(zoom, axis=1).repeat(zoom, axis=2)
    tiles = np.pad(tiles, ((0, rows * columns - n), (0, gap), (0, gap), (0, 0)))
    tiles = tiles.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    page = tiles.reshape(rows * (zoom * h + gap), columns * (zoom * w + gap), 4)
    return np.round(page[:-gap, :-gap] * 255).astype(np.uint8)


def data_uri(picture: np.ndarray) -> str:
    """Encode a picture `(rows, width, 4)` uint8 as a PNG in a data URI."""
    image = need("matplotlib.image", "report")
    file = io.BytesIO()
    image.imsave(file, picture, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
