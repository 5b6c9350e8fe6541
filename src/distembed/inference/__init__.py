"""Statistical inference on embeddings: covariances, intervals, tests, and the population.

Everything here takes an encoder, or arrays of embeddings and covariances, from any source; those
of a GDE are `model.embedder` and `model.embed(sets)`.

>>> import numpy as np
>>> from distembed.inference import pairwise_tests
>>> z, cov = np.array([[0.0], [0.0], [5.0]]), np.full((3, 1, 1), 0.5)
>>> pairwise_tests(z, cov, [[0, 1], [0, 2]]).q.round(6).tolist()
[1.0, 1e-06]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distembed.inference.calibrated import w2_interval
    from distembed.inference.contributions import attribute_change
    from distembed.inference.intervals import limit_interval, unbiased_squared
    from distembed.inference.population.density import Population
    from distembed.inference.population.flow import FlowPopulation, FlowSettings
    from distembed.inference.population.selection import PopulationSettings
    from distembed.inference.sample_size import (
        DistanceError,
        EmbeddingError,
        Power,
        needed_atoms,
    )
    from distembed.inference.tests.multiplicity import benjamini_hochberg
    from distembed.inference.tests.pairwise import pairwise_tests
    from distembed.inference.tests.two_sample import k_sample_test, two_sample_test

__all__ = [
    "DistanceError",
    "EmbeddingError",
    "FlowPopulation",
    "FlowSettings",
    "Population",
    "PopulationSettings",
    "Power",
    "attribute_change",
    "benjamini_hochberg",
    "k_sample_test",
    "limit_interval",
    "needed_atoms",
    "pairwise_tests",
    "two_sample_test",
    "unbiased_squared",
    "w2_interval",
]

_MODULES = {
    "DistanceError": "sample_size",
    "EmbeddingError": "sample_size",
    "FlowPopulation": "population.flow",
    "FlowSettings": "population.flow",
    "Population": "population.density",
    "PopulationSettings": "population.selection",
    "Power": "sample_size",
    "attribute_change": "contributions",
    "benjamini_hochberg": "tests.multiplicity",
    "k_sample_test": "tests.two_sample",
    "limit_interval": "intervals",
    "needed_atoms": "sample_size",
    "pairwise_tests": "tests.pairwise",
    "two_sample_test": "tests.two_sample",
    "unbiased_squared": "intervals",
    "w2_interval": "calibrated",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
