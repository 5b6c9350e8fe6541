"""Images of cells by well, from a plate with doses or from the tiles of a pooled screen.

A set is a well. A condition is what the well was given: a drug and a dose, or a gene that was cut;
whole conditions are held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distembed.apps.application import Settings
from distembed.apps.descriptors import read_vectors
from distembed.apps.pooled_screen.tiles import read_tiles
from distembed.apps.source import expected_columns, expected_file
from distembed.data.observations import Observations
from distembed.data.spaces import Images
from distembed.registry import need
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["FEATURE", "FILES", "ScreenSettings", "data", "features", "read_screen"]

Array = NDArray[np.float64]

PARQUET = "interphase-reclassified_cp_phenotype_normalized.parquet"
VECTORS = "gene_vectors.npz"
IMAGES, TABLE, WELLS = "cells_32x32_dna_gfp.npz", "cell_features.parquet", "wells.csv"
FILES = ((PARQUET, VECTORS), (IMAGES, TABLE, WELLS))
"""Files of each layout."""
FEATURE = "feature_"
"""What the names of metadata begin with that are means of features of CellProfiler."""
_DESCRIBED = (
    "the boxes of cells and the tiles of Funk et al. (2022) with gene vectors as arrays `names` "
    "and `vectors`; or images_bbbc013 with its images, features and wells."
)


@dataclass(frozen=True, kw_only=True)
class ScreenSettings(Settings):
    """Sizes of the application.

    Attributes:
        doses: Doses that are held out, of both drugs; of a screen of genes, `test` of the genes.
        side: Height and width of the crops that are cut from tiles.
        draws: Cells that are drawn at a condition.
        shown: Cells of a condition in the figure.
        fewest: Fewest cells of a set.
    """

    doses: tuple[float, ...] = (3, 5, 7)
    side: int = 64
    draws: int = 128
    shown: int = 6
    fewest: int = 4


def data(folder: Path, settings: ScreenSettings) -> tuple[Sets, Sets]:
    """Read wells, and hold out whole conditions.

    Raises:
        ValueError: If a file or a column is missing, or nothing is held out.
    """
    sets = read_screen(folder, settings)
    if "dose" in sets.meta:
        held_out = np.isin(sets.meta["dose"], settings.doses)
    else:
        condition = sets.meta["condition"]
        names = np.setdiff1d(condition[sets.meta["control"] == 0], ["non-targeting"])
        names = np.random.default_rng(settings.seed).permutation(names)
        held_out = np.isin(condition, names[: max(1, round(settings.test * len(names)))])
    if not held_out.any() or held_out.all():
        raise ValueError(
            f"doses = {settings.doses} holds {held_out.sum()} of {len(sets)} wells out; the doses "
            f"are {np.unique(sets.meta['dose']).tolist() if 'dose' in sets.meta else 'none'}."
        )
    return sets.select(~held_out), sets.select(held_out)


def read_screen(folder: Path, settings: ScreenSettings) -> Sets:
    """Read the wells of either layout.

    They have metadata `condition`, `control` (0 if treated), `group` (within which conditions are
    neighbours), perhaps `dose`, and the means of features.

    Raises:
        ValueError: If a file or a column is missing.
    """
    if expected_file(folder, FILES, _DESCRIBED) == IMAGES:
        return _read_plate(folder, settings)
    return _read_pool(folder, settings)


def features(sets: Sets) -> Array:
    """Return the means of the features of CellProfiler, `(S, F)`."""
    names = [name for name in sets.meta if name.startswith(FEATURE)]
    return np.stack([sets.meta[name] for name in names], axis=1)


def _read_plate(folder: Path, settings: ScreenSettings) -> Sets:
    """Read the plate of a dose series."""
    pandas = need("pandas", "parquet")
    with np.load(folder / IMAGES, allow_pickle=False) as file:
        expected_columns(IMAGES, file.files, ("images", "well"), _DESCRIBED)
        x, well = file["images"], file["well"].astype(str)
    wells = pandas.read_csv(folder / WELLS)
    expected_columns(WELLS, wells.columns, ("well", "dose_index", "control", "drug"), _DESCRIBED)
    table = pandas.read_parquet(folder / TABLE)
    expected_columns(TABLE, table.columns, ("well",), _DESCRIBED)
    sets = by_label(
        Observations(x.astype(np.float32), {"well": well}), "well", min_size=settings.fewest,
        max_size=settings.atoms, rng=settings.seed, atoms=Images(0, 255, whole=True),
    )  # fmt: skip
    wells = wells.set_index("well").loc[sets.ids]
    drug, dose = wells["drug"].to_numpy(str), wells["dose_index"].to_numpy(np.float64)
    condition = np.array([f"{name} {level:g}" for name, level in zip(drug, dose, strict=True)])
    columns = [c for c in table.columns if c not in ("well", "y", "x")]
    means = table.groupby("well")[columns].mean().loc[sets.ids]
    return sets.with_meta(
        {
            "condition": condition, "control": wells["control"].to_numpy(np.int64),
            "group": drug, "dose": dose,
            **{f"{FEATURE}{c}": means[c].to_numpy(np.float64) for c in columns},
        }
    )  # fmt: skip


def _read_pool(folder: Path, settings: ScreenSettings) -> Sets:
    """Read the tiles of a pooled screen; a set is the cells of one gene in one well."""
    pandas = need("pandas", "parquet")
    table = pandas.read_parquet(folder / PARQUET)
    boxes = [f"bounds_{i}" for i in range(4)]
    needed = ("gene_symbol_0", "plate", "well", "tile", *boxes)
    expected_columns(PARQUET, table.columns, needed, _DESCRIBED)
    x, rows = read_tiles(folder, table, settings.side)
    table = table.iloc[rows]
    gene = table["gene_symbol_0"].astype(str).to_numpy(str)
    labels = {"gene": gene, "well": table["well"].astype(str).to_numpy(str)}
    sets = by_label(
        Observations(x, labels), ["gene", "well"], min_size=settings.fewest,
        max_size=settings.atoms, rng=settings.seed, atoms=Images(0, 65535, whole=True),
    )  # fmt: skip
    columns = [
        c for c in table.columns if c not in needed and pandas.api.types.is_numeric_dtype(table[c])
    ]
    means = table.assign(gene=gene, well=labels["well"]).groupby(["gene", "well"])[columns].mean()
    key = list(zip(sets.meta["gene"].tolist(), sets.meta["well"].tolist(), strict=True))
    means = means.loc[key]
    control = (sets.meta["gene"] == "non-targeting").astype(np.int64)
    vectors = read_vectors(folder / VECTORS, _DESCRIBED)
    described = np.isin(sets.meta["gene"], list(vectors)) | (control == 1)
    return sets.with_meta(
        {
            "condition": sets.meta["gene"], "control": control,
            "group": np.repeat("screen", len(sets)),
            **{f"{FEATURE}{c}": means[c].to_numpy(np.float64) for c in columns},
        }
    ).select(described)  # fmt: skip
