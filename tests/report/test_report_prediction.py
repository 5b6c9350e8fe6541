"""The page of a prediction: numbers, classes, and what cannot be explained; without scripts."""

import re

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

import distembed as de
from distembed.heads import (
    SetClassifier,
    SetRegressor,
    SetSurvival,
    cross_validated,
    event_times,
    mean_table,
)
from distembed.report.prediction import write_prediction
from distembed.report.prediction_plots import survival_curves


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(0)
    level = rng.uniform(-1, 1, 40)
    table = [np.c_[rng.normal(v, 1, 15), rng.normal(size=15)].astype(np.float32) for v in level]
    sets = de.read(table).with_meta(
        {
            "<level>": level,
            "side": np.where(level > 0, "high", "low"),
            "third": np.array(["a", "b", "c"])[np.digitize(level, [-0.3, 0.3])],
        }
    )
    model = de.GDE(latent=4).fit(sets, steps=1, warmup=0, metric_steps=0, progress=False)
    return sets, model, model.embed(sets)


def page(cohort, tmp_path, target, head, atoms=True, y=None):
    sets, model, table = cohort
    options = {"estimator": head, "trained": "score", "folds": 2, "repeats": 1}
    y = table.meta[target] if y is None else y
    result = cross_validated(table, y, **options)
    mean = cross_validated(mean_table(sets), y, **options) if atoms else None
    file = write_prediction(
        tmp_path / "p.html", model, sets if atoms else None, table, head.fit(table, y), result,
        mean, target,
    )  # fmt: skip
    return file.read_text(encoding="utf-8")


def test_numbers_have_a_scatter_and_an_explanation(cohort, tmp_path):
    text = page(cohort, tmp_path, "<level>", SetRegressor(penalties=(0.1,), correction="none"))
    assert "<script" not in text
    assert "<level>" not in text
    assert "Prediction of &lt;level&gt;" in text
    assert 'id="calibration"' not in text
    assert text.count("<svg") == 3
    assert "mean of atoms" in text
    assert re.search(r"A large feature 1 raises &lt;level&gt; by [\d.]+ \(p = 0.005", text)


def test_two_classes_have_a_confusion_and_calibration(cohort, tmp_path):
    text = page(cohort, tmp_path, "side", SetClassifier(penalties=(0.1,), correction="none"))
    assert text.count("<svg") == 4
    assert "Brier score is 0." in " ".join(text.split())
    # the classes are sorted, and the second is explained
    assert re.search(r"A large feature 1 lowers the log odds of low", text)


def test_times_have_survival_curves_and_an_explanation(cohort, tmp_path):
    level = cohort[0].meta["<level>"]
    y = event_times(np.exp(-level), np.arange(40) % 3 > 0)
    head = SetSurvival(penalties=(0.1,), correction="none")
    text = page(cohort, tmp_path, "<years>", head, y=y)
    assert text.count("<svg") == 3
    assert "Kaplan-Meier" in text
    assert "<years>" not in text
    assert "concordance" in text
    assert re.search(r"A large feature 1 raises the log hazard by [\d.]+ \(p = 0.005", text)


def test_survival_curves_are_products_of_shares():
    """Times 1, 2+, 3 of the half of lower hazard: 2/3 after 1, 0 after 3."""
    from matplotlib.figure import Figure

    y = event_times([1, 2, 3, 1, 1, 2], [1, 0, 1, 1, 1, 1])
    ax = Figure().add_subplot()
    survival_curves(ax, y, np.array([0, 0, 0, 1, 1, 1]), "years")
    lower, late, higher, _ = ax.get_lines()
    np.testing.assert_allclose(lower.get_xydata(), [[0, 1], [1, 2 / 3], [2, 2 / 3], [3, 0]])
    np.testing.assert_allclose(late.get_xydata(), [[2, 2 / 3]])
    np.testing.assert_allclose(higher.get_xydata(), [[0, 1], [1, 1 / 3], [2, 0]])
    assert "2 events in 3 sets" in lower.get_label()


def test_what_cannot_be_explained_is_said(cohort, tmp_path):
    head = SetClassifier(penalties=(0.1,), correction="none")
    assert "of one class against the others" in page(cohort, tmp_path, "third", head)
    text = page(cohort, tmp_path, "side", head, atoms=False)
    assert "The table of embeddings has no atoms." in text
    assert "mean of atoms" not in text
