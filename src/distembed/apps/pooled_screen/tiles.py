"""Crops of cells from the tiles of a pooled screen.

A tile is a TIFF of frames x channels, of which the first frame holds DAPI and GFP. A crop is
centred on the box of a cell. One that would leave the tile is dropped, and not padded: the amount
of padding would tell where on the tile a cell was.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.registry import need

__all__ = ["read_tiles", "tile_name"]

logger = logging.getLogger(__name__)


def tile_name(well: str, tile: Any) -> str:
    """Return the name of the file of a tile.

    Example:
        >>> tile_name("A1", 12)
        '20X_DAPI-GFP-A594-AF750_A1_DAPI-GFP_Site-12.tif'
    """
    return f"20X_DAPI-GFP-A594-AF750_{well}_DAPI-GFP_Site-{tile}.tif"


def read_tiles(
    folder: Path, table: Any, side: int, channels: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cut the cells of a table from their tiles.

    Args:
        folder: Holds the tiles, in a folder of each plate or directly.
        table: One row a cell, with `plate`, `well`, `tile`, and the box as `bounds_0` to
            `bounds_3`: first row, first column, last row, last column.
        side: Height and width of a crop.
        channels: Channels of the first frame that are read.

    Returns:
        Images `(N, channels, side, side)`, and the rows of the table that they are of.

    Raises:
        ValueError: If there is no tile of the table, or one has fewer channels.
    """
    images, rows, outside, absent = list[Any](), list[int](), 0, list[str]()
    place = table.reset_index(drop=True)
    for (plate, well, tile), part in place.groupby(["plate", "well", "tile"], sort=False):
        name = tile_name(str(well), tile)
        path = next((p for p in (folder / str(plate) / name, folder / name) if p.is_file()), None)
        if path is None:
            absent.append(name)
            continue
        frame = _first_frame(path, channels)
        boxes = part[[f"bounds_{i}" for i in range(4)]].to_numpy()
        for row, box in zip(part.index, boxes, strict=True):
            top = int(round((box[0] + box[2] - side) / 2))
            left = int(round((box[1] + box[3] - side) / 2))
            bottom, right = top + side, left + side
            if top < 0 or left < 0 or bottom > frame.shape[1] or right > frame.shape[2]:
                outside += 1
                continue
            images.append(frame[:, top:bottom, left:right])
            rows.append(int(row))
    if not images:
        raise ValueError(
            f"{folder} has none of the {len(absent)} tiles that the table names, such as "
            f"{absent[0] if absent else 'one that holds a whole crop'}, directly or in a folder "
            "of the plate."
        )
    if absent or outside:
        logger.warning(
            "left out the cells of %d tiles without a file, and %d cells whose crop leaves its "
            "tile", len(absent), outside,
        )  # fmt: skip
    return np.stack(images).astype(np.float32), np.array(rows, np.int64)


def _first_frame(path: Path, channels: int) -> NDArray[Any]:
    """Read the first pages of a TIFF file, `(channels, H, W)`."""
    image = need("PIL.Image", "plot")
    with image.open(path) as file:
        pages = getattr(file, "n_frames", 1)
        if pages < channels:
            raise ValueError(
                f"{path.name} has {pages} pages, and {channels} channels are read: DAPI and GFP."
            )
        frames = []
        for page in range(channels):
            file.seek(page)
            frames.append(np.asarray(file))
    return np.stack(frames)
