"""Heads on disk: the same predictions, and files or models that do not fit are refused."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from safetensors.numpy import save_file
from sklearn.linear_model import Ridge

import distembed as de
from distembed.heads import (
    DistributionEmbedder,
    SetClassifier,
    SetOrdinal,
    SetRegressor,
    SetSurvival,
    event_times,
    join_features,
)
from distembed.heads.corrections import CORRECTIONS
from distembed.heads.stored import StoredHead, read_head


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    sets = de.read([rng.normal(m, 1, (15, 2)).astype(np.float32) for m in rng.normal(size=40)])
    some = sets.select(np.arange(10))
    model = de.GDE(latent=4).fit(some, steps=1, warmup=0, metric_steps=0, progress=False)
    return model, model.embed(sets), rng.normal(size=40)


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_regressor_predicts_the_same(fitted, tmp_path, name):
    model, table, y = fitted
    head = SetRegressor(correction=name, penalties=(0.1,), calibration=0.5).fit(table, y)
    StoredHead.of(head, "age", model, table.ids[:30]).write(tmp_path / "h.safetensors")
    read = read_head(tmp_path / "h.safetensors")
    np.testing.assert_array_equal(read.estimator.predict(table), head.predict(table))
    for one, two in zip(
        read.estimator.predict_interval(table, 0.8), head.predict_interval(table, 0.8), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert read.target == "age"
    assert read.was_fitted_to(table.ids).tolist() == [True] * 30 + [False] * 10
    read.check(model)


@pytest.mark.parametrize("name", ["none", "platt", "isotonic"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_predicts_the_same(fitted, tmp_path, name, classes):
    model, table, y = fitted
    label = np.array(["a", "b", "c"])[np.digitize(y, [0.0, 0.8][: classes - 1])]
    head = SetClassifier(penalties=(0.1,), calibration=name, folds=2).fit(table, label)
    StoredHead.of(head, "stage", model, table.ids).write(tmp_path / "h.safetensors")
    read = read_head(tmp_path / "h.safetensors").estimator
    np.testing.assert_array_equal(read.predict_proba(table), head.predict_proba(table))
    assert read.predict(table).tolist() == head.predict(table).tolist()


def test_what_does_not_fit_is_refused(fitted, tmp_path):
    model, table, y = fitted
    head = SetRegressor(penalties=(0.1,), correction="none").fit(table, y)
    stored = StoredHead.of(head, "age", model, table.ids)
    file = tmp_path / "h.safetensors"
    stored.write(file)
    other = de.GDE(latent=4).fit(
        [np.zeros((3, 2), np.float32) + i for i in range(4)], steps=1, warmup=0, metric_steps=0,
        progress=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="embeddings of another model"):
        stored.check(other)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match="is no head of distembed predict"):
        read_head(file)
    with pytest.raises(FileNotFoundError, match="--save-head"):
        read_head(tmp_path / "none.safetensors")
    within = SetRegressor(DistributionEmbedder(), penalties=(0.1,))
    with pytest.raises(TypeError, match="A SetRegressor with an embedder cannot be stored"):
        StoredHead.of(within, "age", model, []).write(file)
    with pytest.raises(TypeError, match="A Ridge cannot be stored; stored are SetClassifier"):
        StoredHead.of(Ridge(), "age", model, []).write(file)
    save_file({"x": y}, file)
    with pytest.raises(ValueError, match="its header has no entry 'head'"):
        read_head(file)


def test_an_ordinal_and_a_survival_head_predict_the_same(fitted, tmp_path):
    model, table, y = fitted
    stage = np.array(["mild", "bad", "worst"])[np.digitize(y, [-0.5, 0.5])]
    form = {"penalties": (0.1,), "correction": "marginal"}
    ordinal = SetOrdinal(order=["mild", "bad", "worst"], **form).fit(table, stage)
    StoredHead.of(ordinal, "stage", model, table.ids).write(tmp_path / "o.safetensors")
    read = read_head(tmp_path / "o.safetensors").estimator
    np.testing.assert_array_equal(read.predict_proba(table), ordinal.predict_proba(table))
    assert read.predict(table).tolist() == ordinal.predict(table).tolist()
    survival = SetSurvival(**form).fit(table, event_times(np.exp(y), np.arange(40) % 3 > 0))
    StoredHead.of(survival, "death", model, table.ids).write(tmp_path / "s.safetensors")
    read = read_head(tmp_path / "s.safetensors").estimator
    one, two = (head.predict_survival(table, [0.5, 1.0]) for head in (read, survival))
    np.testing.assert_array_equal(one, two)


def test_a_head_of_joined_features_predicts_the_same(fitted, tmp_path):
    model, table, y = fitted
    joined = join_features(table, np.c_[y + 1, y**2])
    head = SetRegressor(penalties=(0.1,), correction="calibrated").fit(joined, y)
    StoredHead.of(head, "age", model, table.ids).write(tmp_path / "h.safetensors")
    read = read_head(tmp_path / "h.safetensors").estimator
    np.testing.assert_array_equal(read.predict(joined), head.predict(joined))
    with pytest.raises(ValueError, match="X has 4 features, but SetRegressor is expecting 6"):
        read.predict(table)
