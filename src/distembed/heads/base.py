"""Base classes of scikit-learn; without it the import names the extra that brings it."""

from __future__ import annotations

from typing import Any

from distembed.registry import need

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "RegressorMixin",
    "TransformerMixin",
    "clone",
    "is_classifier",
]

_base = need("sklearn.base", "sklearn")
BaseEstimator: Any = _base.BaseEstimator
ClassifierMixin: Any = _base.ClassifierMixin
RegressorMixin: Any = _base.RegressorMixin
TransformerMixin: Any = _base.TransformerMixin
clone: Any = _base.clone
is_classifier: Any = _base.is_classifier
