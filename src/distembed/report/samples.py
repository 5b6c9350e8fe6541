"""Atoms of held-out sets, atoms that a model draws for them, and atoms along a path of embeddings.

The sets of a report are selected by `plane.spread_along`, at even ranks along the first principal
axis, and not by the quality of their samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.data.features import match_columns
from distembed.data.observations import refuse_unknown
from distembed.rng import stream

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = [
    "Between",
    "Pair",
    "Path",
    "interpolate",
    "large_sets",
    "read_pairs",
    "set_row",
    "set_rows",
]

Between = Mapping[str, np.ndarray] | tuple[str, str]
"""Two ends of an interpolation: `{name: z}` of two, or the ids of two sets."""


@dataclass(frozen=True)
class Pair:
    """Atoms of a set and atoms drawn from its embedding, `(n, *event)` in the user's units."""

    id: str
    real: np.ndarray
    generated: np.ndarray


@dataclass(frozen=True)
class Path:
    """Samples along the line from one embedding to another.

    Attributes:
        names: The two ends.
        samples: `(T, n, *event)`, drawn with the same noise at every step.
        real: Atoms of the two ends, each `(n, *event)`; None if the ends are not sets.
        displaced: Samples of the first end on straight lines to those of the last that an optimal
            coupling assigns to them, `(T, n, *event)`; None if not asked for.
    """

    names: tuple[str, str]
    samples: np.ndarray
    real: tuple[np.ndarray, np.ndarray] | None
    displaced: np.ndarray | None = None


def read_pairs(
    model: GDE, test: Collection, embeddings: Embeddings, rows: np.ndarray, m: int
) -> list[Pair]:
    """Read up to m atoms of each set in `rows`, and draw as many from its embedding."""
    pairs = []
    for i in rows.tolist():
        real = _real_atoms(model, test, i, m)
        size = embeddings.effective_sizes[i]
        generated = model.sample(embeddings.z[i], len(real), rng=0, effective_sizes=size)
        pairs.append(Pair(str(embeddings.ids[i]), real, generated))
    return pairs


def interpolate(
    model: GDE,
    test: Collection,
    embeddings: Embeddings,
    between: Between | None,
    *,
    steps: int,
    n: int,
    coupled: int = 0,
) -> Path:
    """Draw n atoms at each of `steps` points on the line between two embeddings.

    Args:
        model: The model.
        test: The sets.
        embeddings: Embeddings of these sets.
        between: The ends; by default the two sets of `set_rows`.
        steps: Number of points, both ends included.
        n: Number of atoms at each.
        coupled: Number of atoms at either end that are coupled for the displacement; 0 for none.

    Raises:
        ValueError: If there are not two ends, or an id is not among the sets.
    """
    if between is not None and len(between) != 2:
        raise ValueError(
            f"between has {len(between)} ends, but an interpolation has two: the ids of two sets, "
            "or {name: z} of two vectors."
        )
    if isinstance(between, Mapping):
        names = [str(name) for name in between]
        ends: list[Any] = list(between.values())
        real = None
    else:
        rows = set_rows(embeddings, between)
        names = [str(embeddings.ids[i]) for i in rows]
        ends = [embeddings.z[i] for i in rows]
        first, last = (_real_atoms(model, test, i, n) for i in rows)
        real = (first, last)
    path = model.interpolate(ends[0], ends[1], steps=steps)
    samples = np.stack([np.asarray(model.sample(z, n, rng=0)) for z in path])
    displaced = _displaced(model, path, n, coupled) if coupled else None
    return Path((names[0], names[1]), samples, real, displaced)


def _displaced(model: GDE, path: np.ndarray, n: int, coupled: int) -> np.ndarray:
    """Move n samples of the first point to the last along an optimal coupling of `coupled`."""
    from distembed.batch import SetBatch
    from distembed.geometry.displacement import sample_path

    first, last = (
        SetBatch.from_list([np.asarray(model.sample(z, coupled, rng=0))])
        for z in (path[0], path[-1])
    )
    moved = sample_path(first, last, np.linspace(0, 1, len(path)))
    return np.asarray(moved.x).reshape(len(path), -1, *moved.event_shape)[:, :n]


def set_rows(embeddings: Embeddings, between: Between | None) -> tuple[int, int]:
    """Return the rows of two sets, by default of the two that are farthest apart.

    The default is among sets of at least the median effective size, because the embeddings of the
    smallest sets have the largest sampling error, or else the two largest sets. Of more than 1,000
    such sets, every k-th is considered.

    Raises:
        ValueError: If an id is not among the sets, or there is a single set.
    """
    if between is not None and not isinstance(between, Mapping):
        first, last = between
        return set_row(embeddings.ids, first), set_row(embeddings.ids, last)
    if len(embeddings) < 2:
        raise ValueError("There is a single set; a path or a change is between two.")
    rows = large_sets(embeddings)
    rows = rows[:: max(1, len(rows) // 1000)]
    z = np.asarray(embeddings.z, dtype=float)[rows]
    square = (z**2).sum(1)
    a, b = np.unravel_index(np.argmax(square[:, None] + square - 2 * z @ z.T), (len(z), len(z)))
    return int(rows[a]), int(rows[b])


def large_sets(embeddings: Embeddings, least: int = 2) -> np.ndarray:
    """Return the rows of the sets of at least the median effective size, and at least so many.

    Example:
        >>> from types import SimpleNamespace
        >>> large_sets(SimpleNamespace(effective_sizes=np.array([9.0, 5.0]))).tolist()
        [0, 1]
    """
    sizes = np.asarray(embeddings.effective_sizes, dtype=float)
    chosen = sizes >= np.median(sizes)
    chosen[np.argsort(-sizes, kind="stable")[:least]] = True
    return np.flatnonzero(chosen)


def _real_atoms(model: GDE, test: Collection, index: int, m: int) -> np.ndarray:
    """Read at most m atoms `(n, *event)` of a set, features in the order of the model.

    Unequal weights become frequencies.
    """
    import torch

    rng = stream("report", "atoms", index)
    batch = test.batch([index], None if test.weighted else m, rng)
    if batch.equal is None:
        rows = torch.multinomial(batch.w.double(), m, replacement=True, generator=rng)
        x = np.asarray(batch.x[rows])
    else:
        x = np.asarray(batch.subsample(m, rng).x)
    columns = match_columns(model.features, test.features)
    return x if columns is None else x[:, columns]


def set_row(ids: np.ndarray, name: str) -> int:
    """Return the row of a set.

    Raises:
        ValueError: If there is no set of this name.
    """
    names = np.asarray(ids).astype(str)
    refuse_unknown([name], names.tolist(), "set")
    return int(np.flatnonzero(names == name)[0])
