r"""Sets of methylation: samples, and mixtures of the molecules of two samples in known shares.

Donors are held out as a whole: their samples, and every mixture of their molecules. A mixture has
`atoms` molecules, of which Binomial(atoms, f) come from one sample of a tumour and the others from
one of the background; every sample of a part is in as many mixtures as any other. Training shares
f are zero for one mixture in eight and else log-uniform from 0.3 % to 100 %; those of held-out
mixtures are the same few values for all donors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Settings
from distembed.apps.methylation.layouts import read_molecules
from distembed.apps.methylation.molecules import Molecules, alphabet_of
from distembed.data.observations import Observations
from distembed.data.tokens import Tokens
from distembed.evaluation.cohort import Cohort
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = [
    "DONORS",
    "MethylationSettings",
    "data",
    "log_share",
    "mixture_cohort",
    "sample_cohort",
    "share_of_log",
]

DONORS = ("tumour_donor", "background_donor")
"""Metadata of mixtures: the donor of each part, empty where there is none of it."""
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MethylationSettings(Settings):
    """Sizes of methylation.

    Attributes:
        mixtures: Number of training mixtures.
        held_out_mixtures: Held-out mixtures of each share.
        shares: Shares of the tumour in held-out mixtures.
    """

    mixtures: int = 200
    held_out_mixtures: int = 16
    shares: tuple[float, ...] = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def data(folder: Path, settings: MethylationSettings) -> tuple[Sets, Sets]:
    """Read samples, and mix them; donors of test sets are in no training set.

    Args:
        folder: A folder in one of the layouts of `distembed.apps.methylation.layouts`.
        settings: Sizes and seed.

    Raises:
        ValueError: If the folder cannot be read (`read_molecules`), or a side of the division has
            no sample of a part of the mixtures.
    """
    molecules = read_molecules(folder, settings.atoms, settings.seed)
    held_out = _held_out_donors(molecules, settings.test, settings.seed)
    rng = np.random.default_rng(settings.seed)
    count = settings.mixtures
    drawn = 10 ** rng.uniform(np.log10(0.003), 0, count)
    drawn[::8] = 0
    fixed = np.repeat(settings.shares, settings.held_out_mixtures)
    train = _sets(molecules, ~held_out, drawn, settings, rng)
    return train, _sets(molecules, held_out, fixed, settings, rng)


def sample_cohort(folder: Path, settings: MethylationSettings, assay: str) -> Cohort:
    """Return the labelled samples of an assay; folds keep donors together.

    Args:
        folder: The folder.
        settings: Sizes and seed.
        assay: The assay; labels of fewer than eight donors are left out.
    """
    molecules = read_molecules(folder, settings.atoms, settings.seed)
    own = (molecules.assay == assay) & (molecules.label != "")
    for label in np.unique(molecules.label[own]):
        if len(np.unique(molecules.donor[own & (molecules.label == label)])) < 8:
            own &= molecules.label != label
    sets = _sets(molecules, own, np.empty(0), settings, np.random.default_rng(settings.seed))
    return Cohort(sets, sets.meta["label"], sets.meta["donor"])


def mixture_cohort(folder: Path, settings: MethylationSettings, groups: int = 5) -> Cohort:
    """Return mixtures with the logarithm of their share; folds keep groups of donors together.

    Args:
        folder: The folder.
        settings: Sizes and seed.
        groups: Number of groups of donors, of which mixtures are made within.
    """
    molecules = read_molecules(folder, settings.atoms, settings.seed)
    rng = np.random.default_rng(settings.seed)
    rank = _donor_ranks(molecules, settings.seed)
    share = 10 ** rng.uniform(np.log10(0.003), 0, settings.mixtures // groups)
    parts = [_mixed(molecules, rank % groups == k, share, settings, rng) for k in range(groups)]
    sets = _assembled(molecules, [mixture for part in parts for mixture in part])
    group = np.repeat(np.arange(groups), [len(part) for part in parts])
    return Cohort(sets, log_share(sets.meta["share"].astype(np.float64)), group, groups)


def log_share(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(f + 0.01): differences are relative above one percent, and absolute below."""
    return np.log(share + 0.01)


