"""Fixtures for every test: one thread, real data where it is, and no leaked global state."""

import os
from pathlib import Path

# laws hold on the CPU, in float64; `make test-gpu` has what a GPU must share with it
if not os.environ.get("DISTEMBED_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
# CI is the same run every time; on a loaded machine an example may take long
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def _global_state():
    """Start every test from the same global generator, and fail one that leaves torch changed."""
    before = (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    after = (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
    assert after == before, f"the test left torch changed: {before} -> {after}"


@pytest.fixture
def data_dir():
    """Folder of real data sets, or skip."""
    folder = os.environ.get("DISTEMBED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DISTEMBED_DATA names no folder of data sets")
    return Path(folder)
