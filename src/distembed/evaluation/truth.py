r"""Reference W2 of pairs of sets: given, measured between held-out atoms, or on fresh samples.

The W2 of distributions that draw fresh atoms but have no formula is measured twice,
$\widehat W = (W^{(1)} + W^{(2)}) / 2$, each the exact W2 of n atoms a set, drawn anew for every
pair. Both are too large by about the same amount, which does not change ranks. If r is the
correlation of the two, that of their mean with the truth is $\sqrt{2 r / (1 + r)}$
(Spearman, 1910; Brown, 1910).

Arrays that take minutes to compute are cached on disk, in `$XDG_CACHE_HOME/distembed` or
`~/.cache/distembed`, under a hash of their inputs. Deleting the folder costs time only. A file
that cannot be read is computed again, and a folder that cannot be written is skipped.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.divergences.exact import ExactW2, pairwise_w2
from distembed.evaluation.baselines import affordable_atoms
from distembed.evaluation.bootstrap import spearman
from distembed.evaluation.halves import EvaluationConfig, HeldOutHalves
from distembed.files import write_atomically
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = [
    "MeasuredW2",
    "ReferenceW2",
    "cache_folder",
    "cached",
    "measured_w2",
    "random_rows",
    "reference_w2",
]

logger = logging.getLogger(__name__)

Array = NDArray[Any]


@dataclass(frozen=True)
class ReferenceW2:
    """W2 of pairs of sets.

    Attributes:
        index: The pairs, `(P, 2)`.
        w2: Their distances, `(P,)`.
        source: Origin of the distances, in words.
        exact: Whether they are those of the distributions, and not of samples.
    """

    index: Tensor
    w2: NDArray[np.float64]
    source: str
    exact: bool


def reference_w2(
    sets: HeldOutHalves, truth: Array | None, pairs: int, config: EvaluationConfig, seed: int
) -> ReferenceW2:
    """Choose pairs of sets and return their W2.

    If the truth `(S, S)` is given, the pairs are all or a random choice of `config.truth_pairs`.
    Otherwise the W2 of at most `pairs` is measured between equal subsamples of the targets, of
    sets with `config.truth_atoms` atoms there; of all sets if fewer than `config.truth_sets` have
    them.

    Raises:
        ValueError: If the truth has another shape or is not a matrix of distances.
    """
    if truth is not None:
        w2 = _checked(truth, len(sets.target))
        largest = max(pairs, config.truth_pairs)
        index = random_rows(torch.combinations(torch.arange(len(w2))), largest, seed)
        i, j = index.numpy().T
        return ReferenceW2(index, w2[i, j], "given", True)
    large = (sets.target.sizes >= config.truth_atoms).nonzero().flatten()
    enough = len(large) >= config.truth_sets
    rows = large if enough else torch.arange(len(sets.target))
    index = random_rows(torch.combinations(rows), pairs, seed)
    atoms = affordable_atoms(3 * len(index), config.transport_atoms)
    if enough:
        atoms = min(atoms, int(sets.target.sizes[rows].min()))
    size = (
        f"{atoms} atoms each"
        if enough
        else f"at most {atoms} atoms, some below {config.truth_atoms}"
    )
    subsample = sets.target.subsample(atoms, stream(seed, "truth"))
    return ReferenceW2(
        index,
        pairwise_w2(subsample, index, distance=sets.distance).double().numpy(),
        f"exact {sets.w2_name} between target halves of {len(rows)} sets, {size}",
        False,
    )


def random_rows(rows: Tensor, largest: int, seed: int) -> Tensor:
    """Return all rows of a tensor, or a random choice of the largest number."""
    if len(rows) <= largest:
        return rows
    return rows[torch.randperm(len(rows), generator=stream(seed, "pairs"))[:largest]]


@dataclass(frozen=True)
class MeasuredW2:
    """W2 measured on fresh samples.

    Attributes:
        w2: The mean of two measurements of each pair, `(P,)`.
        agreement: Their rank correlation.
    """

    w2: NDArray[np.float64]
    agreement: float


def measured_w2(
    sets: Collection, pairs: NDArray[np.int64], points: int = 800, seed: int = 0
) -> MeasuredW2:
    """Measure the W2 of pairs of distributions on fresh samples, and cache it on disk.

    Args:
        sets: Distributions that draw fresh atoms, as those of `distembed.data.synthetic` do.
        pairs: Rows of the two distributions of each pair, `(P, 2)`.
        points: Fresh atoms of both sets for each pair and measurement.
        seed: Seed of the atoms.
    """

    def measure(k: int) -> NDArray[np.float64]:
        a, b = (
            sets.batch(side.tolist(), points, stream(seed, "measured", k, part)).to(
                dtype=torch.float64
            )
            for part, side in enumerate(pairs.T)
        )
        inputs = [a.x.numpy(), b.x.numpy()]
        return cached("w2", inputs, lambda: ExactW2()(a, b).numpy())

    first, second = measure(0), measure(1)
    once = np.ones((1, len(sets)))
    return MeasuredW2((first + second) / 2, spearman(first, second, pairs, once).value)


def cache_folder() -> Path:
    """Return the folder of cached arrays, which may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "distembed"


def cached(name: str, inputs: Sequence[Array], compute: Callable[[], Array]) -> Array:
    """Return `compute()`, or its cached result for the same name and inputs.

    Args:
        name: Name of the computation; change it when the computation changes.
        inputs: All arrays that the result depends on. Their types, shapes and bytes are hashed.
        compute: Function without arguments that returns an array of numbers.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=16)
    for array in map(np.ascontiguousarray, inputs):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    file = cache_folder() / f"{name}-{digest.hexdigest()}.npy"
    try:
        stored: Array = np.load(file, allow_pickle=False)
        return stored
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s cannot be read (%s) and is computed again", file, error)
    result = compute()
    content = io.BytesIO()
    np.save(content, result, allow_pickle=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content.getvalue())
    except OSError as error:
        logger.warning("%s cannot be written: %s", file, error)
    return result


def _checked(truth: Array, sets: int) -> NDArray[np.float64]:
    w2 = np.asarray(truth, dtype=np.float64)
    if w2.shape != (sets, sets):
        raise ValueError(
            f"truth has shape {w2.shape}; expected the W2 of every pair, ({sets}, {sets})."
        )
    if not np.isfinite(w2).all() or (w2 < 0).any() or not np.allclose(w2, w2.T):
        raise ValueError("truth is not a matrix of distances: finite, not negative, symmetric.")
    return w2
