"""Molecules of bisulfite sequencing, each a string: the place that it comes from, and its calls.

A molecule is written as a symbol of its place, where there are several, and one symbol a CpG: `C`
methylated, `T` unmethylated, `.` not covered. Sets then hold what reads have and averages lose:
which calls are on one molecule.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distembed.data.alphabets import ALPHABETS

__all__ = ["PLACES", "Molecules", "alphabet_of", "placed"]

PLACES = "".join(c for c in string.digits + string.ascii_letters if c not in "CT")
"""Symbols of places."""


@dataclass(frozen=True)
class Molecules:
    """Molecules of several samples.

    Attributes:
        text: The molecules, `(R,)`.
        sample: Number of the sample of each, `(R,)`.
        names: Names of the samples, `(S,)`.
        donor: Donor of each sample, `(S,)`.
        label: Tissue or diagnosis of each sample, `(S,)`; empty where there is none.
        assay: What samples may be compared within, `(S,)`.
        places: Names of the places, in the order of their symbols.
        mixed: Label of tumours and label of the background of mixtures; None for no mixtures.
    """

    text: NDArray[np.str_]
    sample: NDArray[np.int64]
    names: NDArray[np.str_]
    donor: NDArray[np.str_]
    label: NDArray[np.str_]
    assay: NDArray[np.str_]
    places: tuple[str, ...] = ()
    mixed: tuple[str, str] | None = None


def placed(calls: NDArray[np.str_], place: NDArray[np.int64], count: int) -> NDArray[np.str_]:
    """Write the symbol of the place before the calls of molecules, if there are several places.

    Args:
        calls: Calls of each molecule, `(R,)`.
        place: Number of its place, `(R,)`.
        count: Number of places.

    Raises:
        ValueError: If there are more places than symbols.

    Example:
        >>> placed(np.array(["CT", "TT"]), np.array([0, 1]), 2).tolist()
        ['0CT', '1TT']
    """
    if count > len(PLACES):
        raise ValueError(
            f"There are {count} places, and {len(PLACES)} symbols for them. Group the places, for "
            "instance by the cell type that they mark."
        )
    if count < 2:
        return calls
    return np.char.add(np.array(list(PLACES))[place], calls)


def alphabet_of(places: Sequence[str]) -> str:
    """Return the symbols of molecules of so many places.

    Example:
        >>> alphabet_of(["ZNF154"]), alphabet_of(["a", "b"])
        ('CT.', 'CT.01')
    """
    return ALPHABETS["methylation"].symbols + (PLACES[: len(places)] if len(places) > 1 else "")
