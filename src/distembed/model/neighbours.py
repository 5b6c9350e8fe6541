"""Exact optimal transport where embeddings have narrowed the choice: neighbours, and few pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.divergences.exact import Distance, pairwise_w2
from distembed.geometry.distance import latent_distances
from distembed.geometry.remainder import add_remainders
from distembed.model.engine import InferenceEngine
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["ExactSettings", "Neighbours", "Source", "decoded_w2", "exact_top_k"]

Source = tuple[Collection, InferenceEngine]
"""Sets, and the engine that reads them."""


@dataclass(frozen=True)
class ExactSettings:
    """Settings of exact optimal transport between sets.

    Attributes:
        atoms: At most so many atoms of a set, drawn at random.
        seed: Seed of the draw.
        rows: Sets whose distances to all others are held at a time.
    """

    atoms: int = 256
    seed: int = 0
    rows: int = 256


@dataclass(frozen=True)
class Neighbours:
    """The nearest sets, the nearest first.

    Attributes:
        index: Their row numbers, `(S, k)`.
        w2: Their exact W2 in the model's ground space, on the atoms, `(S, k)`.
    """

    index: NDArray[np.int64]
    w2: NDArray[np.float64]


def decoded_w2(
    a: NDArray[Any], b: NDArray[Any] | None = None, distance: Distance | None = None
) -> NDArray[np.float64]:
    """Return exact W2 between all pairs of dense sets `(A, n, *event)`, `(B, n, *event)`.

    The distance of two atoms is Euclidean unless another is given.
    """
    first = _dense(a)
    out = np.zeros((len(a), len(a) if b is None else len(b)))
    if b is None:
        pairs = torch.combinations(torch.arange(len(a)))
        i, j = pairs.numpy().T
        out[i, j] = out[j, i] = pairwise_w2(first, pairs, distance=distance).numpy()
        return out
    both = SetBatch.concat([first, _dense(b)])
    pairs = torch.cartesian_prod(torch.arange(len(a)), len(a) + torch.arange(len(b)))
    return pairwise_w2(both, pairs, distance=distance).numpy().reshape(out.shape)


def _dense(x: NDArray[Any]) -> SetBatch:
    """Return dense sets as a batch, of numbers in float64 and of tokens as they are."""
    return SetBatch.from_dense(torch.from_numpy(x)).to(dtype=torch.float64)


def exact_top_k(
    sets: Source,
    others: Source | None,
    k: int,
    candidates: int | None = None,
    settings: ExactSettings | None = None,
    distance: Distance | None = None,
) -> Neighbours:
    """Rank the nearest sets by z anew, by exact W2 between their atoms in the ground space.

    Args:
        sets: S sets.
        others: The sets among which neighbours are searched; `sets` if None, where a set is not
            a neighbour of itself.
        k: Number of neighbours.
        candidates: Number of nearest sets by z; 5 k, or all if there are fewer, if left out.
        settings: Settings of the comparison.
        distance: The distance of two atoms; Euclidean if left out.

    Raises:
        ValueError: If `k < 1`, or there are fewer candidates than k, or fewer other sets.
    """
    settings = settings or ExactSettings()
    z = _embed(sets)
    pool = z if others is None else _embed(others)
    available = len(pool) - (others is None)
    chosen = min(5 * k, available) if candidates is None else candidates
    if not 1 <= k <= chosen <= available:
        raise ValueError(
            f"k = {k} neighbours of {chosen} candidates among {available} sets: expected "
            "1 <= k <= candidates <= the number of other sets."
        )
    nearest = _nearest(
        z,
        None if others is None else pool,
        chosen,
        settings.rows,
        sets[1].network.traits.remainder,
    )
    atoms = _ground_atoms(sets, settings, "sets")
    if others is not None:
        target = _ground_atoms(others, settings, "others")
        atoms = SetBatch.concat([atoms, target])
    start = 0 if others is None else len(z)
    rows = np.repeat(np.arange(len(z)), chosen)
    pairs = np.sort(np.stack([rows, start + nearest.ravel()], 1), axis=1)
    # two sets that are candidates of each other are one problem
    problems, number = np.unique(pairs, axis=0, return_inverse=True)
    problem_pairs = torch.from_numpy(problems)
    w2 = pairwise_w2(atoms, problem_pairs, distance=distance).double().numpy()[number]
    w2 = w2.reshape(nearest.shape)
    order = np.argsort(w2, axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(nearest, order, 1), np.take_along_axis(w2, order, 1))


def _nearest(
    z: NDArray[np.float32],
    others: NDArray[np.float32] | None,
    count: int,
    rows: int,
    remainder: bool = False,
) -> NDArray[np.int64]:
    """Return the row numbers of the nearest embeddings, the nearest first, `(S, count)`."""
    out = np.empty((len(z), count), dtype=np.int64)
    for start in range(0, len(z), rows):
        part = slice(start, start + rows)
        pool = z if others is None else others
        distances = latent_distances(z[part], pool)
        if remainder:
            distances = add_remainders(distances**2, z[part, -1:], pool[:, -1])
        if others is None:
            own = np.arange(len(distances))
            distances[own, start + own] = np.inf
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, nearest, 1), axis=1, kind="stable")
        out[part] = np.take_along_axis(nearest, order, 1)
    return out


def _embed(source: Source) -> NDArray[np.float32]:
    collection, engine = source
    return engine.embed(collection)[0]


def _ground_atoms(source: Source, settings: ExactSettings, name: str) -> SetBatch:
    """Read at most so many atoms of each set, transformed to the model's ground space."""
    collection, engine = source
    rng = stream(settings.seed, "exact", name)
    batch = engine.subsample(collection, range(len(collection)), settings.atoms, rng)
    ground: SetBatch = engine.network.to_ground(batch).to("cpu", torch.float64)
    return ground
