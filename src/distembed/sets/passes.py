"""The passes over a source that write the files of a store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.observations import Observations
from distembed.data.readers.streams import Stream
from distembed.data.recognise import channels_first, kind_of, say_kind
from distembed.data.spaces import Tokens, Vectors, with_missing
from distembed.data.store import file_records, write_header
from distembed.protocols import AtomSpace
from distembed.sets.checks import all_finite, missing_value
from distembed.sets.construct import large_enough
from distembed.sets.draw import ranks
from distembed.sets.metadata import joined_columns, say_left_out
from distembed.sets.placement import AtomFiles
from distembed.sets.projection import Projection, Recipe, fit_projection
from distembed.sets.tally import Tally

__all__ = ["Passes"]

logger = logging.getLogger(__name__)

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Placed:
    """Atoms of a part that belong to sets, in the order of their places."""

    x: Any
    set: np.ndarray
    """Number of the set of each, `(n,)`."""
    place: np.ndarray
    """Place of each in the store, `(n,)`."""
    row: np.ndarray
    """Row of each in the source, `(n,)`."""
    w: np.ndarray | None
    """Sampling weight of each, `(n,)`."""


@dataclass(frozen=True)
class _Plan:
    """Where every set lies.

    Attributes:
        tally: The counts of the first pass.
        slot: Number of each counted set in the store, `(C,)`; -1 where it is dropped.
        ids: Name of each set, `(S,)`.
        offsets: Where each set starts and ends, `(S + 1,)`.
        width: The longest sequence, where atoms are tokens; else 0.
    """

    tally: Tally
    slot: np.ndarray
    ids: np.ndarray
    offsets: np.ndarray
    width: int


@dataclass(frozen=True)
class Passes:
    """The passes over a source.

    Attributes:
        stream: The source.
        space: The kind of atoms; recognised where None.
        projection: A projection of the features, or the recipe of one that is fitted.
        weights: Name of the column of weights.
        min_size: Fewest atoms of a set.
        memory: Bytes of a part, as float64.
        masked: Whether NaN is a value that is missing, and stored as such.
        metadata: A second table, one row a set, with its columns of labels as text.
        beside: Files that are read besides those of the stream.
    """

    stream: Stream
    space: AtomSpace | None
    projection: Projection | Recipe | None
    weights: str | None
    min_size: int
    memory: int
    masked: bool = False
    metadata: Mapping[str, np.ndarray] | None = None
    beside: Sequence[Path] = ()

    @property
    def files(self) -> list[Path]:
        """All files that are read."""
        return [*self.stream.files, *self.beside]

    def __post_init__(self) -> None:
        if self.projection is None:
            return
        if self.stream.features is None:
            raise ValueError(
                "pca needs features with names, such as genes; these atoms have none. Leave pca "
                "out."
            )
        if self.space is not None and self.space.name != "vectors":
            raise ValueError(
                f"atoms = {self.space.name!r} and pca: principal components are vectors. Leave "
                "`atoms` out."
            )

    def write(self, folder: Path) -> None:
        """Write all files of the store.

        Raises:
            OSError: If the disk is full.
            ValueError: If a label, a weight or an atom is invalid, or no set is large enough.
        """
        plan = self._plan()
        meta = self._metadata(plan)
        projection = self._projection(plan)
        space = self._write_atoms(folder, plan, projection)
        features = self.stream.features
        if projection is not None:
            projection.save(folder / "projection.npz")
            features = projection.features
        arrays = {f"meta{i}": column for i, column in enumerate(meta.values())}
        arrays |= {"ids": plan.ids, "offsets": plan.offsets}
        np.savez(folder / "sets.npz", allow_pickle=False, **arrays)
        header = {
            "by": self.stream.by,
            "meta": list(meta),
            "atoms": space.describe(),
            "features": None if features is None else list(features),
            "source": file_records(self.files),
        }
        write_header(folder, header)

    @property
    def _rows(self) -> int:
        return max(1, self.memory // (8 * self.stream.width))

    def _plan(self) -> _Plan:
        """Count the atoms of every set, in a pass over the labels."""
        tally, width = Tally(self.weights), 0
        tokens = isinstance(self.space, Tokens)
        for part in self.stream.parts(self._rows, atoms=tokens):
            tally.add(part)
            width = max(width, part.x.shape[1]) if tokens else 0
        if tally.weightless.any():
            raise ValueError(
                f"The weights of set '{tally.ids[np.argmax(tally.weightless)]}' sum to zero; at "
                "least one of its atoms needs a positive weight. Drop the set otherwise."
            )
        large = large_enough(tally.sizes, self.min_size)
        offsets = np.concatenate([[0], np.cumsum(tally.sizes[large])])
        slot = np.where(large, np.cumsum(large) - 1, -1)
        return _Plan(tally, slot, np.array(tally.ids)[large], offsets, width)

    def _metadata(self, plan: _Plan) -> dict[str, np.ndarray]:
        """Return the columns with one value a set."""
        large, meta, left = plan.slot >= 0, dict[str, np.ndarray](), list[str]()
        for name in plan.tally.names:
            varies = plan.tally.varies(name)[large]
            if not varies.any():
                meta[name] = self.stream.settled(name, plan.tally.column(name)[large])
            elif self.stream.required:
                raise ValueError(
                    f"Column {name!r} has several values in set '{plan.ids[np.argmax(varies)]}'; "
                    "metadata have one value a set. Leave the column out, or add it to `by`."
                )
            else:
                left.append(name)
        if self.stream.of_cells:
            say_left_out(self.stream.files[0].name if self.stream.files else "AnnData", left)
        if self.metadata is None:
            return meta
        labels = [text[large] for text in plan.tally.labels()]
        keys = dict(zip(self.stream.by, labels, strict=True))
        return meta | joined_columns(keys, self.metadata, meta)

    def _projection(self, plan: _Plan) -> Projection | None:
        """Return the projection, which a pass over the atoms fits where it is not given."""
        genes = self.stream.features
        if not isinstance(self.projection, Recipe) or genes is None:
            return None if isinstance(self.projection, Recipe) else self.projection
        fitted = fit_projection((p.x for p in self._placed(plan)), genes, self.projection)
        logger.info(
            "%d principal components hold %.1f %% of the variance",
            len(fitted.features), 100 * fitted.variance.sum(),
        )  # fmt: skip
        return fitted

    def _placed(self, plan: _Plan) -> Iterator[_Placed]:
        """Read the atoms of all sets, part by part, with their places.

        Raises:
            ValueError: If there are other rows than in the first pass.
        """
        cursor, first = np.zeros(len(plan.ids), np.int64), 0
        for part in self.stream.parts(self._rows, atoms=True):
            number = plan.tally.numbers(part.labels)
            if len(plan.tally) > len(plan.slot):
                raise _changed(self.stream)
            s = plan.slot[number]
            if part.weights is not None:
                s = np.where(part.weights == 0, -1, s)
            rows = np.flatnonzero(s >= 0)
            rows = rows[np.argsort(s[rows], kind="stable")]
            s, counts = s[rows], np.bincount(s[rows], minlength=len(cursor))
            place = plan.offsets[s] + cursor[s] + ranks(counts)
            cursor += counts
            if (cursor > np.diff(plan.offsets)).any():
                raise _changed(self.stream)
            first += part.rows
            if not len(rows):  # all of weight zero, or of sets that are dropped
                continue
            w = None if part.weights is None else np.asarray(part.weights[rows], np.float64)
            x = part.x if hasattr(part.x, "tocsr") else np.asarray(part.x)
            yield _Placed(x[rows], s, place, first - part.rows + rows, w)
        if (cursor != np.diff(plan.offsets)).any():
            raise _changed(self.stream)

    def _write_atoms(self, folder: Path, plan: _Plan, projection: Projection | None) -> AtomSpace:
        """Write atoms and weights to their places; return the kind of the atoms."""
        order = None if projection is None else projection.for_genes(self.stream.features)
        features = self.stream.features if projection is None else projection.features
        kept = plan.slot >= 0
        weighted = bool(plan.tally.unequal()[kept].any())
        total, kinds = plan.tally.total[kept], set[AtomSpace]()
        with AtomFiles(folder, plan.offsets, weighted, self._stored_type) as files:
            for part in self._placed(plan):
                x = part.x if order is None else part.x[:, order]
                x = projection(x) if projection is not None else self._dense(x, plan.width)
                masks = self.masked and x.dtype.kind == "f"
                filled = np.where(np.isnan(x), 0, x) if masks else x
                if self.space is not None:
                    self.space.check(filled)
                else:
                    kinds.add(kind_of(Observations(x, features=features)))
                if not all_finite(filled, _LARGEST):
                    raise missing_value(filled, part.row, plan.ids[part.set], features, _LARGEST)
                files.write(part.place, x, None if part.w is None else part.w / total[part.set])
            files.check_rounding(features)
        if self.space is not None:
            return with_missing(self.space, "mask") if self.masked else self.space
        # whole numbers in all parts are counts, and a fraction in any part makes vectors
        space = kinds.pop() if len(kinds) == 1 and projection is None else Vectors()
        say_kind(space)
        return with_missing(space, "mask") if self.masked else space

    def _dense(self, x: Any, width: int) -> np.ndarray:
        """Return atoms as they are stored: dense, channels first, sequences padded."""
        dense: np.ndarray = x.toarray() if hasattr(x, "toarray") else x
        if isinstance(self.space, Tokens):
            return np.pad(dense, ((0, 0), (0, width - dense.shape[1])))
        if dense.ndim == 4:
            return np.asarray(channels_first(Observations(dense)).x)
        return dense

    def _stored_type(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the smallest type that a batch is read from without loss."""
        if isinstance(self.space, Tokens):
            return np.min_scalar_type(self.space.facts["vocab"])
        small = dtype.kind in "biu" and dtype.itemsize <= 2 or dtype.char == "e"
        kept = small and self.stream.one_type and self.stream.features is None
        return dtype if kept else np.dtype(np.float32)


def _changed(stream: Stream) -> ValueError:
    name = stream.files[0] if stream.files else "in memory"
    return ValueError(
        f"The source {name} has other rows than when they were counted: it changed while it was "
        "read. Build the store again when nothing writes to it."
    )
