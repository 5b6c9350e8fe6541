"""Two models with their sets and an evaluation."""

import pytest
from report_fakes import GaussianModel, digit_sets, fake_evaluation, gaussian_sets


@pytest.fixture(scope="session")
def gaussians():
    """A model, its sets, and an evaluation."""
    model, sets = GaussianModel(), gaussian_sets()
    return model, sets, fake_evaluation(model.embed(sets).z)


@pytest.fixture(scope="session")
def digits():
    pytest.importorskip("sklearn")
    model, sets = digit_sets()
    return model, sets, fake_evaluation(model.embed(sets).z)
