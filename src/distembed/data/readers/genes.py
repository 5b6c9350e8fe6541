"""Choose genes by a column of `var`, by a mask, or by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distembed.data.observations import refuse_unknown

__all__ = ["chosen_genes", "refuse_both"]


def refuse_both(layer: object, obsm: str | None, genes: object) -> None:
    """Raise a ValueError if an embedding is combined with a layer or genes."""
    if obsm is not None and (layer is not None or genes is not None):
        raise ValueError(
            f"obsm={obsm!r} holds features of its own; layer and genes do not go with it, because "
            "they choose those of X."
        )


def chosen_genes(
    genes: str | Sequence[str] | np.ndarray, var: Any, names: np.ndarray
) -> np.ndarray:
    """Return the positions of the chosen genes, in the order in which they are named.

    Raises:
        ValueError: If there is no such gene, or the mask has another type or shape.
    """
    if isinstance(genes, str):
        refuse_unknown([genes], var.columns, "column of var")
        column = np.asarray(var[genes])
        if column.dtype != bool:
            raise ValueError(
                f"Column {genes!r} of var has dtype {column.dtype}; a mask is boolean, as that of "
                "highly_variable. Compare the values with a threshold first."
            )
        genes = column
    mask = np.asarray(genes)
    if mask.dtype == bool:
        if mask.shape != names.shape:
            raise ValueError(
                f"The mask of genes has shape {mask.shape}, and there are {len(names)} genes; "
                "give one boolean a gene."
            )
        positions = np.flatnonzero(mask)
    else:
        refuse_unknown(mask.tolist(), names.tolist(), "gene")
        position = {name: i for i, name in enumerate(names.tolist())}
        if len(position) < len(names):
            _refuse_twice(mask.tolist(), names)
        positions = np.array([position[name] for name in mask.tolist()], np.int64)
    if not len(positions):
        raise ValueError(
            "`genes` chooses no gene; name at least one, or leave it out to read all."
        )
    return positions


def _refuse_twice(chosen: Sequence[str], names: np.ndarray) -> None:
    """Refuse a gene whose name several columns have."""
    several, counts = np.unique(names, return_counts=True)
    twice = set(several[counts > 1].tolist()) & set(chosen)
    if twice:
        name = min(twice)
        raise ValueError(
            f"{int((names == name).sum())} genes are named {name!r}, and it is not clear which is "
            "meant. Choose them by a boolean mask, or call adata.var_names_make_unique() first."
        )
