"""Read AnnData from a folder of Zarr, of version 2 or 3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distembed.data.readers.bounds import refuse_inflated
from distembed.registry import need

__all__ = ["check_zarr", "open_zarr", "stated_bytes"]


def open_zarr(path: Path) -> Any:
    """Read AnnData from a folder of Zarr.

    Raises:
        FileNotFoundError: If there is no such folder.
        ImportError: If anndata, which brings zarr, is not installed.
        ValueError: If the folder is damaged, is no AnnData, or states shapes that it cannot hold.
    """
    check_zarr(path)
    try:
        return need("anndata", "anndata").read_zarr(path)
    except Exception as error:  # each of the readers in anndata has errors of its own
        raise ValueError(f"{path.name} cannot be read as AnnData: {error}") from error


def check_zarr(path: Path) -> None:
    """Check that a folder is AnnData, and states no shapes that it cannot hold.

    Raises:
        FileNotFoundError: If there is no such folder.
        ImportError: If anndata, which brings zarr, is not installed.
        ValueError: If it is not.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"There is no folder {path}.")
    zarr = need("zarr", "anndata")
    try:
        group = zarr.open_group(path, mode="r")
        parts = set(group.keys())
        sizes = dict(stated_bytes(group))
    except Exception as error:  # zarr has errors of its own for each part of a damaged folder
        raise ValueError(f"{path.name} is damaged or is not Zarr: {error}") from error
    if not {"obs", "var"} <= parts:
        raise ValueError(
            f"{path.name} is Zarr and no AnnData: it has no obs and var. It holds: "
            f"{', '.join(sorted(parts)) or 'nothing'}."
        )
    held = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    for name, size in sizes.items():
        what, advice = f"{name!r}, by the shape that it states,", "Write it again from its source."
        refuse_inflated(path, size, what, advice, held)


def stated_bytes(group: Any, above: str = "") -> Iterator[tuple[str, int]]:
    """Yield the name and the bytes of each array in a group, by the shape that it states.

    Args:
        group: A group of Zarr or HDF5, whose groups are entered too.
        above: What names begin with.
    """
    for name in group:
        item = group[name]
        if hasattr(item, "dtype"):
            yield above + name, int(item.size) * int(getattr(item.dtype, "itemsize", 8))
        else:
            yield from stated_bytes(item, f"{above}{name}/")
