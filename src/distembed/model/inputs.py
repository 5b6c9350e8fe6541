"""Convert what a user passes to a model: sets to a collection, embeddings to arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from distembed.batch import SetBatch
from distembed.data.features import match_columns
from distembed.data.spaces import Images, Vectors, describe, same_kind
from distembed.model.embeddings import Embeddings
from distembed.protocols import AtomSpace, Collection, as_encoder
from distembed.sets.collection import Sets
from distembed.sets.precision import check_rounding
from distembed.sets.read import read

__all__ = [
    "SetsLike",
    "as_collection",
    "as_effective_sizes",
    "as_ends",
    "as_latent",
    "as_numbers",
    "as_table",
    "as_vectors",
    "embeddings_of_sets",
    "feature_columns",
]

_NOT_MASKED = (
    "The sets may have missing values, and the model was fitted to complete atoms. Fit a model to "
    "sets read with missing='mask', or read these without it."
)

SetsLike = Collection | SetBatch | Sequence[ArrayLike]
"""Sets in any form: a collection, a batch, or a list of arrays `(m, *event)`."""


def as_collection(sets: SetsLike, atoms: AtomSpace | None = None) -> Collection:
    """Return sets as a collection; those of a list are named by their position.

    Args:
        sets: A collection, a batch or a list of arrays `(m, *event)`.
        atoms: The kind of atoms of a batch or a list; recognised if left out.

    Raises:
        ValueError: If an atom is not finite or of another kind, a weight is negative, or shapes
            differ.
    """
    if isinstance(sets, Collection):
        if atoms is not None and not same_kind(sets.atoms, atoms):
            raise ValueError(
                f"The sets hold {describe(sets.atoms)}, and the model was fitted to "
                f"{describe(atoms)}. Read the sets with atoms={atoms.describe()}."
            )
        if atoms is not None and sets.atoms.masked and not atoms.masked:
            raise ValueError(_NOT_MASKED)
        return _in_float32(sets)
    # values do not bind a model: one of counts takes fractions, one of images other ranges
    space = atoms
    if atoms is not None and atoms.name == "counts":
        space = Vectors("mask" if atoms.masked else "refuse")
    elif atoms is not None and atoms.name == "images":
        space = Images()
    if isinstance(sets, SetBatch):
        if sets.observed is not None and atoms is not None and not atoms.masked:
            raise ValueError(_NOT_MASKED)
        return _in_float32(Sets.from_batch(sets.checked(), space))
    return read(sets, min_size=1, atoms=space)


def _in_float32(sets: Collection) -> Collection:
    """Return sets after a check of those that are read as float64, because models take float32."""
    if isinstance(sets, Sets) and sets.double:
        check_rounding(sets.observations, sets.rows, sets.offsets)
    return sets


def as_numbers(z: Embeddings | ArrayLike) -> NDArray[np.float32]:
    """Return embeddings as a contiguous float32 array of the same shape.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If a number is not finite.
    """
    try:
        numbers = np.asarray(z, np.float32, order="C")
    except (TypeError, ValueError) as error:
        kind = type(z).__name__
        advice = "Embed sets first: table = model.embed(sets), then table.z[i]."
        if isinstance(z, Embeddings):
            kind, advice = f"a table of {len(z)}", "Give its vectors, table.z, or one, table.z[i]."
        raise TypeError(f"An embedding is a vector of numbers, not {kind}. {advice}") from error
    if not np.isfinite(numbers).all():
        raise ValueError("An embedding holds NaN or infinity; embeddings are finite numbers.")
    return numbers


def as_latent(latent: int | None, encoder: object) -> int:
    """Return the dimension of the embedding: that of an encoder module, or the requested one.

    Raises:
        ValueError: If the two differ.
        TypeError: If an encoder module does not state its dimension.
    """
    if not isinstance(encoder, nn.Module):
        return 32 if latent is None else latent
    own = as_encoder(encoder).latent
    if latent not in (None, own):
        raise ValueError(
            f"latent = {latent}, and the encoder {type(encoder).__name__} has latent = {own}. "
            "Leave latent out: it is taken from the module."
        )
    return own


def as_vectors(z: ArrayLike, latent: int) -> NDArray[np.float32]:
    """Return one embedding `(L,)` or several `(B, L)` as an array.

    Raises:
        ValueError: If the dimension is not L.
    """
    vectors = as_numbers(z)
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != latent:
        raise ValueError(
            f"z has shape {vectors.shape}; this model's embeddings are ({latent},), or "
            f"(B, {latent}) for several."
        )
    return vectors


def as_table(table: Embeddings | ArrayLike, latent: int) -> NDArray[np.float32]:
    """Return the embeddings of a table or an array, `(A, L)`.

    Raises:
        ValueError: If the shape is another, or a number is not finite.
    """
    z = as_numbers(table.z if isinstance(table, Embeddings) else table)
    if z.ndim != 2 or z.shape[1] != latent:
        raise ValueError(
            f"The embeddings have shape {z.shape}; expected (A, L), one row a set, of "
            f"L = {latent}."
        )
    return z


def as_ends(
    *ends: Embeddings | ArrayLike, latent: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return single embeddings as rows `(E, L)`, and their effective sizes `(E,)`.

    Args:
        ends: One embedding `(L,)` each, of an infinite size, or a table of one row.
        latent: Dimension L.

    Raises:
        ValueError: If one is not a single embedding of this dimension.
    """
    rows, sizes = [], []
    for end in ends:
        table = isinstance(end, Embeddings)
        z = as_vectors(end.z if isinstance(end, Embeddings) else end, latent)
        z = z[0] if table and len(z) == 1 else z
        if z.ndim != 1:
            raise ValueError(
                f"z has shape {z.shape}; give one embedding, ({latent},), or a table of one row: "
                "table.select([i])."
            )
        rows.append(z)
        sizes.append(end.effective_sizes[0] if isinstance(end, Embeddings) else np.inf)
    return np.stack(rows), as_effective_sizes(sizes, len(rows))


