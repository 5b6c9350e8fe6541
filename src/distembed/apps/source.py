"""Folders that applications read, and errors that state what was expected in them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["expected_columns", "expected_file", "source_folder"]


def source_folder(name: str, folder: Path | None = None) -> Path:
    """Return the folder that an application reads.

    Args:
        name: Folder of `$DISTEMBED_DATA`.
        folder: A folder in place of it.

    Raises:
        ValueError: If there is no such folder, or `DISTEMBED_DATA` is unset.
    """
    if folder is None:
        root = os.environ.get("DISTEMBED_DATA")
        if not root:
            raise ValueError(
                f"The application reads $DISTEMBED_DATA/{name}, and DISTEMBED_DATA is unset. Set "
                "it to the folder of data sets, or name a folder with --data. The files that are "
                "expected are listed in docs/applications.md."
            )
        folder = Path(root) / name
    if not folder.is_dir():
        raise ValueError(
            f"There is no folder {folder}. Name the folder that holds the files of the "
            "application with --data; they are listed in docs/applications.md."
        )
    return folder


def expected_file(folder: Path, layouts: Iterable[tuple[str, ...]], described: str) -> str:
    """Return the first file of the layout that a folder has, after checking its other files.

    Args:
        folder: The folder.
        layouts: Names of the files of each layout; the first of them identifies it.
        described: What the files are and where they come from, for the error.

    Raises:
        ValueError: If the folder holds none of the layouts, or lacks a file of one.
    """
    layouts = list(layouts)
    for first, *others in layouts:
        if not (folder / first).is_file():
            continue
        absent = [name for name in others if not (folder / name).is_file()]
        if absent:
            raise ValueError(
                f"{folder} has {first} and lacks {', '.join(absent)}. Expected are "
                f"{', '.join((first, *others))}: {described}"
            )
        return first
    files = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(files[:8]) + (", ..." if len(files) > 8 else "")
    ways = "; or ".join(", ".join(layout) for layout in layouts)
    raise ValueError(
        f"{folder} holds no files of the application. Expected are {ways}: {described} The folder "
        f"has: {shown or 'nothing'}."
    )


def expected_columns(
    file: Path | str, columns: Iterable[str], needed: Iterable[str], described: str
) -> None:
    """Refuse a table that lacks a column.

    Args:
        file: The table.
        columns: The columns that it has.
        needed: Those that are read.
        described: What they mean and where they come from, for the error.

    Raises:
        ValueError: If one is absent; the message names columns of a similar name.
    """
    there = list(map(str, columns))
    for name in needed:
        if name in there:
            continue
        near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
        listed = ", ".join(map(repr, near or there[:8]))
        raise ValueError(
            f"{file} has no column {name!r}; {'close names are' if near else 'it has'} "
            f"{listed or 'no columns'}. {described}"
        )
