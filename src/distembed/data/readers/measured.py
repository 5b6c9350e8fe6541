"""Leave out the atoms of a stream of which no feature was measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from distembed.data.readers.streams import Part, Stream

__all__ = ["MeasuredStream"]

logger = logging.getLogger(__name__)


class MeasuredStream:
    """The atoms of a stream that have a value.

    Atoms are read in every pass, because whether one has a value is a question of its features.

    Args:
        stream: The source, whose missing values are NaN.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream, self._logged = stream, False
        self.by, self.features, self.width = stream.by, stream.features, stream.width
        self.files: list[Path] = stream.files
        self.required, self.one_type = stream.required, stream.one_type
        self.of_cells = stream.of_cells

    def parts(self, rows: int, atoms: bool) -> Iterator[Part]:
        """Read the rows with a value, from at most `rows` rows at a time.

        Raises:
            ValueError: If no row has one.
        """
        total = dropped = 0
        for part in self._stream.parts(rows, True):
            kept = _measured(part)
            total, dropped = total + part.rows, dropped + int((~kept).sum())
            if not kept.all():
                part = _select(part, kept)
            if part.rows:
                yield part if atoms else replace(part, x=None)
        if total == dropped:
            raise ValueError("All values are missing; there is nothing to read.")
        if dropped and not self._logged:
            logger.warning(
                "dropped %d of %d atoms: none of their features was measured", dropped, total
            )
            self._logged = True

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return values as the source would be read."""
        return self._stream.settled(name, values)


def _measured(part: Part) -> np.ndarray:
    """Return whether atoms have a value, `(n,)`."""
    if not isinstance(part.x, np.ndarray) or part.x.dtype.kind != "f":
        return np.ones(part.rows, bool)
    values = ~np.isnan(part.x).reshape(part.rows, -1)
    return np.asarray(values.any(1))


def _select(part: Part, kept: np.ndarray) -> Part:
    return Part(
        int(kept.sum()),
        [text[kept] for text in part.labels],
        {name: values[kept] for name, values in part.columns.items()},
        None if part.weights is None else part.weights[kept],
        part.x[kept],
    )
