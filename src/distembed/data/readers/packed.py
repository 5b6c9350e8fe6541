"""Open text that may be compressed by gzip or xz."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distembed.data.readers.bounds import refuse_inflated

__all__ = ["lines_of"]


@contextmanager
def lines_of(
    path: Path, every: int = 2**16, errors: str = "strict"
) -> Iterator[Iterator[tuple[int, str]]]:
    """Open a text file as its lines with their numbers, without the blanks around them.

    Args:
        path: The file.
        every: Lines after which the size of the content is compared with that of the file.
        errors: What is done about bytes that are no UTF-8, as of `open`.

    Raises:
        ValueError: If it is damaged, no text, or grows too much as it is unpacked.
    """
    opening: Any = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix.lower(), open)

    def lines(file: Any) -> Iterator[tuple[int, str]]:
        size = 0
        for number, line in enumerate(file, 1):
            size += len(line)
            if number % every == 0:
                refuse_inflated(path, size, "its content", "Unpack it first, if that is right.")
            yield number, line.strip()

    try:
        with opening(path, "rt", encoding="utf-8-sig", errors=errors) as file:
            yield lines(file)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{path.name} is damaged, cut off or not compressed as its name says: {error}. Copy "
            "it again."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is no text in UTF-8: {error}.") from error
