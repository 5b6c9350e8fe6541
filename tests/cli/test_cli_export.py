"""`distembed export` writes a file for other programs, and describes its inputs."""

import numpy as np
import pytest
import torch

from distembed.model.gde import GDE


@pytest.mark.slow
def test_a_program_is_written_and_described(work, run):
    outcome = run("export", work / "model", "--to", work / "encoder.pt2")
    assert outcome.code == 0, outcome.err
    model = GDE.load(work / "model")
    shape = ", ".join(map(str, model.event_shape))
    assert f"atoms (sets, atoms, {shape})" in outcome.err
    assert "transforms inside: standardise" in outcome.err
    assert all(name in outcome.err for name in model.features)
    x = model.sample(np.zeros(model.latent), 9)[None]
    module = torch.export.load(str(work / "encoder.pt2")).module()
    z = module(torch.tensor(x), torch.ones(1, 9)).detach().numpy()
    expected = model.embed([x[0]], covariance=False).z
    assert np.abs(z - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["encoder.h5", "encoder"])
def test_another_format_is_refused_before_the_model_is_read(work, run, name):
    outcome = run("export", work / "nothing", "--to", work / name)
    assert outcome.code == 1
    assert ".onnx, .pt2" in outcome.err


def test_a_file_that_exists_is_kept(work, run):
    (work / "old.onnx").write_text("old")
    outcome = run("export", work / "model", "--to", work / "old.onnx")
    assert outcome.code == 1
    assert "--force" in outcome.err
    assert (work / "old.onnx").read_text() == "old"
