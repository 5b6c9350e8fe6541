"""Figures of a model and its sets: single plots, an overview picture, and an HTML page.

`plots` draws arrays into axes of the caller and can be used alone. `write_report` writes one HTML
file about a cohort and its model, `overview` one picture, and `compare_groups` tests the groups of
a cohort.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distembed.report.groups import compare_groups
    from distembed.report.page import write_report
    from distembed.report.picture import overview

__all__ = ["compare_groups", "overview", "write_report"]

_HOME = {
    "compare_groups": "distembed.report.groups",
    "overview": "distembed.report.picture",
    "write_report": "distembed.report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
