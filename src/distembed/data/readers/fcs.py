"""Read .fcs files of flow and mass cytometry, each of which is a set of cells.

Values are those on a linear scale: integers of logarithmic amplifiers are converted, and the gain
is divided out, as the file's keywords say. A channel is named by its marker (`$PnS`), such as CD4,
or by its detector (`$PnN`) where it has none. A spillover matrix is applied if asked for:

    x = y S^{-1},

with y the measured values of the detectors of the matrix and S_{ij} the share of dye i that
detector j sees. The channel of time is no feature unless it is named.

| Data File Standard for Flow Cytometry, FCS 3.1 (Spidlen et al., Cytometry A, 2010)
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distembed.data.observations import Observations
from distembed.data.readers.base import Request
from distembed.data.readers.files import FILE, NamedFile, files_of, labels_of
from distembed.data.readers.table import read_table
from distembed.registry import need

__all__ = ["FcsReader"]

logger = logging.getLogger(__name__)

_MATRICES = ("$spillover", "spillover", "spill", "$comp", "comp")


@dataclass(frozen=True)
class FcsReader:
    """Reader of .fcs files, each of which is a set unless the fields of a pattern name the sets.

    Attributes:
        columns: Feature columns, by name or pattern (PC*); default all numbers that have a name
            and vary within a set. Where atoms are tokens, the column of strings.
        compensate: Whether to apply the spillover matrix of each file.
    """

    columns: str | Sequence[str] | None = None
    compensate: bool | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".fcs",)
    selection: ClassVar[str | None] = "columns"

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return False: only files are read."""
        return False

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read cells, with the columns of labels of their file.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If flowio, the extra `fcs`, is not installed.
            ValueError: If a file is damaged, has other channels than the first, or no spillover
                matrix where one is asked for.
        """
        named = files_of(source)
        first = _read(named[0], self.compensate)
        parts = [first, *(_read(one, self.compensate, first.keys()) for one in named[1:])]
        sizes = [len(next(iter(part.values()))) for part in parts]
        table = {name: np.concatenate([part[name] for part in parts]) for name in first}
        names = list(named[0].labels)
        clash = sorted(set(names) & set(table))
        if clash:
            raise ValueError(
                f"{clash[0]!r} is a channel of {named[0].path.name} and a label of the files. "
                "Give the field of the pattern another name."
            )
        table |= {n: np.repeat([one.labels[n] for one in named], sizes) for n in names}
        labels = request.labels or labels_of(source) or [FILE]
        observations = read_table(
            table,
            self.columns or [name for name in first if name.lower() != "time"],
            [*labels, *(name for name in request.keep if name not in labels)],
            others=request.meta is None,
            by=labels,
            encode=request.encode,
            numbers=[request.weights] if request.weights else [],
        )
        return observations, labels


def _read(
    file: NamedFile, compensate: bool | None, channels: Any = None
) -> Mapping[str, np.ndarray]:
    """Return the channels of a file by name, `(R,)` each; they are those of another, if given."""
    flowio = need("flowio", "fcs")
    name = file.path.name
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            # flowio leaves a file that it opens itself open where it is damaged
            with file.path.open("rb") as opened:
                data = flowio.FlowData(opened)
            x = data.as_array()
    except Exception as error:  # flowio raises struct, index and key errors of damaged files
        raise ValueError(
            f"{name} cannot be read as an FCS file: {error or type(error).__name__}. Export it "
            "again from the program of the cytometer."
        ) from error
    for text in dict.fromkeys(str(w.message) for w in said):
        logger.warning("%s: %s", name, text)
    if not x.size:
        raise ValueError(f"{name} has no event; there is no cell to read.")
    detectors = [str(label).strip() for label in data.pnn_labels]
    matrix = next((data.text[key] for key in _MATRICES if key in data.text), None)
    if compensate:
        x = _compensated(x, detectors, matrix, name)
    elif matrix is not None and compensate is None:
        logger.warning(
            "%s holds a spillover matrix, which is not applied; compensate=True (--compensate) "
            "applies it, and compensate=False says that the values are compensated already",
            name,
        )
    names = _names(detectors, [str(label).strip() for label in data.pns_labels])
    twice = [channel for channel, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"{name} has {names.count(twice[0])} channels {twice[0]!r}, and one could not be told "
            "from another. Export it again with channels of different names."
        )
    columns = dict(zip(names, x.T, strict=True))
    if channels is not None and set(columns) != set(channels):
        differ = sorted(set(columns) ^ set(channels))
        raise ValueError(
            f"{name} and the first file have different channels: {', '.join(differ[:6])} "
            f"{'is' if len(differ) == 1 else 'are'} in one of them only. Read files of one panel, "
            "or export the channels that they share."
        )
    return columns


def _names(detectors: Sequence[str], markers: Sequence[str]) -> list[str]:
    """Return a name for each channel: its marker if no other has it, else its detector."""
    count = Counter(markers)
    return [
        marker if marker and count[marker] == 1 and marker not in detectors else detector
        for marker, detector in zip(markers, detectors, strict=True)
    ]


def _compensated(
    x: np.ndarray, detectors: Sequence[str], matrix: str | None, name: str
) -> np.ndarray:
    """Apply a spillover matrix, `n, detector 1, ..., detector n, S_11, S_12, ..., S_nn`."""
    if matrix is None:
        raise ValueError(
            f"{name} has no spillover matrix, and compensate asks for one. Compensate it in the "
            "program of the cytometer, or leave compensate out."
        )
    fields = [field.strip() for field in matrix.split(",")]
    try:
        n = int(fields[0])
        own, values = fields[1 : n + 1], np.array(fields[n + 1 :], dtype=np.float64)
        rows = [detectors.index(detector) for detector in own]
        if len(set(rows)) < n or not np.isfinite(values).all():
            raise ValueError("it names a detector twice, or has a number that is not finite")
        inverse = np.linalg.inv(values.reshape(n, n))
    except (ValueError, np.linalg.LinAlgError) as error:
        raise ValueError(
            f"The spillover matrix of {name} cannot be applied: {error}. It names detectors of "
            "the file, has one number for each pair of them, and an inverse."
        ) from error
    result = x.copy()
    result[:, rows] = x[:, rows] @ inverse
    return result
