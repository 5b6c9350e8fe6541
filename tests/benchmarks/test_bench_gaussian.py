"""The first bench, in a size that a test can run."""

import json

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks import BENCHES, gaussian
from distembed.benchmarks.table import bench_table
from distembed.data.synthetic.gaussians import Gaussians
from distembed.evaluation import BASELINES
from distembed.registry import lookup
from distembed.rng import stream

ROW = {"task", "method", "metric", "value", "low", "high", "seeds", "seconds"}


@pytest.fixture
def tiny(monkeypatch):
    settings = {"steps": 4, "every": 4, "context": (8, 16), "batch": 4, "target": 4}
    monkeypatch.setattr(gaussian, "CONFIG", gaussian.CONFIG.model_copy(update=settings))
    monkeypatch.setattr(gaussian, "TRAIN_SETS", 30)
    tasks = {
        name: gaussian.Task(task.d, task.df, task.scale, 12, 60, task.score)
        for name, task in gaussian.TASKS.items()
    }
    monkeypatch.setattr(gaussian, "TASKS", tasks)


def run(**options):
    lines = []
    return lookup(BENCHES, "gaussian", "bench")(log=lines.append, **options), lines


def test_the_record(tiny, tmp_path):
    result, lines = run(seeds=2, tasks=["gaussian_2d", "gaussian_5d_scale01"])
    assert set(result) == {"bench", "environment", "config", "rows"}
    assert result["bench"] == "gaussian"
    assert {"torch", "threads", "cores", "peak_mb"} <= set(result["environment"])
    assert result["config"]["train_sets"] == 30
    assert result["config"]["steps"] == 4
    assert all(set(row) == ROW for row in result["rows"])
    assert {row["seeds"] for row in result["rows"]} == {2}
    for row in result["rows"]:
        assert row["value"] is not None
        assert np.isfinite(row["value"]), row
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["seconds"] is not None) == (row["method"] == "gde")
    cells = {(row["task"], row["method"], row["metric"]) for row in result["rows"]}
    assert len(cells) == len(result["rows"])
    for metric in ("spearman_w2", "spearman_w2_near"):
        methods = {m for t, m, n in cells if (t, n) == ("gaussian_2d", metric)}
        assert methods == {"gde", "untrained"} | set(BASELINES) - set(gaussian.COSTLY)
    for metric in ("w2", "paper_w2"):
        methods = {m for t, m, n in cells if (t, n) == ("gaussian_5d_scale01", metric)}
        assert methods == {"gde", "untrained", "constant_cov", "floor"}
    assert lines
    text = json.dumps(result, allow_nan=False)
    (tmp_path / "bench.json").write_text(text)
    table = bench_table([tmp_path / "bench.json"])
    assert "gaussian_2d" in table
    assert "gaussian_5d_scale01" in table


def test_one_seed_has_no_interval(tiny):
    result, _ = run(seeds=1, tasks=["gaussian_2d"])
    assert {(row["low"], row["high"]) for row in result["rows"]} == {(None, None)}
    assert {row["task"] for row in result["rows"]} == {"gaussian_2d"}


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'gaussian_9d'; there are: gaussian_2d, "):
        run(tasks=["gaussian_2d", "gaussian_9d"])


def test_the_tasks_are_those_of_the_paper():
    assert set(gaussian.TASKS) == {"gaussian_2d", "gaussian_5d_scale1", "gaussian_5d_scale01"}
    for name, average in (("gaussian_5d_scale1", 0.029), ("gaussian_5d_scale01", 0.29)):
        task = gaussian.TASKS[name]
        sets = task.prior(4000, 10, 0)
        level = sets.cov.diagonal(dim1=1, dim2=2).mean()
        # I / (scale (df - d - 1)) = I / (34 scale), to the 0.4 % of 20,000 variances of 27 %
        assert float(level) == pytest.approx(1 / (34 * task.scale), rel=5 * 0.004)
        assert float(level) == pytest.approx(average, rel=0.05)
        assert (task.d, task.points) == (5, 10_000)


class Oracle:
    """Knows the mean of a set, draws a Gaussian of constant covariance around it."""

    def __init__(self, cov, blind=False):
        self.root, self.blind = torch.linalg.cholesky(cov).float(), blind

    def untrained(self):
        return Oracle(self.root @ self.root.T, blind=True)

    def embed(self, batch, covariance=True):
        class Table:
            z = batch.mean(batch.x).numpy()

        if self.blind:
            Table.z = np.random.default_rng(0).normal(size=Table.z.shape)
        return Table

    def reconstruct(self, batch, n, rng):
        shape = (len(batch), n, batch.x.shape[1])
        noise = torch.randn(shape, generator=stream("oracle", rng))
        mean = 0 if self.blind else batch.mean(batch.x)[:, None]
        return (mean + noise @ self.root.T).numpy()


def scores(task, model, sets=25, points=400):
    test = Gaussians.prior(sets, task.d, task.df, task.scale, size=points, seed=3)
    return {(m, k): v for m, k, v in task.score(model, test)}, test


def test_recovery_measures_what_it_says():
    task = gaussian.TASKS["gaussian_5d_scale01"]
    average = Gaussians.prior(25, 5, 40, 0.1, seed=3).cov.mean(0)
    found, test = scores(task, Oracle(average))
    # a model of constant covariance is the baseline of constant covariance, but for the noise
    # of 400 points: sqrt(tr C / 400) = 0.06 in the mean and as much in the covariance
    for metric in ("w2", "paper_w2"):
        assert found["gde", metric] == pytest.approx(found["constant_cov", metric], abs=0.1)
        assert found["floor", metric] < found["constant_cov", metric] < found["untrained", metric]
    assert found["floor", "energy"] < found["gde", "energy"] < found["untrained", "energy"]
    # by hand: the floor is the Bures distance of the points' moments
    from distembed.divergences.bures import Bures, bures_w2

    batch = test.batch(range(25))
    x = batch.x.view(25, 400, 5).double()
    cov = torch.stack([torch.cov(s.T, correction=0) for s in x])
    wanted = bures_w2(x.mean(1), cov, test.mean, test.cov)
    assert found["floor", "w2"] == pytest.approx(float(wanted.mean()), rel=1e-6)
    shift = (x.mean(1) - test.mean).norm(dim=1)
    paper = shift + wanted.square() - shift.square()
    assert found["floor", "paper_w2"] == pytest.approx(float(paper.mean()), rel=1e-6)
    assert Bures()(batch, SetBatch.from_dense(x.float())).max() < 1e-3


def test_geometry_measures_what_it_says():
    task = gaussian.TASKS["gaussian_2d"]
    found, _ = scores(task, Oracle(torch.eye(2).double()), sets=40)
    # an embedding that is the sample mean is the baseline `mean`
    for metric in ("spearman_w2", "spearman_w2_near"):
        assert found["gde", metric] == pytest.approx(found["mean", metric], abs=1e-6)
        assert found["untrained", metric] < found["mean", metric]
    assert found["mean", "spearman_w2"] > 0.95
