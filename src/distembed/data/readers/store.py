"""Read the sets of a store (`distembed.data.store`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distembed.data.observations import Observations
from distembed.data.readers.base import Request
from distembed.data.store import is_store, open_store

__all__ = ["StoreReader"]


@dataclass(frozen=True)
class StoreReader:
    """Reader of stores, whose sets are made already.

    `distembed.read` does not ask it for a label of every atom, but opens the store.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    selection: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is the folder of a store."""
        return is_store(source)

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read every atom with the id and the metadata of its set, a value each."""
        store = open_store(source)
        sizes = np.diff(store.offsets)
        columns = {name: np.repeat(column, sizes) for name, column in store.meta.items()}
        columns["set"] = np.repeat(store.ids, sizes)
        return Observations(store.x, columns, store.features), ["set"]
