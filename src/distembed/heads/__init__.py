"""Prediction from embeddings, as estimators of scikit-learn that use the error bars of z.

>>> import numpy as np
>>> from distembed.heads import SetRegressor
>>> z = np.linspace(-1, 1, 20)[:, None]
>>> SetRegressor(penalties=(1e-6,)).fit(z, 3 * z[:, 0]).predict([[0.5]]).round(3).tolist()
[1.5]

Names are loaded when they are first used; they need the extra `sklearn`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distembed.heads.added import AddedValue, added_value
    from distembed.heads.baseline import mean_table
    from distembed.heads.conformal import conformal_quantile
    from distembed.heads.cross_validation import CrossValidation, cross_validated
    from distembed.heads.embedder import DistributionEmbedder
    from distembed.heads.estimators import SetClassifier, SetRegressor
    from distembed.heads.explanation import Explanation, explain
    from distembed.heads.forecasts import Forecast, forecast
    from distembed.heads.hazards import event_times
    from distembed.heads.joined import join_features
    from distembed.heads.ordered import SetOrdinal
    from distembed.heads.survival import SetSurvival

__all__ = [
    "AddedValue",
    "CrossValidation",
    "DistributionEmbedder",
    "Forecast",
    "Explanation",
    "SetClassifier",
    "SetOrdinal",
    "SetRegressor",
    "SetSurvival",
    "added_value",
    "conformal_quantile",
    "cross_validated",
    "event_times",
    "forecast",
    "explain",
    "join_features",
    "mean_table",
]

_MODULES = {
    "AddedValue": "added",
    "CrossValidation": "cross_validation",
    "DistributionEmbedder": "embedder",
    "Forecast": "forecasts",
    "Explanation": "explanation",
    "SetClassifier": "estimators",
    "SetOrdinal": "ordered",
    "SetRegressor": "estimators",
    "SetSurvival": "survival",
    "added_value": "added",
    "conformal_quantile": "conformal",
    "cross_validated": "cross_validation",
    "event_times": "hazards",
    "forecast": "forecasts",
    "explain": "explanation",
    "join_features": "joined",
    "mean_table": "baseline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
