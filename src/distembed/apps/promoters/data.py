r"""Sets of promoters of similar expression, with bins of expression that are held out.

Of each medium, promoters are ranked by expression and divided into bins of equal numbers. A
training set has promoters of a bin and its two neighbours, as in the paper. Held-out are every
fifth bin, and the bins of the highest expression, whose promoters are in no training set, also not
as those of a neighbour. A quarter of all promoters, drawn at random, belongs to no bin: the oracle
of expression is fitted to them. A sequence that is measured more than once has one row.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Settings
from distembed.apps.promoters.sequences import Promoters, read_promoters
from distembed.data.observations import Observations
from distembed.data.tokens import Tokens
from distembed.evaluation.cohort import Cohort
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["Division", "PromoterSettings", "data", "divide", "expression_cohort"]

logger = logging.getLogger(__name__)

Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PromoterSettings(Settings):
    """Sizes of promoters.

    Attributes:
        bins: Bins of expression of a medium.
        every: Every so many bins one is held out.
        parts: Most sets of a held-out bin.
        beyond: Bins of the highest expression that are held out.
        apart: Share of the promoters that the oracle is fitted to.
        oracle_promoters: Most promoters that the oracle is fitted to.
        drawn: Promoters that are drawn for each held-out bin, and each bin of the figure.
    """

    bins: int = 40
    every: int = 5
    parts: int = 6
    beyond: int = 3
    apart: float = 0.25
    oracle_promoters: int = 14_000
    drawn: int = 400


@dataclass(frozen=True)
class Division:
    """Promoters, and what each is for.

    Attributes:
        promoters: The promoters.
        bin: Number of the bin of each, counted over all media; -1 for those of the oracle, `(R,)`.
        held_out: Which bins are held out, `(K,)`.
        beyond: Which of these are beyond all training bins, `(K,)`.
        medium: Medium of each bin, `(K,)`.
    """

    promoters: Promoters
    bin: Index
    held_out: NDArray[np.bool_]
    beyond: NDArray[np.bool_]
    medium: NDArray[np.str_]

    @property
    def level(self) -> NDArray[np.float64]:
        """Mean expression of each bin, `(K,)`."""
        own = self.bin >= 0
        size = np.bincount(self.bin[own], minlength=len(self.medium))
        total = np.bincount(self.bin[own], self.promoters.level[own], len(self.medium))
        return np.asarray(total / size, np.float64)

    def rows(self, number: int) -> Index:
        """Return the promoters of a bin."""
        return np.flatnonzero(self.bin == number)


def divide(folder: Path, settings: PromoterSettings) -> Division:
    """Read promoters, and divide them into bins and those of the oracle.

    Raises:
        ValueError: If the folder cannot be read, or a medium has fewer than 20 promoters a bin.
    """
    promoters = _once(folder, read_promoters(folder), settings.seed)
    rng = np.random.default_rng(settings.seed)
    number = np.full(len(promoters.level), -1)
    media, held_out, beyond, medium = np.unique(promoters.medium), [], [], []
    for m, name in enumerate(media):
        own = rng.permutation(np.flatnonzero(promoters.medium == name))
        own = own[round(settings.apart * len(own)) :]
        if len(own) < 20 * settings.bins:
            raise ValueError(
                f"{folder} has {len(own)} promoters in {name} for {settings.bins} bins; a bin "
                "needs 20 at least. Give more promoters."
            )
        own = own[np.argsort(promoters.level[own], kind="stable")]
        place = np.arange(len(own)) * settings.bins // len(own)
        number[own] = place + m * settings.bins
        bins = np.arange(settings.bins)
        top = bins >= settings.bins - settings.beyond
        beyond.append(top)
        held_out.append(top | (bins % settings.every == settings.every // 2))
        medium += [name] * settings.bins
    return Division(
        promoters, number, np.concatenate(held_out), np.concatenate(beyond), np.array(medium)
    )


def _once(folder: Path, promoters: Promoters, seed: int) -> Promoters:
    """Keep one row of each sequence, at random: bins, media and the oracle then share none."""
    order = np.random.default_rng([seed, 5]).permutation(len(promoters.sequence))
    kept = np.sort(order[np.unique(promoters.sequence[order], return_index=True)[1]])
    repeated = len(order) - len(kept)
    if repeated:
        logger.warning(
            "%s: left out %d rows of promoters that are measured more than once, in one medium or "
            "several; one row of each is kept, at random", folder, repeated,
        )  # fmt: skip
    return Promoters(promoters.sequence[kept], promoters.level[kept], promoters.medium[kept])


def data(folder: Path, settings: PromoterSettings) -> tuple[Sets, Sets]:
    """Read sets of training bins with their neighbours, and parts of held-out bins.

    Raises:
        ValueError: As `divide` does.
    """
    division = divide(folder, settings)
    rng = np.random.default_rng(settings.seed)
    centres = rng.permutation(np.flatnonzero(~division.held_out))
    rows, number = [], []
    for s in range(settings.sets):
        centre = int(centres[s % len(centres)])
        near = [
            b for b in (centre - 1, centre, centre + 1)
            if 0 <= b < len(division.medium) and not division.held_out[b]
            and division.medium[b] == division.medium[centre]
        ]  # fmt: skip
        window = np.concatenate([division.rows(b) for b in near])
        rows.append(rng.choice(window, min(settings.atoms, len(window)), replace=False))
        number.append(centre)
    train = _assembled(division, rows, number, "train")
    held_out = _parts(division, np.flatnonzero(division.held_out), settings, rng)
    return train, _assembled(division, *held_out, "test")


def expression_cohort(folder: Path, settings: PromoterSettings) -> Cohort:
    """Return sets of one bin each with their mean expression; folds keep bins together."""
    division = divide(folder, settings)
    rng = np.random.default_rng(settings.seed)
    parts = _parts(division, np.arange(len(division.medium)), settings, rng)
    sets = _assembled(division, *parts, "part")
    return Cohort(sets, sets.meta["level"], sets.meta["bin"])


def _parts(
    division: Division, bins: Index, settings: PromoterSettings, rng: np.random.Generator
) -> tuple[list[Index], list[int]]:
    """Divide the promoters of bins into parts; return the rows and the bin of each."""
    rows: list[Index] = []
    number: list[int] = []
    for b in bins:
        own = rng.permutation(division.rows(int(b)))
        count = min(max(1, len(own) // settings.atoms), settings.parts)
        rows += np.array_split(own[: count * settings.atoms], count)
        number += [int(b)] * count
    return rows, number


def _assembled(division: Division, rows: list[Index], number: list[int], name: str) -> Sets:
    """Make sets of promoters, with bin, medium and mean expression."""
    tokens = Tokens("dna")
    promoters = division.promoters
    longest = int(np.char.str_len(promoters.sequence).max())
    x = tokens.encode(promoters.sequence[np.concatenate(rows)].tolist())
    x = np.pad(x, ((0, 0), (0, longest - x.shape[1])))
    sizes = [len(own) for own in rows]
    label = np.repeat([f"{name}{s}" for s in range(len(rows))], sizes)
    sets = by_label(Observations(x, {"set": label}), "set", atoms=tokens)
    b = np.array(number)
    meta: dict[str, Any] = {
        "bin": b,
        "medium": division.medium[b],
        "level": np.array([promoters.level[own].mean() for own in rows]),
        "beyond": division.beyond[b],
    }
    return sets.with_meta(meta)
