"""Read IDX files, the format of MNIST, Fashion-MNIST and their relatives.

A file is a header and numbers in big-endian order: two zero bytes, a code of the type, the number
of axes, and the length of each axis in four bytes. Images are one file, `...-images-idx3-ubyte`,
and their labels another with `labels-idx1` in the place of `images-idx3`.

| Gradient-based learning applied to document recognition (LeCun, Bottou, Bengio, Haffner, 1998)
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request
from distembed.data.readers.bounds import refuse_inflated

__all__ = ["IdxReader", "read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> np.ndarray:
    """Read the array of one IDX file, which may be compressed by gzip.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no IDX file, or has not as many numbers as its header says.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    opening: Any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opening(path, "rb") as file:
            dtype, shape = _header(path, file)
            size = math.prod(shape) * dtype.itemsize
            refuse_inflated(path, size, "its header claims", "Copy it again.")
            content = file.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} is damaged, cut off or not compressed as its name says: {error}. Copy "
            "it again."
        ) from error
    if len(content) != size:
        extent = "more" if len(content) > size else f"{len(content)} bytes"
        raise ValueError(
            f"{path.name} has a header of shape {shape}, {size} bytes of numbers, and holds "
            f"{extent}. Copy it again."
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _header(path: Path, file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the type of the numbers and the lengths of the axes."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != bytes(2) or start[2] not in _TYPES or not start[3]:
        raise ValueError(
            f"{path.name} starts with {start!r}, and an IDX file with two zero bytes, a code of "
            "the type and the number of axes. Is it compressed, without .gz in its name?"
        )
    lengths = file.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise ValueError(f"{path.name} ends in its header. Copy it again.")
    return np.dtype(_TYPES[start[2]]), struct.unpack(f">{start[3]}I", lengths)


@dataclass(frozen=True)
class IdxReader:
    """Reader of IDX images, with the labels of the file beside them as the column `label`."""

    suffixes: ClassVar[tuple[str, ...]] = (".idx3-ubyte", ".idx3-ubyte.gz")
    selection: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return False: only files are IDX images."""
        return False

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read images `(1, H, W)`, one set a label unless other columns are named.

        Raises:
            FileNotFoundError, ValueError: If a file is absent or damaged, or labels do not fit.
        """
        path = Path(source)
        images, beside = read_idx(path), labels_beside(path)
        if images.ndim != 3:
            raise ValueError(
                f"{path.name} has an array of shape {images.shape}; images have three axes."
            )
        if not beside.is_file():
            raise FileNotFoundError(
                f"The labels of {path.name} are in {beside.name}, and there is no such file in "
                f"{path.parent}. Put it there; sets are made of the images of a label."
            )
        labels = read_idx(beside)
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"{path.name} has {len(images)} images, and {beside.name} labels of shape "
                f"{labels.shape}; there is one label an image. Take both from one source."
            )
        columns = {"label": labels}
        refuse_unknown([*request.labels, *request.keep], columns, "column")
        return Observations(images[:, None], columns), request.labels or ["label"]


def labels_beside(path: Path) -> Path:
    """Return the file of the labels of a file of images.

    Example:
        >>> labels_beside(Path("train-images-idx3-ubyte.gz")).name
        'train-labels-idx1-ubyte.gz'
    """
    name = re.sub("idx3", "idx1", path.name, flags=re.IGNORECASE)
    return path.with_name(re.sub("images", "labels", name, flags=re.IGNORECASE))
