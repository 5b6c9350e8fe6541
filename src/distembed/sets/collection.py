"""`Sets`: many sets over one table of observations, which are read on demand.

Set s owns `rows[offsets[s] : offsets[s + 1]]` of the observations. Nothing is copied when sets of
a collection are selected, split or mixed: only row numbers and weights are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.data.file_rows import FileRows
from distembed.data.mapped import take
from distembed.data.observations import Observations, portable_type, refuse_unknown
from distembed.data.recognise import recognise
from distembed.data.spaces import Vectors, as_space, with_missing
from distembed.protocols import AtomSpace
from distembed.rng import Rng
from distembed.sets.checks import (
    all_finite,
    check_layout,
    check_metadata,
    check_weights,
    missing_value,
)
from distembed.sets.draw import ranks, without_replacement
from distembed.sets.positions import Choice, positions
from distembed.sets.precision import check_rounding
from distembed.sets.ranges import Ranges, rows_of
from distembed.sets.split import split

__all__ = ["Sets"]


@dataclass(frozen=True, eq=False, repr=False)
class Sets:
    """S sets of atoms; a `Collection`.

    Attributes:
        observations: The table that holds the atoms, in memory, mapped or sparse.
        rows: Rows of the table, set after set, `(N,)` int64; sets may share rows. `Ranges` where
            each set is a range of rows.
        offsets: Where each set starts and ends, `(S + 1,)` int64.
        ids: Name of each set, `(S,)` strings, unique.
        w: Weights, `(N,)` float64, those of each set summing to one; None if they are equal.
            Those that are `Ranges` of a file are trusted.
        meta: Columns of metadata, each `(S,)`.
        atoms: The kind of atoms, which decides their type in a batch.
        double: Whether numbers are read as float64, and not as float32.
        group: Column of metadata whose values `split` does not divide unless another is named,
            such as the donor of the samples of a hierarchy.
        recipe: How the sets were made, for the card of a model that is fitted to them.

    Raises:
        ValueError: If lengths do not agree, a set is empty, ids repeat, weights are negative,
            not finite or do not sum to one, or tokens are to be read as float64.

    Example:
        >>> from distembed.sets.construct import by_label
        >>> obs = Observations(np.arange(4.0)[:, None], {"who": np.array(["b", "a", "b", "a"])})
        >>> sets = by_label(obs, "who")
        >>> sets.batch([1]).x.tolist()
        [[1.0], [3.0]]
    """

    observations: Observations
    rows: np.ndarray | Ranges
    offsets: np.ndarray
    ids: np.ndarray
    w: np.ndarray | Ranges | None = None
    meta: Mapping[str, np.ndarray] = field(default_factory=dict)
    atoms: AtomSpace = field(default_factory=Vectors)
    double: bool = False
    group: str | None = None
    recipe: str = ""

    def __post_init__(self) -> None:
        check_layout(self.ids, self.rows, self.offsets)
        if isinstance(self.w, np.ndarray):  # a file of weights is not read for this
            check_weights(self.w, self.ids, self.offsets)
        check_metadata(self.meta, len(self.ids))
        refuse_unknown([self.group] if self.group else [], self.meta, "metadata column")
        if self.double and not self.atoms.dtype.is_floating_point:
            raise ValueError(
                f"Atoms are {self.atoms.name}, which are {self.atoms.dtype}; only numbers are "
                "read as float64. Leave `double` out."
            )

    @classmethod
    def from_batch(
        cls, batch: SetBatch, atoms: str | Mapping[str, Any] | AtomSpace | None = None
    ) -> Sets:
        """Hold the sets of a batch, named by their numbers.

        Args:
            batch: The sets.
            atoms: The kind of atoms; recognised where left out (`distembed.data.recognise`).

        Raises:
            ValueError: If the atoms are not of the kind.
        """
        x, w = batch.with_nan.detach().cpu(), batch.w.detach().cpu().double().numpy()
        sizes = batch.sizes.cpu().numpy()
        observations = Observations(x.numpy())
        space = recognise(observations) if atoms is None else as_space(atoms)
        if batch.observed is not None:
            space = with_missing(space, "mask")
        sets = cls(
            observations,
            Ranges(batch.offsets[:-1].cpu().numpy(), batch.offsets.cpu().numpy()),
            batch.offsets.cpu().numpy(),
            np.arange(len(batch)).astype(str),
            None if np.allclose(w * np.repeat(sizes, sizes), 1) else w,
            atoms=space,
            double=x.dtype == torch.float64 and space.dtype.is_floating_point,
        )
        return sets.checked()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        low, middle, high = np.percentile(self.sizes, [0, 50, 100]).astype(int)
        kind = "" if self.atoms.name == "vectors" else f", {self.atoms.name}"
        meta = f", metadata {', '.join(self.meta)}" if self.meta else ""
        some = f"{low} to {high} atoms (median {middle})"
        same = f"{low} {'atom' if low == 1 else 'atoms'}"
        return (
            f"Sets({len(self)} {'set' if len(self) == 1 else 'sets'} of "
            f"{same if low == high else some} of shape "
            f"{self.event_shape}{kind}{', weighted' if self.weighted else ''}{meta})"
        )

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each set, `(S,)` int64."""
        return np.diff(self.offsets)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom."""
        return self.observations.event_shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the atoms in a batch: that of their kind, or float64 if `double`."""
        return torch.float64 if self.double else self.atoms.dtype

    @property
    def _largest(self) -> float:
        """The largest number of a batch; a larger one would become infinite."""
        return torch.finfo(self.dtype).max if self.dtype.is_floating_point else np.inf

    @property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features where atoms are vectors with names."""
        return self.observations.features

    @property
    def weighted(self) -> bool:
        """Whether any set has unequal weights."""
        return self.w is not None

    # -- reading --------------------------------------------------------------------------------

    def batch(
        self, indices: Sequence[int], m: int | None = None, rng: torch.Generator | None = None
    ) -> SetBatch:
        """Read sets, with all atoms or at most m atoms of each.

        Atoms are drawn as by `SetBatch.subsample`: none comes twice. A draw reads the drawn atoms
        only.

        Args:
            indices: Numbers of the sets, `(B,)`, in this order.
            m: Most atoms of each set; all where left out.
            rng: Source of the draw.

        Raises:
            ValueError: If an atom is NaN or infinite, or `m` is given without `rng`.
        """
        index = np.asarray(indices, np.int64)
        start, sizes = self.offsets[index], self.sizes[index]
        if m is not None and rng is None:
            raise ValueError(f"m = {m} atoms are to be drawn, but there is no rng; pass one.")
        if m is not None and m < 1:
            raise ValueError(f"m = {m}; a set needs at least one atom.")
        if m is None or rng is None or (sizes <= m).all():
            where = _spans(start, sizes)
            return self._read(where, sizes, None if self.w is None else self.w[where])
        if self.w is None:
            counts = np.minimum(sizes, m)
            where = np.repeat(start, counts) + without_replacement(sizes, counts, rng)
            return self._read(where, counts, None)
        # draw positions instead of atoms, by the rule of SetBatch for weights
        where = _spans(start, sizes)
        offsets = torch.from_numpy(np.concatenate([[0], sizes.cumsum()]))
        w = torch.from_numpy(self.w[where])
        drawn = SetBatch(torch.from_numpy(where), w, offsets).subsample(m, rng)
        return self._read(drawn.x.numpy(), drawn.sizes.numpy(), drawn.w.numpy())

    def chunks(self, index: int, rows: int, part: int = 0, parts: int = 1) -> Iterator[SetBatch]:
        """Read set `index` in pieces of at most `rows` atoms.

        Weights stay fractions of the set, so that those of all pieces together sum to one.

        Args:
            index: Number of the set.
            rows: Most atoms of a piece.
            part: Number of the first piece that is read.
            parts: Every `parts`-th piece is read, from that one on.

        Raises:
            ValueError: If an atom is NaN or infinite, or `rows` is not positive.
        """
        if rows < 1:
            raise ValueError(f"rows = {rows}; a piece holds at least one atom.")
        start, stop = self.offsets[index], self.offsets[index + 1]
        for low in range(start + part * rows, stop, parts * rows):
            where = np.arange(low, min(low + rows, stop))
            w = np.full(len(where), 1 / (stop - start)) if self.w is None else self.w[where]
            yield self._read(where, np.array([len(where)]), w)

    def checked(self) -> Sets:
        """Return these sets after checking the values of all atoms that are in memory.

        Atoms that stay in files are checked for missing values in every batch, and not for their
        kind.

        Raises:
            ValueError: If an atom is NaN or infinite, is not of the kind, or a feature is lost in
                float32 (`distembed.sets.precision`).
        """
        x = self.observations.x
        if isinstance(x, np.memmap | FileRows):
            check_rounding(self.observations, self.rows, self.offsets)
            return self
        # the stored values of a sparse matrix are all that is not zero
        values = x.data[:, None] if self.observations.sparse else x
        if self.atoms.masked:  # the kind is one of single values, whose shape is not checked
            values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        if values.dtype.kind != "f" or all_finite(values, self._largest):
            self.atoms.check(values)
            if not self.double:
                check_rounding(self.observations, self.rows, self.offsets)
            return self
        for s in range(len(self)):  # a row that is not finite may belong to no set
            for _ in self.chunks(s, 65_536):
                pass
        return self

    def _read(self, where: np.ndarray, sizes: np.ndarray, w: np.ndarray | None) -> SetBatch:
        """Pack the atoms at positions `where`, of which the b-th set has `sizes[b]`."""
        table, rows = self.observations.x, self.rows[where]
        x = table[rows].toarray() if self.observations.sparse else take(table, rows)
        x = x.astype(portable_type(x.dtype), copy=False)
        observed = None
        if self.atoms.masked and x.dtype.kind == "f":
            observed = ~np.isnan(x)
            x = np.where(observed, x, 0)
        if x.dtype.kind == "f" and not all_finite(x, self._largest):
            owners = self.ids[np.searchsorted(self.offsets, where, side="right") - 1]
            raise missing_value(x, rows, owners, self.features, self._largest)
        if w is None:
            w = np.repeat(1 / sizes, sizes)
        return SetBatch(
            torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype),
            torch.from_numpy(w).to(torch.float64 if self.double else torch.float32),
            torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
            None if observed is None else torch.from_numpy(observed),
        )

    # -- choosing -------------------------------------------------------------------------------

    def select(self, which: Choice) -> Sets:
        """Return a part of the sets: by id or number, in the given order, or by a mask `(S,)`.

        Strings are ids, integers are numbers, and booleans are a mask.

        Raises:
            IndexError: If there is no set of a number.
            ValueError: If nothing is selected, a set is named twice or is not there, a mask has
                another length, or `which` is none of these.
        """
        chosen = positions(which, self.ids)
        return replace(
            self,
            rows=rows_of(self.rows, self.offsets, chosen),
            offsets=np.concatenate([[0], self.sizes[chosen].cumsum()]),
            ids=self.ids[chosen],
            w=None if self.w is None else rows_of(self.w, self.offsets, chosen),
            meta={name: column[chosen] for name, column in self.meta.items()},
        )

    def split(
        self,
        test: float | int = 0.2,
        *,
        rng: Rng = 0,
        stratify: str | None = None,
        group: str | None = None,
    ) -> tuple[Sets, Sets]:
        """Divide the sets, never the atoms of one, into a training and a test part.

        See `distembed.sets.split.split`, which this calls, with the group of these sets where
        none is named.

        Raises:
            ValueError: As it does, and if a column is named where the sets have none.
        """
        column = stratify or group
        if column and not self.meta:
            raise ValueError(
                f"The sets have no metadata columns, and so no {column!r} to split by. Keep one "
                f"of the data with meta (on the command line data.meta={column}), or join a "
                "table that has a row a set with metadata (data.metadata=FILE)."
            )
        return split(self, test, rng=rng, stratify=stratify, group=group or self.group)

    def with_meta(self, columns: Mapping[str, Sequence[object] | np.ndarray]) -> Sets:
        """Return the same sets with more columns of metadata, each `(S,)`.

        Raises:
            ValueError: If a column has another length.
        """
        return replace(self, meta={**self.meta, **{k: np.asarray(v) for k, v in columns.items()}})


def _spans(start: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Concatenate the ranges `start[b] : start[b] + sizes[b]`."""
    ranges: np.ndarray = np.repeat(start, sizes) + ranks(sizes)
    return ranges