def as_effective_sizes(sizes: ArrayLike | None, count: int) -> NDArray[np.float32]:
    """Return an effective size for each of B embeddings, `(B,)`; infinite if left out.

    Raises:
        ValueError: If a size is not positive.
    """
    numbers = np.asarray(np.inf if sizes is None else sizes, dtype=np.float32)
    if np.min(numbers) <= 0:
        raise ValueError(
            f"An effective size is {np.min(numbers):g}; effective sizes are numbers of atoms, and "
            "positive."
        )
    return np.broadcast_to(numbers, count).copy()


def embeddings_of_sets(
    collection: Collection, table: Embeddings | ArrayLike, latent: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return an embedding for each of S sets, `(S, L)`, and effective sizes, `(S,)`.

    Args:
        collection: The sets.
        table: A table with a row for each set, an array `(S, L)`, or one vector `(L,)` for all.
        latent: Dimension L.

    Raises:
        ValueError: If the rows do not match the sets.
    """
    count = len(collection)
    if isinstance(table, Embeddings):
        z, sizes = as_table(table, latent), as_effective_sizes(table.effective_sizes, len(table))
    else:
        vectors = as_numbers(table)
        z = as_table(np.tile(vectors, (count, 1)) if vectors.ndim == 1 else vectors, latent)
        sizes = as_effective_sizes(None, len(z))
    if len(z) != count:
        raise ValueError(
            f"There are {len(z)} embeddings for {count} sets; give one for each, or one vector "
            "for all."
        )
    if isinstance(table, Embeddings) and not table.follows(collection.ids):
        raise ValueError(
            "The table holds the same sets in another order, and row i scores set i. Embed the "
            "sets again, or give vectors, table.z, if this is intended."
        )
    return z, sizes


def feature_columns(
    collection: Collection, features: Sequence[str] | None, event_shape: tuple[int, ...]
) -> list[int] | None:
    """Return the columns of the atoms in a model's order; None if they are in that order.

    Sequences of tokens have any length, unless they are aligned.

    Args:
        collection: The sets.
        features: Names of the model's features, None if they have no names.
        event_shape: Shape of the model's atoms.

    Raises:
        ValueError: If a feature of the model is missing, or the atoms have another shape.
    """
    if features is not None and collection.features is not None:
        return match_columns(features, collection.features)
    space = collection.atoms
    sequences = not space.dtype.is_floating_point and len(collection.event_shape) == 1
    if sequences and space.facts["aligned"] and collection.event_shape != event_shape:
        raise ValueError(
            f"The sequences have {collection.event_shape[0]} positions, and the model was fitted "
            f"to an alignment of {event_shape[0]}. Align them to that alignment, so that position "
            "t means the same in both; or fit again without alignment, aligned=False."
        )
    if collection.event_shape != event_shape and not sequences:
        raise ValueError(
            f"The atoms have shape {collection.event_shape}, and the model was fitted to "
            f"{event_shape}."
        )
    return None
