"""The bench of poolings, in a size that a test can run."""

import json

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks import pooling
from distembed.benchmarks.pooling import METHODS, TASKS, MaxPooling, SumPooling
from distembed.benchmarks.table import tabulate
from distembed.encoders.deepsets import DeepSets
from distembed.encoders.statistics import run as compute

SOME = ("gde", "mean", "sum")
# two steps teach a generator nothing, and training says so
pytestmark = pytest.mark.filterwarnings("ignore:The generator:UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    settings = {"steps": 2, "every": 2, "batch": 4, "target": 4, "warmup": 1}
    monkeypatch.setattr(pooling, "CONFIG", pooling.CONFIG.model_copy(update=settings))
    monkeypatch.setattr(pooling, "TRAIN_SETS", 20)
    monkeypatch.setattr(pooling, "LATENT", 8)
    monkeypatch.setattr(pooling, "SIZES", (10, 100, 200))
    some = {name: METHODS[name] for name in SOME}
    monkeypatch.setattr(pooling, "METHODS", some)
    few = {name: pooling.replace(task, sets=3, drawn=10) for name, task in TASKS.items()}
    monkeypatch.setattr(pooling, "TASKS", few)


def test_the_record(tiny, tmp_path):
    pytest.importorskip("matplotlib")
    lines = []
    result = pooling.bench(seeds=1, plots=tmp_path / "new", log=lines.append)
    cells = {(r["task"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert len(cells) == len(result["rows"])
    assert all(np.isfinite(value) for value in cells.values())
    for task in TASKS:
        for m in (10, 100, 200):
            found = {name for t, name, metric in cells if (t, metric) == (task, f"w2_m{m}")}
            assert found == {*SOME, "points", "floor"}
            found = {name for t, name, metric in cells if (t, metric) == (task, f"drift_m{m}")}
            assert found == set(SOME)
        assert cells[task, "points", "w2_m200"] < cells[task, "points", "w2_m10"]
        assert cells[task, "floor", "w2_m200"] == cells[task, "floor", "w2_m10"]
        # even untrained, a sum moves with the number of atoms and a mean does not
        assert cells[task, "sum", "drift_m200"] > 3 * cells[task, "mean", "drift_m200"]
        assert (tmp_path / "new" / f"pooling_{task}.svg").read_text().count("<svg") == 1
    assert result["config"]["encoders"]["sum"]["pooling"] == "SumPooling"
    assert result["config"]["context"] == [100, 100]
    json.dumps(result, allow_nan=False)
    assert "| sum |" in tabulate([result])


def test_the_controls_are_what_they_are_called():
    x = torch.randn(7, 3)
    batch = SetBatch(x, torch.tensor([0.2, 0.3, 0.5, *[0.25] * 4]), torch.tensor([0, 3, 7]))
    found = compute(MaxPooling()(batch, x), batch)
    assert torch.equal(found, torch.stack([x[:3].amax(0), x[3:].amax(0)]))
    equal = SetBatch.from_list([x[:3], x[3:]])
    found = compute(SumPooling()(equal, x), equal)
    torch.testing.assert_close(found, torch.stack([x[:3].sum(0), x[3:].sum(0)]))


def test_only_the_pooling_differs():
    bare = [options for _, options in METHODS.values() if options]
    assert all(not o["relative"] for o in bare)
    made = [DeepSets((2,), 4, **o) for e, o in METHODS.values() if e == "deepsets" and o]
    assert len(made) == 6
    for encoder in made:
        assert [type(layer) for layer in encoder.layers] == [type(k) for k in made[0].layers]
        assert type(encoder.feedback).__name__ == "MeanPooling"


def test_what_breaks_away_has_a_number():
    exam = pooling._Exam.of(pooling.replace(TASKS["mixture_2d"], sets=2, drawn=5), 0)
    broken = torch.full((2, 5, 2), torch.nan)
    assert exam.error(broken) == pytest.approx(pooling.FAR * 2**0.5, rel=1e-2)


def test_drift():
    """A cloud moved by its own standard deviation has drifted by one."""
    z = np.random.default_rng(0).normal(size=(50, 4))
    shift = np.zeros(4)
    shift[1] = np.sqrt(z.var(0, ddof=1).sum())
    assert pooling._drift(z + shift, z) == pytest.approx(1)
    assert pooling._drift(z, z) == 0


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'x'; there are: gaussian_5d, mixture_2d"):
        pooling.bench(tasks=["x"], log=print)
