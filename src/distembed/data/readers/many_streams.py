"""Read several files of one form as one source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from distembed.data.readers.streams import Part, Stream

__all__ = ["ManyStreams"]


class ManyStreams:
    """Several files of one form, read one after another.

    Args:
        streams: Those of the files.
        paths: The file, or the folder, of each.
        by_file: Whether each file is a set, whose label is the name of the file.

    Raises:
        ValueError: If their features differ, or two files have one name.
    """

    one_type = False  # another file may have another one

    def __init__(
        self, streams: Sequence[Stream], paths: Sequence[Path], by_file: bool = False
    ) -> None:
        names = [path.stem for path in paths]
        self._streams, self._names, self._by_file = list(streams), names, by_file
        first = self._streams[0]
        self.features, self.required = first.features, first.required
        self.of_cells = first.of_cells
        self.by = ["file"] if by_file else first.by
        self.width = first.width
        self.files = [file for stream in self._streams for file in stream.files]
        for stream, path in zip(self._streams[1:], paths[1:], strict=True):
            if stream.features != self.features:
                differing = sorted(set(stream.features or ()) ^ set(self.features or ()))
                raise ValueError(
                    f"{path} and {paths[0]} have other features, or in another "
                    f"order; they differ in: {', '.join(differing[:8]) or 'their order'}. Name "
                    "the features that all files have in `columns`."
                )
        if by_file and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"Two files are named {twice!r}, and files name the sets where `by` is left out. "
                "Rename one, or name a column of labels."
            )

    def parts(self, rows: int, atoms: bool) -> Iterator[Part]:
        """Read the files in turn."""
        for stream, name in zip(self._streams, self._names, strict=True):
            for part in stream.parts(rows, atoms):
                if not self._by_file:
                    yield part
                    continue
                yield replace(part, labels=[np.full(part.rows, name)])

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return values as the first file would be read."""
        return self._streams[0].settled(name, values)
