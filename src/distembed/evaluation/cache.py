"""Arrays that take minutes to compute, kept on disk under a hash of what they were computed from.

They are in `$XDG_CACHE_HOME/distembed`, or `~/.cache/distembed`; deleting the folder costs time
and nothing else. A file that cannot be read is computed again, a folder that cannot be written is
done without.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.files import write_atomically

__all__ = ["cache_folder", "cached"]

logger = logging.getLogger(__name__)

Array = NDArray[Any]


def cache_folder() -> Path:
    """Return where arrays are kept; the folder may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "distembed"


def cached(name: str, inputs: Sequence[Array], compute: Callable[[], Array]) -> Array:
    """Return `compute()`, or what it returned for the same name and inputs before.

    Args:
        name: Of the computation; another where the computation changes.
        inputs: All that the result depends on. Their types, shapes and bytes are hashed.
        compute: Takes no argument and returns an array of numbers.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=16)
    for array in map(np.ascontiguousarray, inputs):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    file = cache_folder() / f"{name}-{digest.hexdigest()}.npy"
    try:
        stored: Array = np.load(file, allow_pickle=False)
        return stored
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s cannot be read (%s) and is computed again", file, error)
    result = compute()
    content = io.BytesIO()
    np.save(content, result, allow_pickle=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content.getvalue())
    except OSError as error:
        logger.warning("%s cannot be written: %s", file, error)
    return result
