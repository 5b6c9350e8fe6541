"""Fixtures for every test: one thread, real data where it is, and no leaked global state."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_global_state_changes():
    """Fail a test that draws from or changes torch's global state."""
    before = (torch.get_default_dtype(), torch.random.get_rng_state())
    yield
    assert torch.get_default_dtype() == before[0], "the default dtype was changed"
    assert torch.equal(torch.random.get_rng_state(), before[1]), "the global generator was used"


@pytest.fixture
def data_dir():
    """Folder of real data sets, or skip."""
    folder = os.environ.get("DISTEMBED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DISTEMBED_DATA names no folder of data sets")
    return Path(folder)
