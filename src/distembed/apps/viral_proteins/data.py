"""Sets of proteins of one place and time, held out at random or as those of the last years.

Of aligned proteins only the columns that vary are kept: those in which two training proteins at
least differ from the most frequent residue. A constant column is known, and is not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Settings
from distembed.apps.viral_proteins.proteins import Proteins, read_proteins
from distembed.data.observations import Observations
from distembed.data.tokens import Tokens
from distembed.evaluation.cohort import Cohort
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["ViralSettings", "data", "date_cohort", "forward_in_time", "region_cohort"]


@dataclass(frozen=True, kw_only=True)
class ViralSettings(Settings):
    """Sizes of viral proteins.

    Attributes:
        fewest: Fewest proteins of a set.
    """

    fewest: int = 5


def data(folder: Path, settings: ViralSettings) -> tuple[Sets, Sets]:
    """Read sets, and hold out some at random.

    Raises:
        ValueError: If the folder cannot be read (`read_proteins`), or has fewer than 8 sets.
    """

    def at_random(period: NDArray[np.int64]) -> NDArray[np.bool_]:
        order = np.random.default_rng(settings.seed).permutation(len(period))
        return np.asarray(order < round(settings.test * len(period)))

    return _divided(folder, settings, at_random)


def forward_in_time(folder: Path, settings: ViralSettings) -> tuple[Sets, Sets]:
    """Read sets, and hold out the latest ones; the year, or month, of a set is not divided.

    Raises:
        ValueError: As `data` does.
    """

    def latest(period: NDArray[np.int64]) -> NDArray[np.bool_]:
        later = np.unique(period)[1:]
        if not len(later):
            raise ValueError(
                f"All sets of {folder} are of one year or month, and none is later. Give more."
            )
        shares = np.array([(period >= first).mean() for first in later])
        first = later[int(np.argmin(np.abs(shares - settings.test)))]
        return np.asarray(period >= first)

    return _divided(folder, settings, latest)


def date_cohort(folder: Path, settings: ViralSettings) -> Cohort:
    """Return sets with their date; folds keep countries together."""
    sets = _every(folder, settings)
    return Cohort(sets, sets.meta["date"], sets.meta["country"])


def region_cohort(folder: Path, settings: ViralSettings) -> Cohort:
    """Return sets with their region; regions of fewer than eight sets are left out."""
    sets = _every(folder, settings)
    names, count = np.unique(sets.meta["region"], return_counts=True)
    sets = sets.select(np.isin(sets.meta["region"], names[count >= 8]))
    return Cohort(sets, sets.meta["region"])


def _every(folder: Path, settings: ViralSettings) -> Sets:
    proteins, sets = _grouped(folder, settings)
    return _of_columns(sets, _variable(sets) if proteins.aligned else None)


def _divided(
    folder: Path,
    settings: ViralSettings,
    held_out: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> tuple[Sets, Sets]:
    proteins, sets = _grouped(folder, settings)
    if len(sets) < 8:
        raise ValueError(
            f"{folder} has {len(sets)} sets of {settings.fewest} proteins or more; 8 are needed "
            "to hold some out. A set is a country and year, or a month, laboratory and country."
        )
    period = np.floor(sets.meta["date"] * proteins.periods).astype(np.int64)
    test = held_out(period)
    columns = _variable(sets.select(~test)) if proteins.aligned else None
    sets = _of_columns(sets, columns)
    return sets.select(~test), sets.select(test)


def _grouped(folder: Path, settings: ViralSettings) -> tuple[Proteins, Sets]:
    """Make sets of whole proteins, thinned to at most as many sets and proteins as stated."""
    proteins = read_proteins(folder, settings.atoms)
    # X stands for residues that are not known, and for letters that stand for several
    tokens = Tokens("protein", aligned=proteins.aligned, unknown="X")
    columns = {"set": proteins.group, "country": proteins.country, "region": proteins.region}
    observations = Observations(tokens.encode(proteins.sequence.tolist()), columns)
    sets = by_label(
        observations, "set", min_size=settings.fewest, max_size=settings.atoms,
        rng=stream(settings.seed, "proteins"), atoms=tokens,
    )  # fmt: skip
    if len(sets) > settings.sets:
        chosen = np.random.default_rng(settings.seed).permutation(len(sets))[: settings.sets]
        sets = sets.select(np.sort(chosen))
    rows = np.asarray(sets.rows[0 : len(sets.rows)])
    ends = zip(sets.offsets[:-1], sets.offsets[1:], strict=True)
    own = [rows[start:stop] for start, stop in ends]
    meta: dict[str, Any] = {
        "date": np.array([proteins.date[part].mean() for part in own]),
        "clade": np.array([_most_frequent(proteins.clade[part]) for part in own]),
    }
    return proteins, sets.with_meta(meta)


def _most_frequent(values: NDArray[np.str_]) -> str:
    names, counts = np.unique(values, return_counts=True)
    return str(names[counts.argmax()])


def _variable(sets: Sets, fewest: int = 2) -> NDArray[np.int64]:
    """Return the columns in which so many proteins differ from the most frequent residue."""
    x = sets.batch(range(len(sets))).x.numpy()
    unknown = sets.atoms.encode(["X"])[0, 0]
    other = []
    for column in x.T:
        count = np.bincount(column, minlength=unknown + 1)
        count[unknown] = 0
        other.append(count.sum() - count.max())
    return np.flatnonzero(np.array(other) >= fewest)


def _of_columns(sets: Sets, columns: NDArray[np.int64] | None) -> Sets:
    """Return sets of the chosen columns of their proteins."""
    if columns is None:
        return sets
    batch = sets.batch(range(len(sets)))
    label = np.repeat(sets.ids, sets.sizes)
    table = Observations(batch.x.numpy()[:, columns], {"set": label})
    return by_label(table, "set", min_size=1, atoms=sets.atoms).with_meta(sets.meta)
