"""Images and crops of images: in memory where they are few, else read as they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.file_rows import FileRows
from distembed.data.readers.picture_files import mapped_picture, read_picture

__all__ = ["Box", "PictureRows", "open_pictures"]


@dataclass(frozen=True, slots=True)
class Box:
    """A crop `[top:bottom, left:right]`.

    Attributes:
        name: Where it stands, for messages.
        left: First column.
        top: First row.
        right: Column after the last.
        bottom: Row after the last.
    """

    name: str
    left: int
    top: int
    right: int
    bottom: int


def open_pictures(
    files: Mapping[str, Sequence[Path]],
    number: np.ndarray,
    boxes: Sequence[Box] | None,
    hold: int,
) -> np.ndarray | PictureRows:
    """Check all images, and return them, or crops of them, as one array or as rows in files.

    No more than one image is held in memory beside what is returned.

    Args:
        files: The files of the channels of each image, by its name.
        number: The image of each row, in increasing order, `(R,)`.
        boxes: The crop of each row, `(R,)`; whole images where None.
        hold: Most bytes of an array; of more, rows in files are returned.

    Raises:
        ValueError: If a file is damaged, sizes or types of pixels differ, or a box leaves its
            image.
    """
    names, paths = list(files), list(files.values())
    x: np.ndarray | None = None
    model: tuple[str, tuple[int, ...], np.dtype[Any]] | None = None
    before, channels = -1, list[np.ndarray]()
    for row, i in enumerate(number.tolist()):
        if i != before:
            channels, before = _read(paths[i]), i
        box = None if boxes is None else boxes[row]
        crops = _cropped(channels, box, names[i])
        name = names[i] if box is None else box.name
        shape, dtype = _shape(crops), np.result_type(*crops)
        if model is None:
            model = (name, shape, dtype)
            if len(number) * int(np.prod(shape)) * dtype.itemsize <= hold:
                x = np.empty((len(number), *shape), dtype)
        _refuse_other(name, shape, dtype, *model)
        if x is not None:
            np.concatenate(crops, out=x[row])
    if x is not None or model is None:
        return np.zeros((0,)) if x is None else x
    return PictureRows(paths, number, boxes, model[1], model[2])


class PictureRows(FileRows):
    """Images, or crops of images, that are read from their files.

    Args:
        images: The files of the channels of each image.
        number: The image of each row, `(R,)`.
        boxes: The crop of each row; whole images where None.
        shape: Shape of each, `(C, H, W)`.
        dtype: Type of the pixels.
        cache: Most bytes of images that were read, not mapped, and are kept for the next rows.
    """

    def __init__(
        self,
        images: Sequence[Sequence[Path]],
        number: np.ndarray,
        boxes: Sequence[Box] | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        cache: int = 2**27,
    ) -> None:
        used = sorted(set(number.tolist()))
        super().__init__((len(number), *shape), dtype, [f for i in used for f in images[i]])
        self._images, self._number, self._boxes = images, number, boxes
        self._cache, self._kept = cache, OrderedDict[int, list[np.ndarray]]()

    def between(self, low: int, high: int) -> np.ndarray:
        """Read rows."""
        return self.take(np.arange(low, high))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Read rows by their numbers `(n,)`, each image once.

        Raises:
            ValueError: If a file is damaged, or has changed.
        """
        x = np.empty((len(rows), *self.shape[1:]), self.dtype)
        number = self._number[rows]
        for i in np.unique(number).tolist():
            channels = self._image(i)
            for k in np.flatnonzero(number == i).tolist():
                box = None if self._boxes is None else self._boxes[rows[k]]
                crops = _cropped(channels, box, self._images[i][0].name)
                if (_shape(crops), np.result_type(*crops)) != (self.shape[1:], self.dtype):
                    raise ValueError(
                        f"{self._images[i][0]} has another size or type of pixels than when it "
                        "was opened. Read the images again."
                    )
                np.concatenate(crops, out=x[k])
        return x

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without the images that are kept."""
        return {**self.__dict__, "_kept": OrderedDict()}

    def _image(self, i: int) -> list[np.ndarray]:
        """Return the channels of an image; those that were read last are kept."""
        if i in self._kept:
            self._kept.move_to_end(i)
            return self._kept[i]
        channels = _read(self._images[i])
        if not any(isinstance(part, np.memmap) for part in channels):
            self._kept[i] = channels
            while sum(p.nbytes for kept in self._kept.values() for p in kept) > self._cache:
                self._kept.popitem(last=False)
        return channels


def _read(paths: Sequence[Path]) -> list[np.ndarray]:
    """Map or read the channels of one image, each `(C, H, W)`."""
    channels: list[np.ndarray] = []
    for path in paths:
        mapped = mapped_picture(path)
        channels += [read_picture(path)] if mapped is None else mapped
    if len({part.shape[1:] for part in channels}) > 1:
        sizes = " and ".join(sorted({f"{p.shape[1]} x {p.shape[2]}" for p in channels}))
        raise ValueError(
            f"The channels of {paths[0].name} are {sizes} pixels; they have one size."
        )
    return channels


def _cropped(channels: Sequence[np.ndarray], box: Box | None, name: str) -> list[np.ndarray]:
    """Return a part of each channel, which is not copied.

    Raises:
        ValueError: If the box has no area, or leaves the image.
    """
    if box is None:
        return list(channels)
    height, width = channels[0].shape[1:]
    if box.left >= box.right or box.top >= box.bottom:
        raise ValueError(
            f"{box.name} is the box {(box.left, box.top, box.right, box.bottom)}, which has no "
            "area. A box is (left, top, right, bottom), with left < right and top < bottom; rows "
            "of an image count from its top."
        )
    if not (0 <= box.left and box.right <= width and 0 <= box.top and box.bottom <= height):
        raise ValueError(
            f"{box.name} is the box {(box.left, box.top, box.right, box.bottom)} of {name}, which "
            f"has {width} x {height} pixels. Leave out boxes that leave their image; padding "
            "would tell where they were."
        )
    return [part[:, box.top : box.bottom, box.left : box.right] for part in channels]


def _shape(crops: Sequence[np.ndarray]) -> tuple[int, ...]:
    return (sum(len(part) for part in crops), *crops[0].shape[1:])


def _refuse_other(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    first: str,
    model: tuple[int, ...],
    kind: np.dtype[Any],
) -> None:
    """Refuse an image of another size, or type of pixels, than those of the first."""
    if shape != model:
        raise ValueError(
            f"{first} is {_size(model)}, and {name} is {_size(shape)}. Images have one size; crop "
            "them, or name crops of one size in boxes=TABLE."
        )
    if dtype != kind:
        raise ValueError(
            f"{first} has pixels of type {kind}, and {name} of {dtype}, so that their values have "
            "different scales. Save all images with the same bits."
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} x {shape[2]} (channels x height x width)"
