"""What is stored and printed."""

import json
import math

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.evaluation.bootstrap import BootstrapEstimate
from distembed.evaluation.metrics import METRICS, PRIMARY, metric
from distembed.evaluation.result import Evaluation, Pairs, Score, compare


def estimates(**values):
    rng = np.random.default_rng(0)
    return {k: BootstrapEstimate(v, v + 0.01 * rng.normal(size=200)) for k, v in values.items()}


def evaluation():
    rows = compare("w2", estimates(gde=0.5, pooled=0.9, floor=0.4), {"floor": "the context"})
    rows += compare("spearman_w2", estimates(gde=0.7, mean=0.93, ot=0.995, kernel_1=math.nan), {})
    pairs = Pairs(np.array([1.0, 2]), np.array([3.0, 4]), np.array([[0, 1], [0, 2]]))
    return Evaluation(tuple(rows), {"sets": 3}, pairs)


def test_round_trip():
    before = evaluation()
    after = Evaluation.from_json(json.loads(json.dumps(before.to_json(), allow_nan=False)))
    assert repr(after.rows) == repr(before.rows)  # NaN is not equal to itself
    assert after.settings == before.settings
    assert after.table() == before.table()
    for name, array in vars(before.pairs).items():
        assert np.array_equal(getattr(after.pairs, name), array)
    with pytest.raises(ValueError, match="not an evaluation"):
        Evaluation.from_json({"rows": []})


def test_a_win_and_a_loss_are_both_said():
    result = evaluation()
    won, lost = result.row("w2"), result.row("spearman_w2")
    assert "ahead of all baselines" in won.note
    assert "pooled (0.900)" in won.note
    assert "loses to ot (0.9950), mean (0.930)" in lost.note
    assert won.p < 0.05
    assert lost.p < 0.05
    assert result.row("w2", "pooled").p is None
    assert result.row("w2", "floor").note == "the context"


def test_chance_and_ties_are_no_wins():
    (own, *_) = compare("w2", estimates(gde=0.5, untrained=0.5), {})
    assert "(0.500) is level with untrained (0.500)" in own.note
    close = {"gde": 0.5, "mean": 0.5001, "pooled": 0.9}
    (own, *_) = compare("w2", estimates(**close), {})
    assert "ahead of all baselines, which may be chance; next is mean (0.500)" in own.note
    (own, *_) = compare("w2", estimates(**close | {"mean": 0.4999}), {})
    assert own.note.endswith("is behind mean (0.500), which may be chance")


def test_the_floor_is_no_rival():
    (own, _) = compare("energy", estimates(gde=0.5, floor=0.1), {})
    assert own.p is None
    assert own.note == ""


def test_table():
    text = evaluation().table()
    lines = text.splitlines()
    assert lines[0].split() == ["samples,", "lower", "is", "better", "W2"]
    assert lines[2].startswith("gde ")
    block = lines[lines.index("") + 1 :]
    assert block[0].startswith("geometry, higher is better")
    assert [line.split()[0] for line in block[2:6]] == ["gde", "mean", "ot", "kernel_1"]
    column = block[0].index("Rank corr")
    assert block[4][column:].startswith("0.9950 [")
    assert block[5][column:] == "not defined"
    assert "loses to ot" in lines[-2]
    assert "(p = 0.01)" in lines[-2]
    assert lines[-1].startswith("p: that gde and the best baseline are equal")


def test_rows_are_found_by_name():
    assert evaluation().row("w2", "pooled").value == 0.9
    with pytest.raises(ValueError, match="no w2 of bures; there are: spearman_w2 of gde"):
        evaluation().row("w2", "bures")


def test_a_score_is_one_record_from_json_to_text():
    score = Score("w2", "gde", 0.5, 0.4, 0.6, seeds=3, seconds=1.5, task="digits")
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score
    assert score.text() == "0.500 [0.400, 0.600]"
    plain = Score.from_json({"metric": "w2", "method": "gde", "value": None, "low": None})
    assert (plain.defined, plain.interval, plain.text()) == (False, None, "not defined")
    assert plain.to_json()["value"] is None
    assert Score("w2", "gde", 0.5).text() == "0.500"
    with pytest.raises(ValueError, match="missing value"):
        Score.from_json({"metric": "w2", "method": "gde"})
    with pytest.raises(ValueError, match="unknown colour"):
        Score.from_json(score.to_json() | {"colour": "red"})


def test_metrics_state_their_group_and_direction():
    assert set(PRIMARY.values()) <= set(METRICS)
    for group, name in PRIMARY.items():
        assert METRICS[name].group == group
    for name, entry in METRICS.items():
        assert (entry.target is not None) == (entry.direction == "nearest"), name
    assert metric("c2st").merit(0.45) > metric("c2st").merit(0.3)
    assert metric("spearman_w2_equal_seconds").direction == "higher"
    assert metric("w2_m100").label == "W2, 100 atoms"
    with pytest.raises(ValueError, match="no metric 'nope'"):
        metric("nope")
    with pytest.raises(ValueError, match="not a function of two batches"):
        metric("power").load()


@pytest.mark.parametrize(
    "name", [n for n, m in METRICS.items() if m.function and "vectors" in m.atoms]
)
def test_functions_of_metrics_compare_set_by_set(name):
    rng = np.random.default_rng(0)
    a, b = (SetBatch.from_dense(torch.as_tensor(rng.normal(size=(3, 8, 2)))) for _ in "ab")
    assert metric(name).load()(a, b).shape == (3,)
