"""Exported encoders agree with the model for any number of sets and of atoms."""

import json
import sys

import numpy as np
import pytest
import torch
from model_fakes import FAST, SMALL

import distembed as de
from distembed.batch import SetBatch
from distembed.model.export import ExportSettings, PaddedEncoder

exports = pytest.mark.skipif(torch.__version__ < (2, 13), reason="exports need a newer torch")
SHAPES = [(1, 1), (1, 5), (4, 2), (3, 60)]
PLAIN = {"latent": 3, "encoder": {"name": "moments", "kind": "mean"}}


def sets_of(model, count, m):
    """Sets in the units of the data, with weights and an atom of weight zero."""
    rng = np.random.default_rng(count * 100 + m)
    height = 5000 + 1000 * rng.normal(size=(count, m))
    columns = [height, 0.5 + 0.1 * rng.normal(size=(count, m)), np.full((count, m), 7.25)]
    x = np.stack(columns, -1).astype("float32")
    w = rng.uniform(0.1, 3, (count, m)).astype("float32")
    w[:, 1:2] = 0
    return x, w


def session(path):
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def agrees(model, embed):
    """Compare with the model on sets of all shapes, packed without their atom of weight zero."""
    for count, m in SHAPES:
        x, w = sets_of(model, count, m)
        kept = [row > 0 for row in w]
        packed = SetBatch.from_list(
            [a[k] for a, k in zip(x, kept, strict=True)],
            [v[k] for v, k in zip(w, kept, strict=True)],
        )
        expected = model.embed(packed, covariance=False).z
        z = embed(x, w)
        assert z.shape == expected.shape
        assert np.abs(z - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.fixture(scope="module")
def plain(named):
    return de.GDE(**SMALL | PLAIN).fit(named, **FAST)


@exports
def test_a_program_of_torch_agrees_with_the_model(plain, tmp_path):
    result = plain.export(tmp_path / "encoder.pt2")
    assert result.error < 1e-5
    assert result.transform == ("standardise",)
    about = {"distembed.json": ""}
    module = torch.export.load(str(result.path), extra_files=about).module()
    agrees(plain, lambda x, w: module(torch.tensor(x), torch.tensor(w)).numpy())
    assert json.loads(about["distembed.json"])["features"] == ["height", "ratio", "same"]
    assert [f.name for f in tmp_path.iterdir()] == ["encoder.pt2"]


def test_an_onnx_file_agrees_with_the_model_and_describes_itself(plain, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    result = plain.export(tmp_path / "encoder.onnx")
    runtime = session(result.path)
    agrees(plain, lambda x, w: runtime.run(None, {"atoms": x, "weights": w})[0])
    shapes = {i.name: i.shape for i in runtime.get_inputs()}
    assert shapes == {"atoms": ["sets", "atoms", 3], "weights": ["sets", "atoms"]}
    assert [(o.name, o.shape) for o in runtime.get_outputs()] == [("z", ["sets", 3])]
    about = json.loads(runtime.get_modelmeta().custom_metadata_map["distembed"])
    assert about["transform"] == ["standardise"]
    assert about["event_shape"] == [3]


@exports
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_the_default_encoder_can_be_exported(model, tmp_path, suffix):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
    result = model.export(tmp_path / f"encoder{suffix}")
    if suffix == ".onnx":
        runtime = session(result.path)
        agrees(model, lambda x, w: runtime.run(None, {"atoms": x, "weights": w})[0])
    else:
        module = torch.export.load(str(result.path)).module()
        agrees(model, lambda x, w: module(torch.tensor(x), torch.tensor(w)).detach().numpy())


@pytest.mark.slow
def test_an_encoder_of_images_can_be_exported(tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    rng = np.random.default_rng(0)
    images = [rng.uniform(0, 1, (20, 1, 6, 6)).astype("float32") * s for s in (0.3, 0.6, 0.9, 1.2)]
    model = de.GDE(latent=5, generator="explicit").fit(images * 3, **FAST)
    result = model.export(tmp_path / "encoder.onnx")
    z = session(result.path).run(
        None, {"atoms": np.stack(images), "weights": np.ones((4, 20), "float32")}
    )[0]
    expected = model.embed(images, covariance=False).z
    assert np.abs(z - expected).max() < 1e-5 * np.abs(expected).max()


class Choosing(torch.nn.Module):
    """An encoder with a branch that depends on values."""

    latent = 3

    def forward(self, batch):
        mean = batch.mean(batch.x)
        return mean if bool(mean.sum() > 0) else 2 * mean


def test_an_encoder_that_chooses_by_values_is_refused_by_name(named, tmp_path):
    model = de.GDE(**SMALL | {"encoder": Choosing(), "latent": None}).fit(named, **FAST)
    with pytest.raises(ValueError, match=r"Choosing cannot be exported"):
        model.export(tmp_path / "encoder.pt2")
    assert not list(tmp_path.iterdir())


@exports
def test_a_file_that_differs_is_not_written(plain, tmp_path):
    with pytest.raises(ValueError, match="differs from the model"):
        plain.export(tmp_path / "encoder.pt2", ExportSettings(tolerance=-1.0))
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(plain, tmp_path):
    with pytest.raises(ValueError, match=r"the suffix '.h5'"):
        plain.export(tmp_path / "encoder.h5")


def test_sequences_and_missing_values_are_refused(tmp_path):
    strings = [["ACG", "AAC", "GGT"], ["TTG", "TAC"], ["ACC", "CAC"], ["GGG", "GTT"]] * 4
    sets = de.read(strings, atoms={"name": "tokens", "alphabet": "ACGT"})
    options = {"encoder": {"name": "spectrum"}, "generator": "profile", "latent": 4}
    model = de.GDE(**options).fit(sets, **FAST)
    with pytest.raises(ValueError, match="tokens, which are no numbers"):
        model.export(tmp_path / "encoder.pt2")


def test_spare_sets_and_atoms_change_nothing(plain):
    x, w = (torch.tensor(v) for v in sets_of(plain, 3, 7))
    with torch.no_grad():
        z, spare = (PaddedEncoder(plain.embedder, s)(x, w) for s in (False, True))
    assert z.shape == spare.shape
    torch.testing.assert_close(z, spare)


def test_the_extra_is_named_where_it_is_missing(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    with pytest.raises(ImportError, match=r"distembed\[onnx\]"):
        plain.export(tmp_path / "encoder.onnx")
