"""What the script of a report page draws: points, metadata and their colours, as JSON.

The page works without the script. Its content security policy permits this one script, by the hash
of its text, and JSON is data that no browser runs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distembed.report.colour import colouring
from distembed.report.column import Column
from distembed.report.figures import ellipse_covariances
from distembed.report.levels import Kind, quantities, texts_of
from distembed.report.plane import Plane, ellipses
from distembed.report.style import REAL, SEQUENTIAL

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings

__all__ = ["Script", "map_data", "map_script"]

_LONGER_SIDE = 10_000


@dataclass(frozen=True)
class Script:
    """A script, and its hash for a content security policy."""

    text: str
    hash: str


def map_script() -> Script:
    """Read the script of the map."""
    text = (Path(__file__).parent / "template" / "map.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).digest()
    return Script(text, f"sha256-{base64.b64encode(digest).decode()}")


def map_data(
    planes: Sequence[Plane], embeddings: Embeddings, column: Column, columns: int = 30
) -> dict[str, Any]:
    """Describe a map for the script.

    Args:
        planes: Layouts of the sets.
        embeddings: The sets.
        column: What colours them first.
        columns: Largest number of other columns of metadata, the first ones in their order.

    Returns:
        Values that JSON has, with coordinates from 0 to 10,000 on the longer side.
    """
    described = list(_columns(embeddings, column, columns))
    trained = embeddings.trained
    return {
        "ids": np.asarray(embeddings.ids).astype(str).tolist(),
        "sizes": np.asarray(embeddings.sizes).tolist(),
        "held": None if trained is None or not trained.any() else (1 - trained).tolist(),
        "planes": [_plane(plane, embeddings) for plane in planes],
        "columns": described,
        "color": 0,
        "ramp": SEQUENTIAL,
        "missing": REAL,
        "left_out": max(0, len(set(embeddings.meta) - {column.name}) - columns),
    }


def _plane(plane: Plane, embeddings: Embeddings) -> dict[str, Any]:
    low, spread = plane.points.min(0), np.ptp(plane.points, axis=0)
    unit = _LONGER_SIDE / max(float(spread.max()), 1e-300)
    x, y = np.round((plane.points - low) * unit).astype(int).T
    cov = ellipse_covariances(embeddings)
    regions = None if cov is None else ellipses(plane, cov, embeddings.df)
    drawn: list[Any] | None = None
    if regions is not None:
        drawn = [0] * len(plane.points)
        for row, semi, angle in zip(regions.rows, regions.semi, regions.angle, strict=True):
            drawn[row] = [*np.round(semi * unit).astype(int).tolist(), round(float(angle))]
    return {
        "name": plane.method,
        "axes": plane.axes,
        "x": x.tolist(),
        "y": y.tolist(),
        # a side without spread has room nevertheless
        "extent": np.maximum(np.round(spread * unit), 1).astype(int).tolist(),
        "regions": drawn,
    }


def _columns(embeddings: Embeddings, column: Column, count: int) -> Iterator[dict[str, Any]]:
    """Describe the first column, the others, and the number of atoms."""
    others = [name for name in embeddings.meta if name != column.name][:count]
    yield _column(column.name, column.values, column.kind)
    for name in others:
        yield _column(name, np.asarray(embeddings.meta[name]))
    if column.among:
        yield _column("number of atoms", np.asarray(embeddings.sizes, dtype=float)) | {"size": 1}


def _column(name: str, values: NDArray[Any], kind: Kind | None = None) -> dict[str, Any]:
    colours = colouring(name, values, kind)
    levels = [[level.label, level.color, level.count] for level in colours.levels]
    text = texts_of(values)
    if colours.range is None:
        labels = [levels[code][0] for code in colours.codes]
        own = {"text": text} if "other" in labels else {}  # rare levels share one colour
        return {"name": name, "levels": levels, "codes": colours.codes.tolist(), **own}
    numbers = quantities(values)
    low, high = colours.range
    place = np.clip((np.nan_to_num(numbers, nan=low) - low) / ((high - low) or 1.0), 0, 1)
    places = np.where(np.isfinite(numbers), np.round(100 * place), -1).astype(int)
    return {
        "name": name,
        "range": list(colours.ends),
        "places": places.tolist(),
        "text": text,
        "none": levels,
    }
