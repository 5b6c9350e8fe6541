"""The demo in a size that a test can run: data, model, judge and figure."""

import json
from dataclasses import replace

import numpy as np
import pytest

from distembed.apps.digits.data import Settings, data
from distembed.apps.digits.demo import demo
from distembed.benchmarks.results import Result
from distembed.evaluation.result import Evaluation
from distembed.training.config import TrainConfig

pytest.importorskip("sklearn")


def test_quick_settings_are_smaller():
    full, quick = Settings(), Settings.quick()
    assert quick.train_sets < full.train_sets
    assert quick.test_sets < full.test_sets
    assert quick.training.steps < full.training.steps


def test_sets_are_mixtures_of_three_digits():
    digits = data(replace(Settings(), train_sets=5, test_sets=4))
    assert (len(digits.train), len(digits.test)) == (5, 4)
    for sets in (digits.train, digits.test):
        shares = np.stack([sets.meta[f"weight_{name}"] for name in digits.pool.ids], 1)
        assert ((shares > 0).sum(1) <= 3).all()
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
        assert ((sets.sizes >= 64) & (sets.sizes <= 256)).all()


@pytest.mark.filterwarnings("ignore:The generator ignores z:UserWarning")
@pytest.mark.filterwarnings("ignore:Embeddings hardly differ:UserWarning")
def test_the_demo_leaves_a_model_numbers_and_figures(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    settings = Settings(
        train_sets=12,
        test_sets=6,
        size=(64, 80),
        latent=8,
        training=TrainConfig(steps=2, every=2, batch=4, target=4, warmup=1),
    )
    lines = []
    report = demo(tmp_path, settings, log=lines.append, progress=False)
    assert report == tmp_path / "report.html"
    assert (tmp_path / "overview.png").stat().st_size > 10_000
    assert (tmp_path / "model" / "model.safetensors").exists()
    evaluation = Evaluation.from_json(json.loads((tmp_path / "evaluation.json").read_text()))
    assert evaluation.settings["truth"] == "given"
    assert len(evaluation.pairs.index) == 15
    result = Result.read(tmp_path / "demo.json")
    assert result.bench == "demo"
    # as JSON, in which what is not defined is null: NaN differs from itself
    assert [r.to_json() for r in result.scores] == [r.to_json() for r in evaluation.rows]
    assert evaluation.table() in lines
