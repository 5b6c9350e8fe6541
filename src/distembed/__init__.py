"""Embed whole distributions: a vector, distances and new samples for every set of samples.

>>> import distembed as de
>>> sets = de.read([[[0.0], [1.0]], [[5.0], [6.0], [7.0]]])
>>> len(sets), sets.sizes.tolist()
(2, [2, 3])

Names are loaded when they are first used, so that importing this costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from distembed.version import __version__

if TYPE_CHECKING:
    from distembed.batch import SetBatch
    from distembed.evaluation.evaluate import evaluate
    from distembed.geometry.tangent import tangent_pca
    from distembed.heads.forecasts import forecast
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.model.sample_method import SampleMethod
    from distembed.report import overview, write_report
    from distembed.sets.build import build_store
    from distembed.sets.collection import Sets
    from distembed.sets.hierarchy import hierarchy
    from distembed.sets.kernel import Kernel, by_kernel
    from distembed.sets.mixtures import mixtures
    from distembed.sets.niches import niches
    from distembed.sets.noisy import by_noisy_label
    from distembed.sets.pairs import next_set
    from distembed.sets.read import read, read_atoms
    from distembed.sets.region import split_by_region
    from distembed.sets.window import by_window
    from distembed.testing import (
        check_collection,
        check_divergence,
        check_encoder,
        check_generator,
    )
    from distembed.training.config import TrainConfig

    load = GDE.load

__all__ = [
    "GDE",
    "Embeddings",
    "Kernel",
    "SampleMethod",
    "SetBatch",
    "Sets",
    "TrainConfig",
    "__version__",
    "build_store",
    "by_kernel",
    "by_noisy_label",
    "by_window",
    "check_collection",
    "check_divergence",
    "check_encoder",
    "check_generator",
    "evaluate",
    "forecast",
    "hierarchy",
    "load",
    "mixtures",
    "next_set",
    "niches",
    "overview",
    "read",
    "read_atoms",
    "split_by_region",
    "tangent_pca",
    "write_report",
]

_HOMES = {
    "GDE": "distembed.model.gde:GDE",
    "Embeddings": "distembed.model.embeddings:Embeddings",
    "Kernel": "distembed.sets.kernel:Kernel",
    "SampleMethod": "distembed.model.sample_method:SampleMethod",
    "SetBatch": "distembed.batch:SetBatch",
    "Sets": "distembed.sets.collection:Sets",
    "TrainConfig": "distembed.training.config:TrainConfig",
    "build_store": "distembed.sets.build:build_store",
    "by_kernel": "distembed.sets.kernel:by_kernel",
    "by_noisy_label": "distembed.sets.noisy:by_noisy_label",
    "by_window": "distembed.sets.window:by_window",
    "check_collection": "distembed.testing:check_collection",
    "check_divergence": "distembed.testing:check_divergence",
    "check_encoder": "distembed.testing:check_encoder",
    "check_generator": "distembed.testing:check_generator",
    "evaluate": "distembed.evaluation.evaluate:evaluate",
    "forecast": "distembed.heads.forecasts:forecast",
    "hierarchy": "distembed.sets.hierarchy:hierarchy",
    "load": "distembed.model.gde:GDE.load",
    "mixtures": "distembed.sets.mixtures:mixtures",
    "next_set": "distembed.sets.pairs:next_set",
    "niches": "distembed.sets.niches:niches",
    "overview": "distembed.report.picture:overview",
    "read": "distembed.sets.read:read",
    "read_atoms": "distembed.sets.read:read_atoms",
    "split_by_region": "distembed.sets.region:split_by_region",
    "tangent_pca": "distembed.geometry.tangent:tangent_pca",
    "write_report": "distembed.report.page:write_report",
}
_MODULES = (
    "apps",
    "batch",
    "benchmarks",
    "data",
    "divergences",
    "encoders",
    "evaluation",
    "generators",
    "geometry",
    "heads",
    "inference",
    "model",
    "nn",
    "plot",
    "protocols",
    "report",
    "sets",
    "testing",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"distembed.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'distembed' has no attribute {name!r}")
    module, _, path = _HOMES[name].partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
