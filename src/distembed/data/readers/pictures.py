"""Read image files by a pattern: PNG, JPEG and TIFF, each file an image or many crops of it.

    wells/{well}/*.png                      each file is an atom, each well a set
    {plate}_{well}_{site}_{channel}.tif     files that differ in the channel alone are one image
    tiles/*.tif, boxes="cells.csv"          each box of a table is an atom

Pages of a TIFF file are channels. All images have one size: nothing is resized or padded, because
distances of pixels would then be those of the padding.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request
from distembed.data.readers.bounds import refuse_inflated
from distembed.data.readers.columns import read_columns
from distembed.data.readers.files import FILE, NamedFile, files_of, labels_of
from distembed.registry import need

__all__ = ["PictureReader", "read_picture"]

logger = logging.getLogger(__name__)

CHANNEL = "channel"
"""Field of a pattern by which files are the channels of one image."""
_BOX = ("left", "top", "right", "bottom")
_EIGHT_BITS = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")
"""Modes of pillow with 8 bits a channel."""


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
    channels = [np.moveaxis(p, 2, 0) if p.ndim == 3 else p[None] for p in pages]
    if len({c.shape for c in channels}) > 1:
        raise ValueError(
            f"The {len(pages)} pages of {path.name} have different sizes; pages are channels. "
            "Save one page, such as the largest of a pyramid."
        )
    x = np.concatenate(channels)
    return x.astype(np.uint8) if x.dtype == bool else x


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


@dataclass(frozen=True)
class PictureReader:
    """Reader of image files; sets are named by the fields of the pattern, or by columns of boxes.

    Attributes:
        boxes: Table of the crops to read, with the columns `file` (a name or path with or without
            its suffix), `left`, `top`, `right`, `bottom` in pixels, and any labels. Fields of
            the pattern that are columns, too, tell files of one name apart. Crops are
            `[top:bottom, left:right]`.
    """

    boxes: str | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
    selection: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return False: only files are read."""
        return False

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read images `(C, H, W)`, with the fields of the pattern and columns of boxes.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If images have different sizes, a box leaves its image, channels are
                incomplete, or nothing names the sets.
        """
        fields = [name for name in labels_of(source) if name not in (CHANNEL, FILE)]
        labels = request.labels or fields
        if not labels and self.boxes is None:
            raise ValueError(
                f"Each image of {source} would be a set of its own. Name the sets by a field of "
                "the pattern, such as '{well}/*.png', or name crops in boxes=TABLE."
            )
        labels = labels or [FILE]
        images = _grouped(files_of(source))
        if self.boxes is None:
            x = _stacked([(label[FILE], _channels(files)) for label, files in images])
            columns = {n: np.array([label[n] for label, _ in images]) for n in images[0][0]}
        else:
            x, columns = _crops(images, self.boxes, request.labels)
        refuse_unknown([*labels, *request.keep], columns, "column")
        kept = columns if request.meta is None else [*labels, *request.keep]
        return Observations(x, {name: columns[name] for name in kept}), labels


def _grouped(
    files: Sequence[NamedFile],
) -> list[tuple[Mapping[str, str], list[NamedFile]]]:
    """Join the files of the channels of one image; return labels and files of each image."""
    groups: dict[tuple[str, ...], list[NamedFile]] = {}
    for file in files:
        joined = CHANNEL in file.labels
        own = [v for n, v in file.labels.items() if not joined or n not in (FILE, CHANNEL)]
        groups.setdefault(tuple(own), []).append(file)
    expected = sorted({f.labels.get(CHANNEL, "") for f in files})
    images: list[tuple[Mapping[str, str], list[NamedFile]]] = []
    for group in groups.values():
        group.sort(key=lambda file: file.labels.get(CHANNEL, ""))
        channels = [file.labels.get(CHANNEL, "") for file in group]
        if channels != expected:
            raise ValueError(
                f"{group[0].path.name} and the files of its other channels are {channels}; all "
                f"images together have {expected}, and each image has each once. Give the "
                "missing files, or name what tells these apart by a field of the pattern."
            )
        images.append(({n: v for n, v in group[0].labels.items() if n != CHANNEL}, group))
    return images


def _channels(files: Sequence[NamedFile]) -> np.ndarray:
    """Read the files of one image, `(C, H, W)`."""
    return _joined([read_picture(file.path) for file in files], files[0].path.name)


def _joined(parts: Sequence[np.ndarray], name: str) -> np.ndarray:
    if len({part.shape[1:] for part in parts}) > 1:
        sizes = " and ".join(sorted({f"{p.shape[1]} x {p.shape[2]}" for p in parts}))
        raise ValueError(f"The channels of {name} are {sizes} pixels; they have one size.")
    return np.concatenate(parts)


def _stacked(images: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Stack images of one shape, `(N, C, H, W)`."""
    first, x = images[0]
    for name, other in images:
        if other.shape != x.shape:
            raise ValueError(
                f"{first} is {_size(x)}, and {name} is {_size(other)}. Images have one size; crop "
                "them, or name crops of one size in boxes=TABLE."
            )
        if other.dtype != x.dtype:
            raise ValueError(
                f"{first} has pixels of type {x.dtype}, and {name} of {other.dtype}, so that "
                "their values have different scales. Save all images with the same bits."
            )
    return np.stack([image for _, image in images])


