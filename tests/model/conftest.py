"""One small model for all tests that only use it."""

import numpy as np
import pytest
from model_fakes import FAST, SMALL, read, table

import distembed as de


@pytest.fixture(scope="session")
def named():
    return read(*table())


@pytest.fixture(scope="session")
def model(named):
    return de.GDE(**SMALL).fit(named, **FAST)


@pytest.fixture
def unnamed():
    rng = np.random.default_rng(1)
    return [rng.normal(size=(30, 2)) * s + s for s in rng.uniform(0.5, 2, 12)]
