"""The sets of a store, each a range of one mapped array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.labels import as_text
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.spaces import as_space, describe, same_kind
from distembed.data.store import open_store
from distembed.protocols import AtomSpace
from distembed.sets.collection import Sets
from distembed.sets.construct import large_enough
from distembed.sets.ranges import Ranges
from distembed.sets.recipe import recipe_of

__all__ = ["read_store"]


def read_store(
    path: str | Path,
    by: str | Sequence[str] | None = None,
    meta: Sequence[str] | None = None,
    atoms: str | Mapping[str, Any] | AtomSpace | None = None,
    min_size: int = 1,
) -> tuple[Sets, dict[str, np.ndarray]]:
    """Open the sets of a store.

    Args:
        path: The folder.
        by: The columns that the sets were made by, or None; others are refused.
        meta: Columns of metadata to keep; all where left out.
        atoms: Another kind of the same numbers, such as vectors where counts were recognised.
        min_size: Fewest atoms of a set; smaller ones are dropped, and their number is logged.

    Returns:
        The sets, and the text of their labels for each column that they were made by, `(S,)`.

    Raises:
        FileNotFoundError, ValueError: If it cannot be opened (`distembed.data.store`), the sets
            were made by other columns, or an argument does not fit.
    """
    store = open_store(path)
    names = [by] if isinstance(by, str) else list(by or store.by)
    if names != store.by:
        raise ValueError(
            f"The sets of the store {path} were made by {', '.join(store.by)}, and are asked for "
            f"by {', '.join(names)}. Leave out `by`, or --by on the command line, or build "
            "another store of its source."
        )
    refuse_unknown(meta or (), store.meta, "metadata column")
    space = as_space(store.header["atoms"])
    if atoms is not None:
        stated = as_space(atoms)
        if not same_kind(stated, space):
            raise ValueError(
                f"The store {path} holds {describe(space)}, and {describe(stated)} are asked for. "
                "Leave `atoms` out."
            )
        space = stated
    sets = Sets(
        Observations(store.x, features=store.features),
        Ranges(store.offsets[:-1], store.offsets),
        store.offsets,
        store.ids,
        None if store.w is None else Ranges(store.offsets[:-1], store.offsets, store.w),
        {name: store.meta[name] for name in (store.meta if meta is None else meta)},
        space,
        recipe=recipe_of("by_label", {"by": store.by if len(store.by) > 1 else store.by[0]}),
    )
    several = {name: as_text(store.meta[name]) for name in store.by if len(store.by) > 1}
    keys = several or {store.by[0]: store.ids}
    large = large_enough(sets.sizes, min_size)
    if large.all():
        return sets, keys
    return sets.select(large), {name: text[large] for name, text in keys.items()}
