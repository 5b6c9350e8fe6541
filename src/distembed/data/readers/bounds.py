"""Refuse a small file that claims to hold very much, before memory is allocated for it.

Tables of measurements shrink 3 to 20 times by compression. A file that grows by more than 200
times, to more than 1 GiB, is damaged or made to exhaust the memory of its reader.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["refuse_inflated"]

_SIZE = 2**30
_RATIO = 200


def refuse_inflated(
    path: Path, claimed: int, what: str, advice: str, size: int | None = None
) -> None:
    """Refuse a file whose content is too large for its size.

    Args:
        path: The file.
        claimed: Bytes of the content, as far as it has been read or is stated.
        what: The content, for the message.
        advice: The fix.
        size: Bytes of it, where it is a folder.

    Raises:
        ValueError: If it is.
    """
    size = path.stat().st_size if size is None else size
    if claimed > _SIZE and claimed > _RATIO * size:
        raise ValueError(
            f"{path.name} has {size} bytes, and {what} would take {claimed / 2**30:.1f} GiB or "
            f"more; a file that grows by more than {_RATIO} times is taken as damaged or hostile. "
            f"{advice}"
        )
