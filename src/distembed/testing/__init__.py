r"""Check encoders, generators, divergences and collections, ours and a user's.

Each check returns a `Report` of its measurements, or raises `LawError`, whose message names the
broken law, the size of the error and its usual cause.

>>> from distembed.testing import check_encoder
>>> class Mean:
...     latent = 2
...     def __call__(self, batch):
...         return batch.mean(batch.x)
>>> print(check_encoder(Mean(), (2,)))
Mean passes 27 checks
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distembed.testing.collection import check_collection
    from distembed.testing.divergence import check_divergence
    from distembed.testing.encoder import check_encoder
    from distembed.testing.generator import check_generator
    from distembed.testing.report import Check, LawError, Report

__all__ = [
    "Check",
    "LawError",
    "Report",
    "check_collection",
    "check_divergence",
    "check_encoder",
    "check_generator",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = name.removeprefix("check_") if name.startswith("check_") else "report"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
