"""`Sets`: many sets over one table of observations, read when they are asked for.

Set s owns `rows[offsets[s] : offsets[s + 1]]` of the observations. Nothing is copied when a
collection is selected from, split or mixed: only row numbers and weights move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.spaces import Vectors
from distembed.protocols import AtomSpace
from distembed.rng import Rng
from distembed.sets.draw import ranks, without_replacement
from distembed.sets.split import split

__all__ = ["Sets"]

_ROWS = 65_536


@dataclass(frozen=True, eq=False, repr=False)
class Sets:
    """S sets of atoms; a `Collection`.

    Attributes:
        observations: The table that holds the atoms, in memory, mapped or sparse.
        rows: Rows of the table, set after set, `(N,)` int64; sets may share rows.
        offsets: Where each set starts and ends, `(S + 1,)` int64.
        ids: Name of each set, `(S,)` strings, unique.
        w: Weights, `(N,)` float64, those of each set summing to one; None if they are equal.
        meta: Columns of metadata, each `(S,)`.
        dtype: Type of the atoms in a batch: float32 whatever the table holds, unless float64 or,
            for tokens, int64 is asked for with `dataclasses.replace(sets, dtype=...)`.
        atoms: The kind of atoms.

    Raises:
        ValueError: If lengths do not agree, a set is empty, ids repeat, or weights are negative,
            not finite or do not sum to one.

    Example:
        >>> from distembed.sets.construct import by_label
        >>> obs = Observations(np.arange(4.0)[:, None], {"who": np.array(["b", "a", "b", "a"])})
        >>> sets = by_label(obs, "who")
        >>> sets.batch([1]).x.tolist()
        [[1.0], [3.0]]
    """

    observations: Observations
    rows: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray
    w: np.ndarray | None = None
    meta: Mapping[str, np.ndarray] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    atoms: AtomSpace = field(default_factory=Vectors)

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.ids) + 1 or self.offsets[-1] != len(self.rows):
            raise ValueError(
                f"There are {len(self.ids)} ids, {len(self.offsets)} offsets and "
                f"{len(self.rows)} rows; offsets run from 0 to the number of rows, one more than "
                "there are sets."
            )
        if not len(self.ids):
            raise ValueError("There is no set; a collection needs at least one.")
        if (self.sizes <= 0).any():
            raise ValueError(
                f"Set '{self.ids[np.argmax(self.sizes <= 0)]}' is empty; drop it, or raise "
                "min_size where the sets are made."
            )
        names, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"The id '{names[np.argmax(counts)]}' names more than one set.")
        if self.w is not None:
            self._check_weights(self.w)
        for name, column in self.meta.items():
            if column.shape != self.ids.shape:
                raise ValueError(
                    f"Metadata {name!r} has shape {column.shape}; there are {len(self)} sets, and "
                    "a column holds one value a set."
                )

    @classmethod
    def from_batch(cls, batch: SetBatch) -> Sets:
        """Hold the sets of a batch, named by their numbers."""
        x, w = batch.x.detach().cpu(), batch.w.detach().cpu().double().numpy()
        sizes = batch.sizes.cpu().numpy()
        return cls(
            Observations(x.numpy(), {}),
            np.arange(len(x)),
            batch.offsets.cpu().numpy(),
            np.arange(len(batch)).astype(str),
            None if np.allclose(w * np.repeat(sizes, sizes), 1) else w,
            dtype=x.dtype,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        low, middle, high = np.percentile(self.sizes, [0, 50, 100]).astype(int)
        meta = f", metadata {', '.join(self.meta)}" if self.meta else ""
        return (
            f"Sets({len(self)} sets of {low} to {high} atoms (median {middle}) of shape "
            f"{self.event_shape}{', weighted' if self.weighted else ''}{meta})"
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
        """Read some sets, whole or at most m atoms of each.

        Atoms are drawn as by `SetBatch.subsample`: none comes twice. A draw reads the drawn atoms
        only.

        Args:
            indices: Which sets, `(B,)`, in this order.
            m: Atoms wanted of each set; all where left out.
            rng: Source of the draw.

        Raises:
            ValueError: If an atom is NaN or infinite, or `m` is given without `rng`.
        """
        index = np.asarray(indices, np.int64)
        start, sizes = self.offsets[index], self.sizes[index]
        if m is not None and rng is None:
            raise ValueError(f"m = {m} atoms are to be drawn, but from no rng; give one.")
        if m is not None and m < 1:
            raise ValueError(f"m = {m}; a set needs at least one atom.")
        if m is None or rng is None or (sizes <= m).all():
            where = _spans(start, sizes)
            return self._read(where, sizes, None if self.w is None else self.w[where])
        if self.w is None:
            counts = np.minimum(sizes, m)
            where = np.repeat(start, counts) + without_replacement(sizes, counts, rng)
            return self._read(where, counts, None)
        # draw positions instead of atoms, with the rule that SetBatch has for weights
        where = _spans(start, sizes)
        offsets = torch.from_numpy(np.concatenate([[0], sizes.cumsum()]))
        w = torch.from_numpy(self.w[where])
        drawn = SetBatch(torch.from_numpy(where), w, offsets).subsample(m, rng)
        return self._read(drawn.x.numpy(), drawn.sizes.numpy(), drawn.w.numpy())

    def chunks(self, index: int, rows: int) -> Iterator[SetBatch]:
        """Read set `index` in pieces of at most `rows` atoms.

        Weights stay fractions of the set, so that those of all pieces together sum to one.

        Raises:
            ValueError: If an atom is NaN or infinite, or `rows` is not positive.
        """
        if rows < 1:
            raise ValueError(f"rows = {rows}; a piece holds at least one atom.")
        start, stop = self.offsets[index], self.offsets[index + 1]
        for low in range(start, stop, rows):
            where = np.arange(low, min(low + rows, stop))
            w = np.full(len(where), 1 / (stop - start)) if self.w is None else self.w[where]
            yield self._read(where, np.array([len(where)]), w)

    def checked(self) -> Sets:
        """Return these sets after looking once at all atoms that are in memory.

        What is mapped from disk is looked at when it is read, as is every batch.

        Raises:
            ValueError: If an atom is NaN or infinite.
        """
        x = self.observations.x
        if (
            isinstance(x, np.memmap)
            or np.isfinite(x.data if self.observations.sparse else x).all()
        ):
            return self
        for s in range(len(self)):  # what is not finite may be in rows that no set has
            for _ in self.chunks(s, 65_536):
                pass
        return self

    def _read(self, where: np.ndarray, sizes: np.ndarray, w: np.ndarray | None) -> SetBatch:
        """Pack the atoms at positions `where`, those of the b-th set being `sizes[b]` of them."""
        table, rows = self.observations.x, self.rows[where]
        # take is four times as fast as indexing here, and reads no more of a map
        x = table[rows].toarray() if self.observations.sparse else np.asarray(table.take(rows, 0))
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            self._refuse_missing(x, where)
        if w is None:
            w = np.repeat(1 / sizes, sizes)
        weight_dtype = self.dtype if self.dtype.is_floating_point else torch.float32
        return SetBatch(
            torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype),
            torch.from_numpy(w).to(weight_dtype),
            torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
        )

    # -- choosing -------------------------------------------------------------------------------

    def select(self, which: Sequence[int] | Sequence[str] | slice | np.ndarray) -> Sets:
        """Return some of the sets: by id or number, in the given order, or by a mask `(S,)`.

        Strings are ids, integers are numbers, and booleans are a mask.

        Raises:
            IndexError: If there is no set of a number.
            ValueError: If nothing is selected, a set is named twice or is not there, a mask has
                another length, or `which` is none of these.
        """
        chosen = self._positions(which)
        where = _spans(self.offsets[chosen], self.sizes[chosen])
        return replace(
            self,
            rows=self.rows[where],
            offsets=np.concatenate([[0], self.sizes[chosen].cumsum()]),
            ids=self.ids[chosen],
            w=None if self.w is None else self.w[where],
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

        See `distembed.sets.split.split`, which this calls.

        Raises:
            ValueError: As it does, and if a column is named where the sets have none.
        """
        column = stratify or group
        if column and not self.meta:
            raise ValueError(
                f"The sets have no metadata columns, and so no {column!r} to split by. Keep one "
                f"of the data with data.meta={column} (meta= in Python), or join a table that "
                "has a row a set with data.metadata=FILE (metadata= in Python)."
            )
        return split(self, test, rng=rng, stratify=stratify, group=group)

    def with_meta(self, columns: Mapping[str, Sequence[object] | np.ndarray]) -> Sets:
        """Return the same sets with more columns of metadata, each `(S,)`.

        Raises:
            ValueError: If a column has another length.
        """
        return replace(self, meta={**self.meta, **{k: np.asarray(v) for k, v in columns.items()}})

    # -- private --------------------------------------------------------------------------------

    def _positions(self, which: Sequence[int] | Sequence[str] | slice | np.ndarray) -> np.ndarray:
        if isinstance(which, slice):
            which = range(len(self))[which]
        chosen = np.atleast_1d(np.asarray(which))
        if chosen.dtype == bool:
            if chosen.shape != self.ids.shape:
                raise ValueError(f"The mask has shape {chosen.shape}; there are {len(self)} sets.")
            return np.flatnonzero(chosen)
        # numbers beside strings have become strings in the array
        given = list(which) if isinstance(which, Sequence) else chosen.ravel().tolist()
        if given and all(isinstance(name, str) for name in given):
            names = chosen.ravel().tolist()
            refuse_unknown(names, self.ids.tolist(), "set")
            position = {name: s for s, name in enumerate(self.ids.tolist())}
            return np.array([position[name] for name in names])
        if chosen.ndim != 1 or len(chosen) and chosen.dtype.kind not in "iu":
            raise ValueError(
                f"{which!r} is of type {chosen.dtype} and shape {chosen.shape}; sets are chosen "
                "with a list of ids (strings), of numbers (integers), or a mask (booleans), one "
                "for each set."
            )
        outside = (chosen < -len(self)) | (chosen >= len(self))
        if outside.any():
            raise IndexError(
                f"There is no set {chosen[np.argmax(outside)]}: {len(self)} sets are numbered "
                f"from 0 to {len(self) - 1}. Ids are strings, as in select(['{self.ids[0]}'])."
            )
        positions: np.ndarray = np.arange(len(self))[chosen.astype(np.int64)]
        return positions

    def _check_weights(self, w: np.ndarray) -> None:
        if w.shape != self.rows.shape or not np.isfinite(w).all() or (w < 0).any():
            raise ValueError(
                f"Weights of shape {w.shape} for {len(self.rows)} atoms: there is one an atom, "
                "finite and not negative."
            )
        total = np.add.reduceat(w, self.offsets[:-1])
        if not np.allclose(total, 1, rtol=1e-6):
            s = int(np.argmax(np.abs(total - 1)))
            raise ValueError(f"Weights of set '{self.ids[s]}' sum to {total[s]:.6g}, not one.")

    def _refuse_missing(self, x: np.ndarray, where: np.ndarray) -> None:
        atom, *place = np.argwhere(~np.isfinite(x))[0]
        name = self.ids[np.searchsorted(self.offsets, where[atom], side="right") - 1]
        feature = repr(self.features[place[0]]) if self.features else f"{tuple(map(int, place))}"
        raise ValueError(
            f"Set '{name}' holds {x[(atom, *place)]} in feature {feature}, row "
            f"{self.rows[where[atom]]} of the observations. Drop or impute it first: a missing "
            "value is not a sample."
        )


def _spans(start: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Concatenate the ranges `start[b] : start[b] + sizes[b]`."""
    positions: np.ndarray = np.repeat(start, sizes) + ranks(sizes)
    return positions