def _size(x: np.ndarray) -> str:
    return f"{x.shape[0]} x {x.shape[1]} x {x.shape[2]} (channels x height x width)"


def _crops(
    images: Sequence[tuple[Mapping[str, str], Sequence[NamedFile]]],
    boxes: str,
    labels: Sequence[str],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the boxes of a table, image after image; return crops and columns, `(R,)` each."""
    shared = [n for n in images[0][0] if n != FILE]
    columns = read_columns(boxes, {FILE, *labels, *shared})
    refuse_unknown([FILE, *_BOX], columns, "column of the table of boxes")
    try:
        edges = np.stack([columns[name].astype(np.float64) for name in _BOX], axis=1)
    except ValueError as error:
        raise ValueError(f"A box of {boxes} is no number of pixels: {error}.") from error
    if not np.isfinite(edges).all() or (edges % 1 != 0).any():
        raise ValueError(f"A box of {boxes} is missing or no whole number of pixels.")
    edges = edges.astype(np.int64)
    number = _images_of(columns, images, boxes)
    unused = len(images) - len(np.unique(number))
    if unused:
        logger.warning("%d of %d images have no box in %s", unused, len(images), boxes)
    order = np.argsort(number, kind="stable")
    crops: list[tuple[str, np.ndarray]] = []
    for i in np.unique(number):
        label, files = images[i]
        x = _channels(files)
        for row in order[number[order] == i]:
            left, top, right, bottom = edges[row].tolist()
            if not (0 <= left < right <= x.shape[2] and 0 <= top < bottom <= x.shape[1]):
                raise ValueError(
                    f"Row {row + 1} of {boxes} is the box {tuple(edges[row].tolist())} of "
                    f"{label[FILE]}, which has {x.shape[2]} x {x.shape[1]} pixels. Leave out "
                    "boxes that leave their image; padding would tell where they were."
                )
            crops.append((f"row {row + 1}", x[:, top:bottom, left:right].copy()))
    own = {n: np.array([images[i][0][n] for i in number])[order] for n in images[0][0]}
    rest = {n: v[order] for n, v in columns.items() if n not in (*_BOX, *own)}
    return _stacked(crops), {**own, **rest}


def _images_of(
    columns: Mapping[str, np.ndarray],
    images: Sequence[tuple[Mapping[str, str], Sequence[NamedFile]]],
    boxes: str,
) -> np.ndarray:
    """Return the number of the image that each row names, by its file and by shared fields."""
    shared = [n for n in images[0][0] if n != FILE and n in columns]
    named: dict[tuple[str, ...], set[int]] = {}
    for i, (label, files) in enumerate(images):
        for name in {name for file in files for name in _names(file)}:
            named.setdefault((name, *(label[n] for n in shared)), set()).add(i)
    keys = list(zip(*(columns[n].tolist() for n in (FILE, *shared)), strict=True))
    absent = sorted(set(keys) - named.keys())
    if absent:
        raise ValueError(
            f"{boxes} names {len(absent)} images that the pattern does not have, such as "
            f"{_row_name(absent[0], shared)}. Widen the pattern, or leave their rows out."
        )
    several = next((key for key in keys if len(named[key]) > 1), None)
    if several is not None:
        paths = [images[i][1][0].path.as_posix() for i in sorted(named[several])]
        raise ValueError(
            f"{boxes} names {_row_name(several, shared)}, which {len(paths)} images have, such as "
            f"{paths[0]} and {paths[1]}. Write more of the path in the column {FILE!r}, or give "
            "the table a column for each field of the pattern."
        )
    return np.array([next(iter(named[key])) for key in keys])


def _row_name(key: Sequence[str], shared: Sequence[str]) -> str:
    """Write the file of a row, and the fields that were compared with it."""
    fields = ", ".join(f"{n} {v!r}" for n, v in zip(shared, key[1:], strict=True))
    return repr(key[0]) + (f" of {fields}" if fields else "")


def _names(file: NamedFile) -> set[str]:
    """Return the names of a file in a table: the last parts of its path, or all, and its label.

    Example:
        >>> sorted(_names(NamedFile(Path("a/b.png"), {"file": "b"})))
        ['a/b', 'a/b.png', 'b', 'b.png']
    """
    parts, label = file.path.as_posix().split("/"), file.labels[FILE]
    whole = ["/".join(parts[i:]) for i in range(len(parts))]
    ending = file.path.name[len(label.rsplit("/", 1)[-1]) :]
    return {label, str(file.path), *whole, *(name.removesuffix(ending) for name in whole)}
