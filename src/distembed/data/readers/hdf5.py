"""Checks of HDF5 files, among them `.h5ad`, before and while they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distembed.data.readers.bounds import refuse_inflated
from distembed.registry import need

__all__ = ["check_h5ad", "check_hdf5", "column_names_of_obs", "open_h5ad"]


def open_h5ad(path: Path, backed: bool) -> Any:
    """Read an `.h5ad` file.

    Args:
        path: The file.
        backed: Whether `X` stays in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If anndata is not installed.
        ValueError: If the file is damaged, is no AnnData, or states shapes that it cannot hold.
    """
    anndata = need("anndata", "anndata")
    check_h5ad(path)
    try:
        return anndata.read_h5ad(path, backed="r" if backed else None)
    except Exception as error:  # each of the readers in anndata has errors of its own
        raise ValueError(f"{path.name} cannot be read as AnnData: {error}") from error


def check_h5ad(path: Path) -> None:
    """Check that a file is AnnData, and states no shapes that it cannot hold.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If h5py is not installed.
        ValueError: If it is not.
    """
    parts = check_hdf5(path)
    if not {"obs", "var"} <= parts:
        raise ValueError(
            f"{path.name} is HDF5 and no AnnData: it has no obs and var. It holds: "
            f"{', '.join(sorted(parts)) or 'nothing'}."
        )


def check_hdf5(path: Path) -> set[str]:
    """Check that a file is HDF5, and states no shapes that it cannot hold.

    Returns:
        The names of its uppermost groups.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If h5py is not installed.
        ValueError: If it is not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    h5py = need("h5py", "anndata")
    try:
        with h5py.File(path) as file:
            parts = set(file)
            shapes: dict[str, int] = {}
            file.visititems(lambda name, item: shapes.update({name: _bytes(item)}))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path.name} is damaged or is not HDF5: {error}") from error
    for name, size in shapes.items():
        advice = "Write the file again from its source."
        refuse_inflated(path, size, f"{name!r}, by the shape that it states,", advice)
    return parts


def column_names_of_obs(path: Path) -> list[str]:
    """Return the names of the columns of `obs` of an `.h5ad` file; none if it is no such file."""
    h5py = need("h5py", "anndata")
    try:
        with h5py.File(path) as file:
            return list(file["obs"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return []


def _bytes(item: Any) -> int:
    return int(item.size or 0) * int(item.dtype.itemsize) if hasattr(item, "dtype") else 0
