"""Atoms that are images, side by side in one picture.

Images that are mostly blank (strokes, stained cells) are drawn as ink on whatever paper the page
has: the distance from the blank end becomes opacity. Others keep their own greys or colours.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

from distembed.registry import need

__all__ = ["Tone", "are_images", "as_images", "data_uri", "mosaic", "tone_of"]

_LARGEST_SIDE = 96


@dataclass(frozen=True)
class Tone:
    """How values become lightness: the range, and which end is blank paper ("" for neither)."""

    low: float
    high: float
    paper: str


def are_images(event_shape: tuple[int, ...]) -> bool:
    """Whether an atom of this shape looks like an image: (H, W), (C, H, W) or (H, W, C).

    Example:
        >>> are_images((8, 8)), are_images((3, 32, 32)), are_images((64,)), are_images((2, 2))
        (True, True, False, False)
    """
    if len(event_shape) == 2:
        return min(event_shape) >= 4
    return len(event_shape) == 3 and (
        (event_shape[0] in (1, 3) and min(event_shape[1:]) >= 4)
        or (event_shape[2] in (1, 3) and min(event_shape[:2]) >= 4)
    )


def as_images(x: np.ndarray) -> np.ndarray:
    """Bring atoms `(n, *event)` to `(n, H, W)` or `(n, H, W, 3)`, large ones reduced in size.

    Raises:
        ValueError: If the event shape is none of an image.
    """
    if not are_images(x.shape[1:]):
        raise ValueError(f"Atoms of shape {x.shape[1:]} do not look like images.")
    x = np.asarray(x, dtype=float)
    if x.ndim == 4 and not (x.shape[3] in (1, 3) and min(x.shape[1:3]) >= 4):
        x = np.moveaxis(x, 1, 3)
    if x.ndim == 4 and x.shape[3] == 1:
        x = x[..., 0]
    block = -(-max(x.shape[1:3]) // _LARGEST_SIDE)
    if block > 1:
        height, width = (side // block for side in x.shape[1:3])
        x = x[:, : height * block, : width * block]
        x = x.reshape(len(x), height, block, width, block, *x.shape[3:]).mean((2, 4))
    return x


def tone_of(images: np.ndarray) -> Tone:
    """Choose the tone that shows these images well; use it for their imitations as well.

    Args:
        images: Real ones, `(n, H, W)` or `(n, H, W, 3)`.
    """
    low, high = np.percentile(images, [0.5, 99.5]).tolist()
    if high <= low:
        low, high = float(images.min()), float(images.min()) + 1.0
    if images.ndim == 4:
        return Tone(low, high, "")
    middle = (np.median(images) - low) / (high - low)
    return Tone(low, high, "low" if middle < 0.15 else "high" if middle > 0.85 else "")


def mosaic(images: np.ndarray, columns: int, tone: Tone, width: int = 800) -> np.ndarray:
    """Lay images out in rows, as one picture.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)`.
        columns: Images a row; a last row that is not full stays open.
        tone: From `tone_of`.
        width: The picture is enlarged by whole factors while it stays below this many pixels.

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
    """Return a picture `(rows, width, 4)` uint8 as the address of a PNG inside the page."""
    image = need("matplotlib.image", "report")
    file = io.BytesIO()
    image.imsave(file, picture, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
