"""Plots of a cohort and a model: matplotlib axes go in, and the same axes come out.

    import distembed as de
    de.plot.map(table, "diagnosis")
    de.plot.distances(model.distances(table), table, color="diagnosis")

Every function draws into the axes that it is given, or into new ones, with the numbers of the
report page; a colour bar stands beside them. Colours of text and lines are those of the axes, so
that a plot follows the user's style. It needs the extra `plot`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distembed.plot.atoms import contributions, path, samples
    from distembed.plot.fitted import calibration, reliability
    from distembed.plot.heat_map import cluster_order, distances
    from distembed.plot.maps import map

__all__ = [
    "calibration",
    "cluster_order",
    "contributions",
    "distances",
    "map",
    "path",
    "reliability",
    "samples",
]

_HOME = {
    "calibration": "fitted",
    "cluster_order": "heat_map",
    "contributions": "atoms",
    "distances": "heat_map",
    "map": "maps",
    "path": "atoms",
    "reliability": "fitted",
    "samples": "atoms",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
