"""How sets were made, as text that a model's card shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["recipe_of"]


def recipe_of(verb: str, arguments: Mapping[str, Any]) -> str:
    """Write a verb and its arguments; those that are None are left out, and data are counted.

    Example:
        >>> recipe_of("by_window", {"along": "day", "width": 30.0, "within": None})
        "by_window(along='day', width=30.0)"
        >>> recipe_of("by_kernel", {"anchors": {"x": [1.0, 2.0]}})
        'by_kernel(anchors=a table of 2 rows)'
    """
    parts = (f"{name}={_text(value)}" for name, value in arguments.items() if value is not None)
    return f"{verb}({', '.join(parts)})"


def _text(value: Any) -> str:
    if hasattr(value, "columns"):
        # not every frame has a length, but its columns do
        return f"a table of {len(value[next(iter(value.columns))])} rows"
    if isinstance(value, Mapping):
        first = next(iter(value.values()), ())
        count = len(value) if isinstance(first, Mapping | float | int) else len(first)
        return f"a table of {count} rows"
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return repr(list(value))
    if hasattr(value, "shape") and value.shape or isinstance(value, list):
        return f"{len(value)} given"
    return repr(value)
