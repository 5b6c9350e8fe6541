"""Read an image file, or map it where its pixels lie in the file as they are."""

from __future__ import annotations

import logging
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.readers.bounds import refuse_inflated
from distembed.registry import need

__all__ = ["mapped_picture", "read_picture"]

logger = logging.getLogger(__name__)

_EIGHT_BITS = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")
"""Modes of pillow with 8 bits a channel."""
_DAMAGED = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
            SyntaxError, RuntimeError, struct.error)  # fmt: skip
"""Errors of pillow of damaged files."""
_PLAIN = {"L": ("u1", 1, 1), "RGB": ("u1", 3, 2), "I;16": ("u2", 1, 1), "I;16B": ("u2", 1, 1),
          "F": ("f4", 1, 1)}  # fmt: skip
"""Type, samples of a pixel and photometric interpretation of modes whose pixels are mapped."""


def read_picture(path: Path) -> np.ndarray:
    """Read an image as `(C, H, W)`, with the type of its pixels.

    Raises:
        ImportError: If pillow, the extra `images`, is not installed.
        ValueError: If the file is damaged, has a palette, would lose bits, or grows too large.
    """
    image = need("PIL.Image", "images")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path) as file:
                pages, claimed = [], 0
                for page in range(getattr(file, "n_frames", 1)):
                    file.seek(page)
                    claimed += file.width * file.height * len(file.getbands())
                    refuse_inflated(path, claimed, "its pages", "Save it again, or leave it out.")
                    pages.append(_page(path, file))
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise ValueError(f"{path.name} claims to be too large: {error}.") from error
    except Exception as error:  # pillow raises type, key and struct errors of damaged files
        raise ValueError(f"{path.name} cannot be read as an image: {error}.") from error
    for text in dict.fromkeys(str(w.message) for w in said):
        logger.warning("%s: %s", path.name, text)
    x = np.concatenate(_channels(path, pages))
    return x.astype(np.uint8) if x.dtype == bool else x


def mapped_picture(path: Path) -> list[np.ndarray] | None:
    """Map the pages of a TIFF file without compression, each `(C, H, W)`; None of other files.

    Raises:
        ImportError: If pillow, the extra `images`, is not installed.
        ValueError: If pages have different sizes.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    pages: list[np.ndarray] = []
    image = need("PIL.Image", "images")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which a map does not allocate
            with image.open(path) as file:
                for number in range(getattr(file, "n_frames", 1)):
                    file.seek(number)
                    if (page := _mapped_page(path, file)) is None:
                        return None
                    pages.append(page)
    except (*_DAMAGED, image.DecompressionBombError):  # refused as it is read
        return None
    return _channels(path, pages)


def _mapped_page(path: Path, file: Any) -> np.ndarray | None:
    """Map the page that an opened file is at; None if its pixels do not lie there in order."""
    if file.format != "TIFF" or file.mode not in _PLAIN:
        return None
    tags = file.tag_v2
    kind, samples, photometric = _PLAIN[file.mode]
    dtype = np.dtype(kind).newbyteorder("<" if tags.prefix == b"II" else ">")
    size = file.height * file.width * samples * dtype.itemsize
    starts, counts = (np.array(tags.get(tag, ()), np.int64) for tag in (273, 279))
    plain = (
        tags.get(259, 1) == 1  # no compression
        and tags.get(262) == photometric
        and set(np.atleast_1d(tags.get(258, 1)).tolist()) == {8 * dtype.itemsize}
        and tags.get(277, 1) == samples
        and set(np.atleast_1d(tags.get(339, 1)).tolist()) == {3 if dtype.kind == "f" else 1}
        and (tags.get(266, 1), tags.get(274, 1), tags.get(284, 1)) == (1, 1, 1)
        and 322 not in tags  # tiles
        and len(starts) == len(counts) > 0
        and (starts[1:] == starts[:-1] + counts[:-1]).all()
        and counts.sum() == size
    )
    if not plain:
        return None
    shape = (file.height, file.width) if samples == 1 else (file.height, file.width, samples)
    return np.memmap(path, dtype, "r", int(starts[0]), shape)


def _channels(path: Path, pages: list[np.ndarray]) -> list[np.ndarray]:
    """Return pages as `(C, H, W)` each.

    Raises:
        ValueError: If they have different sizes.
    """
    channels = [np.moveaxis(p, 2, 0) if p.ndim == 3 else p[None] for p in pages]
    if len({c.shape for c in channels}) > 1:
        raise ValueError(
            f"The {len(pages)} pages of {path.name} have different sizes; pages are channels. "
            "Save one page, such as the largest of a pyramid."
        )
    return channels


def _page(path: Path, file: Any) -> np.ndarray:
    """Read the page that an opened file is at, `(H, W)` or `(H, W, C)`."""
    if file.mode in ("P", "PA"):
        raise ValueError("it has a palette; save it in colour or in grey")
    if file.mode in _EIGHT_BITS and (bits := _stored_bits(path, file)) > 8:
        raise ValueError(
            f"it has {bits} bits a channel, of which pillow would keep 8; save each channel as a "
            "file, or a page of TIFF, in grey"
        )
    return np.asarray(file)


def _stored_bits(path: Path, file: Any) -> int:
    """Return the bits of a channel in the file; 8 for formats that have no others."""
    if file.format == "TIFF":
        return int(max(file.tag_v2.get(258, (1,))))
    if file.format == "PNG":
        with path.open("rb") as header:
            header.seek(24)  # after the signature, and length, name, width and height of IHDR
            return header.read(1)[0]
    return 8
