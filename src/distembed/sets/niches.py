"""Construct niches: the cells around each cell of a tissue, from AnnData with coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from distembed.data.observations import refuse_unknown
from distembed.data.readers.cells import read_cells
from distembed.rng import Rng
from distembed.sets.collection import Sets
from distembed.sets.kernel import Kernel, by_kernel

__all__ = ["niches"]


def niches(
    adata: Any,
    kernel: Kernel | None = None,
    *,
    section: str | None = None,
    meta: str | Sequence[str] = (),
    spatial: str = "spatial",
    anchors: int | None = None,
    min_size: int = 2,
    rng: Rng = 0,
    **options: Any,
) -> Sets:
    """Construct the set of cells near each cell, a niche, within its section.

    Args:
        adata: AnnData with coordinates in `obsm[spatial]`.
        kernel: Which cells are near, with a scale in units of the coordinates; the 20 nearest
            where left out.
        section: Column of `obs` that names the section or slide: no niche crosses it.
        meta: Columns of `obs` of the centre cell to keep as metadata, such as its type.
        spatial: Name of the coordinates in `obsm`.
        anchors: Number of cells that are drawn as centres; every cell where left out.
        min_size: Fewest cells of a niche.
        rng: Source of that draw.
        options: What is read of a cell: `layer`, `obsm` and `genes`.

    Returns:
        Weighted sets named by the centre cell, with its coordinates and columns as metadata.
        Niches overlap: divide them with `split_by_region`, and never at random.

    Raises:
        ValueError: If there are no coordinates, or as by `by_kernel`.

    Example:
        >>> import anndata
        >>> cells = anndata.AnnData(np.random.default_rng(0).normal(size=(40, 3)))
        >>> cells.obsm["spatial"] = np.random.default_rng(1).uniform(size=(40, 2))
        >>> niches(cells, Kernel("nearest", 5))
        Sets(40 sets of 5 atoms of shape (3,), metadata spatial0, spatial1)
    """
    if spatial not in adata.obsm:
        raise ValueError(
            f"obsm has no {spatial!r}; there is {', '.join(map(repr, adata.obsm)) or 'nothing'}. "
            "Niches need the coordinates of the cells: name them as `spatial`."
        )
    names = [meta] if isinstance(meta, str) else list(meta)
    refuse_unknown([*names, *([section] if section else [])], adata.obs.columns, "column of obs")
    places = np.asarray(adata.obsm[spatial], dtype=np.float64)
    axes = [f"{spatial}{j}" for j in range(places.shape[1])]
    kept = list(dict.fromkeys([*names, *([section] if section else [])]))
    cells = read_cells(adata, keep=kept, **options)
    coordinates = dict(zip(axes, places.T, strict=True))
    cells = replace(cells, columns={**cells.columns, **coordinates})
    count = cells.rows if anchors is None else anchors
    near = Kernel("nearest", 20) if kernel is None else kernel
    sets = by_kernel(cells, axes, count, near, within=section, min_size=min_size, rng=rng)
    centre = sets.ids.astype(int)
    sets = sets.with_meta({name: cells.columns[name][centre] for name in names})
    recipe = f"niches: {sets.recipe}"
    return replace(sets, recipe=recipe, ids=np.asarray(adata.obs_names).astype(str)[centre])
