"""Scores of folds: gains over the best baseline, verdicts over tasks, and trials on disk."""

import json

import numpy as np
import pytest
from scipy import stats

from distembed.benchmarks.cohort_scores import combine_folds, fold_score
from distembed.benchmarks.finished import FinishedTrials
from distembed.evaluation.result import Score

pytest.importorskip("sklearn")


def trial(task, methods):
    """Scores of one repeat of five folds."""
    return [
        Score("auc", name, value, task=task, note="5")
        for name, values in methods.items()
        for value in values
    ]


def rows(scores):
    return {(s.task, s.method, s.metric): s for s in scores}


def test_the_gain_is_over_the_baseline_of_the_largest_mean():
    base, other = np.array([0.6, 0.7, 0.6, 0.7, 0.65]), np.array([0.9, 0.1, 0.5, 0.5, 0.5])
    own = base + np.array([0.1, 0.12, 0.09, 0.1, 0.11])
    table = rows(combine_folds([trial("t", {"mean": base, "kernel": other, "gde": own})]))
    gain = table["t", "gde", "gain"]
    gap = own - base
    assert gain.value == pytest.approx(gap.mean())
    error = np.sqrt((1 / 5 + 1 / 4) * gap.var(ddof=1))
    assert gain.high - gain.low == pytest.approx(2 * stats.t.ppf(0.975, 4) * error)
    p = 2 * stats.t.sf(gap.mean() / error, 4)
    assert table["t", "gde", "p_holm"].value == pytest.approx(p)
    assert ("t", "mean", "gain") not in table
    assert table["t", "mean", "auc"].value == pytest.approx(base.mean())


def test_wins_are_after_holm_ties_between_and_losses_below_zero():
    base, noise = np.full(5, 0.5), np.array([-0.01, 0.01, 0.0, 0.005, -0.005])
    trials = [
        trial("win", {"mean": base, "gde": base + 0.2 + noise}),
        trial("tie", {"mean": base, "gde": base + noise}),
        trial("loss", {"mean": base, "gde": base - 0.2 + noise}),
    ]
    table = rows(combine_folds(trials))
    (task,) = {task for task, _, metric in table if metric == "wins"}
    counts = [table[task, "gde", name].value for name in ("wins", "ties", "losses")]
    assert counts == [1, 1, 1]
    # t = 0.02 / sqrt((1 / 5 + 1 / 4) 6.25e-5) = 3.8, p = 0.02: clear alone, not among 30 tasks
    weak = base + 0.02 + noise
    assert combine_folds([trial("a", {"mean": base, "gde": weak})])[-3].value == 1
    many = [trial(f"a{i}", {"mean": base, "gde": weak}) for i in range(30)]
    assert combine_folds(many)[-3].value == 0


def test_repeats_share_training_sets_and_narrow_the_interval_less_than_their_number():
    rng = np.random.default_rng(0)
    values = rng.normal(0.7, 0.05, 10)
    once = trial("t", {"mean": values[:5]})
    twice = rows(combine_folds([once, trial("t", {"mean": values[5:]})]))["t", "mean", "auc"]
    assert twice.seeds == 2
    half = stats.t.ppf(0.975, 9) * np.sqrt((1 / 10 + 1 / 4) * values.var(ddof=1))
    assert twice.high - twice.value == pytest.approx(half)


def test_the_score_of_a_fold_has_the_variance_of_the_cohort():
    y = np.array([1.0, 1.0])  # a fold of one dose has no variance of its own
    assert fold_score(y, y, 4.0) == 1
    assert fold_score(y, y + 2, 4.0) == 0


def test_finished_trials_come_back_for_the_same_settings_alone(tmp_path):
    scores = [Score("auc", "gde", 0.5, task="t", note="5"), Score("auc", "mean", float("nan"))]
    finished = FinishedTrials(tmp_path / "parts", {"steps": 3, "sizes": (1, 2)})
    assert finished.read("t", 0) is None
    finished.write("t", 0, scores)
    read = finished.read("t", 0)
    assert read[0] == scores[0]
    assert not read[1].defined
    assert finished.read("t", 1) is None
    other = FinishedTrials(tmp_path / "parts", {"steps": 4, "sizes": (1, 2)})
    assert other.read("t", 0) is None
    (file,) = (tmp_path / "parts").iterdir()
    file.write_text(file.read_text()[:-20])
    assert finished.read("t", 0) is None
    (tmp_path / "parts" / "mine").touch()
    finished.remove()
    assert [f.name for f in (tmp_path / "parts").iterdir()] == ["mine"]


def test_another_version_measures_again(tmp_path):
    finished = FinishedTrials(tmp_path, {})
    finished.write("t", 0, [])
    (file,) = tmp_path.iterdir()
    stored = json.loads(file.read_text())
    stored["run"]["version"] = "0"
    file.write_text(json.dumps(stored))
    assert finished.read("t", 0) is None
