"""Checks of the record of a collection, each of which names the set at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sized

import numpy as np

__all__ = ["all_finite", "check_layout", "check_metadata", "check_weights", "missing_value"]


def check_layout(ids: np.ndarray, rows: Sized, offsets: np.ndarray) -> None:
    """Check that offsets divide the rows into sets that are not empty, and that ids differ.

    Args:
        ids: Name of each set, `(S,)`.
        rows: Rows of all sets, `(N,)`.
        offsets: Where each set starts and ends, `(S + 1,)`.

    Raises:
        ValueError: If lengths do not agree, there is no set, a set is empty, or ids repeat.
    """
    if len(offsets) != len(ids) + 1 or offsets[-1] != len(rows):
        raise ValueError(
            f"There are {len(ids)} ids, {len(offsets)} offsets and {len(rows)} rows; offsets run "
            "from 0 to the number of rows, one more than there are sets."
        )
    if not len(ids):
        raise ValueError("There is no set; a collection needs at least one.")
    empty = np.diff(offsets) <= 0
    if empty.any():
        raise ValueError(
            f"Set '{ids[np.argmax(empty)]}' is empty; drop it, or raise min_size where the sets "
            "are made."
        )
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"The id '{names[np.argmax(counts)]}' names more than one set; tables and commands "
            "choose sets by their ids, so each needs its own."
        )


def check_weights(w: np.ndarray, ids: np.ndarray, offsets: np.ndarray) -> None:
    """Check that weights are one an atom, not negative, and sum to one in every set.

    Raises:
        ValueError: If they are not.
    """
    if w.shape != (offsets[-1],) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError(
            f"Weights have shape {w.shape} for {offsets[-1]} atoms; they are finite numbers of at "
            "least zero, one an atom."
        )
    total = np.add.reduceat(w, offsets[:-1])
    if not np.allclose(total, 1, rtol=1e-6):
        s = int(np.argmax(np.abs(total - 1)))
        raise ValueError(f"Weights of set '{ids[s]}' sum to {total[s]:.6g}, not one.")


def check_metadata(meta: Mapping[str, np.ndarray], sets: int) -> None:
    """Check that columns of metadata have one value a set.

    Raises:
        ValueError: If one has another shape.
    """
    for name, column in meta.items():
        if column.shape != (sets,):
            raise ValueError(
                f"Metadata {name!r} has shape {column.shape}; there are {sets} sets, and a column "
                "holds one value a set."
            )


def all_finite(x: np.ndarray, largest: float) -> bool:
    """Return whether all numbers are finite and of at most this size."""
    return x.size == 0 or float(x.min()) >= -largest and float(x.max()) <= largest


def missing_value(
    x: np.ndarray,
    rows: np.ndarray,
    owners: np.ndarray,
    features: tuple[str, ...] | None,
    largest: float,
) -> ValueError:
    """Return the error for the first atom `(N, *event)` that is not finite, or too large.

    Args:
        x: Atoms, of which at least one is.
        rows: Row of each atom in the observations, `(N,)`.
        owners: Name of the set of each atom, `(N,)`.
        features: Names of the features.
        largest: The largest number of the type of a batch.
    """
    atom, *place = np.argwhere(~(np.abs(x.astype(np.float64)) <= largest))[0]
    feature = repr(features[place[0]]) if features else f"{tuple(map(int, place))}"
    value = x[(atom, *place)]
    advice = (
        "Drop or impute it first: a missing value is not a sample. To keep it as missing, read "
        "vectors or counts with missing='mask' (data.missing=mask on the command line)."
    )
    if np.isinf(value):
        advice = "Drop or impute it first: an infinite value is not a sample."
    if np.isfinite(value):
        advice = f"Rescale the feature: float32 holds numbers of up to {largest:.2g}."
    return ValueError(
        f"Set '{owners[atom]}' holds {value} in feature {feature}, row {rows[atom]} of the "
        f"observations. {advice}"
    )