def share_of_log(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of a value of `log_share`, between 0 and 1.

    Example:
        >>> share_of_log(log_share(np.array([0.0, 0.05]))).round(3).tolist()
        [0.0, 0.05]
    """
    return (np.exp(value) - 0.01).clip(0, 1)


@dataclass(frozen=True)
class _Set:
    """Rows of the molecules of a set, and its metadata."""

    rows: Index
    meta: dict[str, Any]


def _donor_ranks(molecules: Molecules, seed: int) -> Index:
    """Rank the donors so that those of equal labels are neighbours; return that of samples."""
    donors, code = np.unique(molecules.donor, return_inverse=True)
    profile = [
        ",".join(sorted(set(molecules.assay[code == d]) | set(molecules.label[code == d])))
        for d in range(len(donors))
    ]
    order = np.random.default_rng(seed).permutation(len(donors))
    order = order[np.argsort(np.array(profile)[order], kind="stable")]
    rank = np.empty(len(donors), np.int64)
    rank[order] = np.arange(len(donors))
    return rank[code]


def _held_out_donors(molecules: Molecules, test: float, seed: int) -> NDArray[np.bool_]:
    """Return which samples are of held-out donors, every 1 / test-th donor of equal labels."""
    every = round(1 / test)
    held_out: NDArray[np.bool_] = _donor_ranks(molecules, seed) % every == every // 2
    return held_out


def _sets(
    molecules: Molecules,
    part: NDArray[np.bool_],
    shares: NDArray[np.float64],
    settings: MethylationSettings,
    rng: np.random.Generator,
) -> Sets:
    """Make sets of some samples, and their mixtures."""
    sets = []
    for number in np.flatnonzero(part):
        rows = np.flatnonzero(molecules.sample == number)
        if len(rows) < 2:
            continue
        rows = rng.permutation(rows)[: settings.atoms]
        sets.append(_Set(rows, _meta(molecules, "sample", int(number), molecules.label[number])))
    return _assembled(molecules, sets + _mixed(molecules, part, shares, settings, rng))


def _mixed(
    molecules: Molecules,
    part: NDArray[np.bool_],
    shares: NDArray[np.float64],
    settings: MethylationSettings,
    rng: np.random.Generator,
) -> list[_Set]:
    """Mix samples of some donors, of the tumour and the background each one, at random."""
    if molecules.mixed is None:
        return []
    pools = [
        rng.permutation(np.flatnonzero(part & (molecules.label == label)))
        for label in molecules.mixed
    ]
    for label, pool in zip(molecules.mixed, pools, strict=True):
        if len(shares) and not len(pool):
            raise ValueError(
                f"Of {int(part.sum())} samples of one side of the division none is {label!r}, and "
                "mixtures need one. Give more donors of it, or hold out another share of them."
            )
    # in turn, so that all samples are used, and in random order, so that all have all shares
    turns = [rng.permutation(np.resize(pool, len(shares))).tolist() for pool in pools]
    sets = []
    for share, *samples in zip(shares, *turns, strict=True):
        tumour = rng.binomial(settings.atoms, share)
        counts = (tumour, settings.atoms - tumour)
        rows = [
            rng.choice(np.flatnonzero(molecules.sample == sample), count)
            for sample, count in zip(samples, counts, strict=True)
        ]
        meta = _meta(molecules, "mixture", samples[0], "", share)
        # of no tumour, or of nothing else, one of the two donors has no molecule
        for kind, sample, there in zip(DONORS, samples, (share > 0, share < 1), strict=True):
            meta[kind] = molecules.donor[sample] if there else ""
        sets.append(_Set(np.concatenate(rows), meta))
    return sets


def _meta(
    molecules: Molecules, kind: str, sample: int, label: str, share: float = np.nan
) -> dict[str, Any]:
    donor, assay = molecules.donor[sample], molecules.assay[sample]
    name = molecules.names[sample]
    return {
        "kind": kind, "label": label, "donor": donor, "assay": assay, "share": share, "name": name,
        **dict.fromkeys(DONORS, ""),
    }  # fmt: skip


def _assembled(molecules: Molecules, sets: Sequence[_Set]) -> Sets:
    """Make sets of molecules; a molecule that was drawn twice is two atoms."""
    tokens = Tokens(alphabet_of(molecules.places))
    x = tokens.encode(molecules.text[np.concatenate([one.rows for one in sets])].tolist())
    # all sets have the length of the longest molecule, also of those that are held out
    longest = int(np.char.str_len(molecules.text).max())
    x = np.pad(x, ((0, 0), (0, longest - x.shape[1])))
    number = np.repeat(np.arange(len(sets)), [len(one.rows) for one in sets])
    columns = {"set": number.astype(str)}
    collection = by_label(Observations(x, columns), "set", atoms=tokens)
    order = collection.ids.astype(np.int64)
    meta = {key: np.array([sets[i].meta[key] for i in order]) for key in sets[0].meta}
    return collection.with_meta(meta)
