"""Where a report goes: found out before the work, not after it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["claim"]


def claim(path: str | Path, what: str) -> Path:
    """Make the folder of a file, and check that the file can be written there.

    Args:
        path: The file.
        what: What it will hold, for the error.

    Raises:
        ValueError: If it is a folder, or cannot be written.
    """
    path = Path(path)
    probe = path.with_name(f".{path.name}.probe")
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"{what.capitalize()} cannot be written to {str(path)!r} ({error.strerror}). Give "
            "the path of a file in a folder that you may write to."
        ) from error
    return path
