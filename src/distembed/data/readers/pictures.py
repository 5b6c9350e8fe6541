"""Read image files by a pattern: PNG, JPEG and TIFF, each file an image or many crops of it.

    wells/{well}/*.png                      each file is an atom, each well a set
    {plate}_{well}_{site}_{channel}.tif     files that differ in the channel alone are one image
    tiles/*.tif, boxes="cells.csv"          each box of a table is an atom

Pages of a TIFF file are channels. All images have one size: nothing is resized or padded, because
distances of pixels would then be those of the padding.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request
from distembed.data.readers.columns import read_columns
from distembed.data.readers.files import FILE, NamedFile, files_of, labels_of
from distembed.data.readers.picture_rows import Box, open_pictures

__all__ = ["PictureReader"]

logger = logging.getLogger(__name__)

CHANNEL = "channel"
"""Field of a pattern by which files are the channels of one image."""
_BOX = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class PictureReader:
    """Reader of image files; sets are named by the fields of the pattern, or by columns of boxes.

    Attributes:
        boxes: Table of the crops to read, with the columns `file` (a name or path with or without
            its suffix), `left`, `top`, `right`, `bottom` in pixels, and any labels. Fields of
            the pattern that are columns, too, tell files of one name apart. Crops are
            `[top:bottom, left:right]`.
        hold: Most bytes of all images, or of all crops, that are held in memory; 2^30 where left
            out. Of more, each is read from its file as it is asked for: TIFF files without
            compression are mapped, and others are read an image at a time.
    """

    boxes: str | None = None
    hold: int | None = None

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
            number, boxes = np.arange(len(images)), None
            columns = {n: np.array([label[n] for label, _ in images]) for n in images[0][0]}
        else:
            number, boxes, columns = _boxes(images, self.boxes, request.labels)
        paths = {label[FILE]: [one.path for one in files] for label, files in images}
        hold = 2**30 if self.hold is None else self.hold
        x = open_pictures(paths, number, boxes, 0 if request.in_file else hold)
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


def _boxes(
    images: Sequence[tuple[Mapping[str, str], Sequence[NamedFile]]],
    table: str,
    labels: Sequence[str],
) -> tuple[np.ndarray, list[Box], dict[str, np.ndarray]]:
    """Read a table of boxes; return the image, the box and the columns of each row, by image."""
    shared = [n for n in images[0][0] if n != FILE]
    columns = read_columns(table, {FILE, *labels, *shared})
    refuse_unknown([FILE, *_BOX], columns, "column of the table of boxes")
    try:
        edges = np.stack([columns[name].astype(np.float64) for name in _BOX], axis=1)
    except ValueError as error:
        raise ValueError(f"A box of {table} is no number of pixels: {error}.") from error
    whole = np.isfinite(edges)
    whole[whole] = edges[whole] % 1 == 0
    if not whole.all():
        row, edge = np.argwhere(~whole)[0]
        raise ValueError(
            f"Row {row + 1} of {table} has {_BOX[edge]} = {edges[row, edge]}; the edges of a box "
            f"are whole numbers of pixels, and those of {(~whole).any(1).sum()} rows are missing "
            "or no whole numbers. Round them, or leave these rows out."
        )
    number = _images_of(columns, images, table)
    unused = len(images) - len(np.unique(number))
    if unused:
        logger.warning("%d of %d images have no box in %s", unused, len(images), table)
    order = np.argsort(number, kind="stable")
    own = {n: np.array([images[i][0][n] for i in number])[order] for n in images[0][0]}
    rest = {n: v[order] for n, v in columns.items() if n not in (*_BOX, *own)}
    rows = zip(order.tolist(), edges[order].astype(np.int64).tolist(), strict=True)
    boxes = [Box(f"Row {row + 1} of {table}", *edge) for row, edge in rows]
    return number[order], boxes, {**own, **rest}


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
        >>> from pathlib import Path
        >>> sorted(_names(NamedFile(Path("a/b.png"), {"file": "b"})))
        ['a/b', 'a/b.png', 'b', 'b.png']
    """
    parts, label = file.path.as_posix().split("/"), file.labels[FILE]
    whole = ["/".join(parts[i:]) for i in range(len(parts))]
    ending = file.path.name[len(label.rsplit("/", 1)[-1]) :]
    return {label, str(file.path), *whole, *(name.removesuffix(ending) for name in whole)}
