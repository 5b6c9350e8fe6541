"""Pictures of a model and its sets: single plots, an overview, and a page that holds it all.

`plots` draws arrays into axes that are handed in, and is of use on its own. `write_report` puts
everything that is known about a model into one HTML file, `overview` into one picture.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distembed.report.html import write_report
    from distembed.report.picture import overview

__all__ = ["overview", "write_report"]

_HOME = {"overview": "distembed.report.picture", "write_report": "distembed.report.html"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
