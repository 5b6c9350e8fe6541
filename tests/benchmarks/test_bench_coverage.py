"""The bench of coverages, in a size that a test can run, and its truths."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distembed import calibrate
from distembed.benchmarks import coverage
from distembed.benchmarks.coverage import TASKS
from distembed.benchmarks.table import tabulate
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.limits import NormalMixtures
from distembed.inference import covariance as of_atoms
from distembed.inference.intervals import limit_interval
from distembed.model.embeddings import Embeddings
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream

KINDS = {"z", "trace", "distance", "width", "near", "same"}


@pytest.fixture
def tiny(monkeypatch):
    settings = {"steps": 2, "every": 2, "batch": 4, "target": 4, "warmup": 1}
    monkeypatch.setattr(coverage, "CONFIG", coverage.CONFIG.model_copy(update=settings))
    for name, value in {"TRAIN_SETS": 30, "SETS": 8, "LATENT": 4, "SIZES": (20, 120)}.items():
        monkeypatch.setattr(coverage, name, value)
    # 200 pairs leave 100 ratios, and an interval of W2 needs 79
    monkeypatch.setattr(calibrate, "PAIRS", 200)


# two steps teach a generator nothing, and training says so
@pytest.mark.filterwarnings("ignore:The generator:UserWarning")
def test_the_record(tiny, tmp_path, caplog):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    result = coverage.bench(seeds=1, plots=tmp_path, log=[].append)
    cells = {(r["task"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert len(cells) == len(result["rows"])
    assert all(np.isfinite(value) for value in cells.values())
    for task in TASKS:
        own = KINDS if task == "mixture_2d" else KINDS | {"w2", "w2_width"}
        for method, kinds in (("gde", own), ("untrained", KINDS)):
            for m in (20, 120):
                assert {k for t, n, k in cells if (t, n) == (f"{task}_m{m}", method)} == kinds
            assert (task, method, "limit_error") in cells
            width = [cells[f"{task}_m{m}", method, "width"] for m in (20, 120)]
            assert width[1] < width[0]
        # 16 sets of correlated coordinates: anything but a wrong unit or a wrong limit
        assert cells[f"{task}_m120", "gde", "z"] > 0.6
        assert 0.3 < cells[f"{task}_m120", "gde", "trace"] < 3
    assert cells["digits", "gde", "limit_error"] == 0
    assert any("fewer than 100 effective atoms" in message for message in caplog.messages)
    assert result["config"]["held_out_sets"] == "8 a seed, twice"
    assert (tmp_path / "coverage.svg").exists()
    json.dumps(result, allow_nan=False)
    assert "| gde |" in tabulate([result])


class Mean:
    """A model whose z is the mean of a set: everything about it is known."""

    latent = 2

    def __call__(self, batch):
        return batch.mean(batch.x)

    def embed(self, batch, covariance=True):
        found = of_atoms.covariance(self, batch)
        ids, sizes = np.arange(len(batch)).astype(str), batch.sizes.numpy()
        return Embeddings(found.z, ids, sizes, found.effective_sizes, {}, found.cov, found.df)

    def distance_intervals(self, table, pairs, level, calibrated):
        first, second = pairs.T
        sides = (table.z[first], table.z[second], table.cov[first], table.cov[second])
        return limit_interval(*sides, level)


def test_a_mean_is_covered(monkeypatch):
    """The mean of 200 normal atoms, whose limit, covariance and coverage are known."""
    monkeypatch.setattr(coverage, "SIZES", (200,))
    one = Gaussians.prior(400, 2, 10, seed=1)
    source = NormalMixtures(Mixtures(torch.ones(400, 1), one.mean[:, None], one.cov[:, None]))
    exam = coverage._Exam("gde", Mean(), source, 0)
    found = {metric: value for _, metric, value in exam.scores(None)}
    assert set(found) == {f"{k}_m200" for k in KINDS} | {"limit_error"}
    # five standard errors: of 400 pairs 5 * 1.1 %, of 200 pairs 5 * 1.5 %, of 800 sets less
    assert found["z_m200"] == pytest.approx(0.95, abs=0.05)
    assert found["distance_m200"] == pytest.approx(0.95, abs=0.055)
    assert found["near_m200"] == pytest.approx(0.95, abs=0.075)
    assert found["same_m200"] == pytest.approx(0.95, abs=0.075)
    # |z - z(P)|^2 has a relative deviation of up to 2^(1/2): 5 * 1.4 / 800^(1/2)
    assert found["trace_m200"] == pytest.approx(1, abs=0.25)
    assert found["limit_error"] < 0.02


def test_points_stand_for_mixtures():
    known = TASKS["mixture_2d"].test(5, 0)
    mean, cov = moments_per_set(known.points(torch.arange(5), 0))
    true_mean, true_cov = known.mixtures.moments()
    # a net of 1,024 points is off by far less than draws, 1024^(-1/2) = 3 % of a deviation
    torch.testing.assert_close(mean.double(), true_mean, rtol=0, atol=5e-3)
    torch.testing.assert_close(cov.double(), true_cov, rtol=0.02, atol=0.01)
    x = known.draw(torch.tensor([3]), 20_000, stream(0, "many"))[0].double()
    error = (true_cov[3].diagonal() / 20_000).sqrt()
    assert bool(((x.mean(0) - true_mean[3]).abs() < 5 * error).all())


def test_scans_are_drawn_from_their_points():
    pytest.importorskip("sklearn")
    source = TASKS["digits"].test(4, 0)
    points = source.points(torch.tensor([2, 1]), 0)
    assert points.mass.tolist() == pytest.approx([1, 1], abs=1e-6)
    first = points.select([0])
    parts = first.w.split(source.pool.sizes[source.parts[2]].tolist())
    assert [float(w.sum()) for w in parts] == pytest.approx(source.share[2].tolist(), rel=1e-5)
    x = source.draw(torch.tensor([2]), 20_000, stream(0, "many"))[0].flatten(1).double()
    mean, cov = moments_per_set(first)
    error = (cov[0].diagonal().double() / 20_000).sqrt() + 1e-6
    assert bool(((x.mean(0) - mean[0].double()).abs() < 5 * error).all())
    own = source.w2(torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert own[0] == pytest.approx(0, abs=1e-3)
    assert own[1] > 1


@pytest.mark.parametrize("task", TASKS)
def test_a_step_of_one_reaches_the_next(task):
    if task == "digits":
        pytest.importorskip("sklearn")
    source = TASKS[task].test(3, 0)
    for share, wanted in ((0.0, [0, 1, 2]), (1.0, [1, 2, 0])):
        moved = source.moved(share)
        if task == "digits":
            torch.testing.assert_close(moved.share, source.share[wanted])
            assert torch.equal(moved.parts, source.parts)
        else:
            torch.testing.assert_close(moved.mixtures.weights, source.mixtures.weights[wanted])
            torch.testing.assert_close(moved.mixtures.mean, source.mixtures.mean[wanted])
            torch.testing.assert_close(moved.mixtures.cov, source.mixtures.cov[wanted])


def test_w2_of_gaussians_is_in_units_of_the_ground():
    source = TASKS["gaussian_5d"].test(3, 7)
    i, j = torch.tensor([0, 1]), torch.tensor([1, 2])
    plain = Gaussians.prior(3, 5, 10, seed=7)
    np.testing.assert_allclose(source.w2(i, j), plain.w2(i, j))
    halved = SimpleNamespace(event_shape=(5,), transform=lambda x: x / 2 - 3)
    assert coverage._unit(halved) == pytest.approx(0.5)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'x'; there are: gaussian_5d, mixture_2d, "):
        coverage.bench(tasks=["x"], log=print)
