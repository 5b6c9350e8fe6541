"""Coverages of intervals that are known, and the true limits behind them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distembed.benchmarks.bench import Trial
from distembed.benchmarks.coverage import BENCH, TASKS, Coverage, ground_unit
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.limits import NormalMixtures
from distembed.inference.covariance import covariance
from distembed.inference.intervals import limit_interval
from distembed.model.embeddings import Embeddings
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream

KINDS = {"z", "trace", "distance", "width", "near", "same"}
FULL = BENCH.scales["full"]


def source(task, sets, seed=0):
    """Held-out distributions of a task."""
    pytest.importorskip("sklearn")
    return TASKS[task].data(replace(FULL, train_sets=2, sets=sets), seed)[1]


@pytest.mark.slow
def test_the_rows(cells):
    pytest.importorskip("matplotlib")
    values = cells("coverage")
    for task in TASKS:
        own = KINDS if task == "mixture_2d" else KINDS | {"w2_coverage", "w2_width"}
        for method, kinds in (("gde", own), ("untrained", KINDS)):
            for m in (20, 120):
                assert {k for t, n, k in values if (t, n) == (f"{task}_m{m}", method)} == kinds
            assert (task, method, "limit_error") in values
            width = [values[f"{task}_m{m}", method, "width"] for m in (20, 120)]
            assert width[1] < width[0]
        # 16 sets of correlated coordinates: anything but a wrong unit or a wrong limit
        assert values[f"{task}_m120", "gde", "z"] > 0.6
        assert 0.3 < values[f"{task}_m120", "gde", "trace"] < 3
    assert values["digits", "gde", "limit_error"] == 0


def test_the_sizes_are_those_of_the_documentation():
    assert (FULL.train_sets, FULL.sets, FULL.latent) == (2_000, 334, 32)
    assert FULL.sizes == (20, 50, 100, 300, 1_000)


class Mean:
    """A model whose z is the mean of a set, with a covariance in closed form."""

    latent = 2

    def __call__(self, batch):
        return batch.mean(batch.x)

    def embed(self, batch, covariance=True):
        own = influence(self, batch)
        ids, sizes = np.arange(len(batch)).astype(str), batch.sizes.numpy()
        return Embeddings(own.z, ids, sizes, own.effective_sizes, {}, own.cov, own.df)

    def distance_intervals(self, table, pairs, level, calibrated):
        first, second = pairs.T
        sides = (table.z[first], table.z[second], table.cov[first], table.cov[second])
        return limit_interval(*sides, level)


influence = covariance


def test_a_mean_is_covered():
    """The mean of 200 normal atoms, whose limit, covariance and coverage are known."""
    one = Gaussians.prior(400, 2, 10, seed=1)
    mixtures = NormalMixtures(Mixtures(torch.ones(400, 1), one.mean[:, None], one.cov[:, None]))
    settings = replace(FULL, sizes=(200,))
    trial = Trial("means", TASKS["mixture_2d"], settings, 0, None, len)
    scores = list(Coverage("gde", Mean(), mixtures, trial).scores(None))
    assert {s.task for s in scores if s.metric != "limit_error"} == {"means_m200"}
    values = {s.metric: s.value for s in scores}
    assert set(values) == KINDS | {"limit_error"}
    # five standard errors: of 400 pairs 5 * 1.1 %, of 200 pairs 5 * 1.5 %, of 800 sets less
    assert values["z"] == pytest.approx(0.95, abs=0.05)
    assert values["distance"] == pytest.approx(0.95, abs=0.055)
    assert values["near"] == pytest.approx(0.95, abs=0.075)
    assert values["same"] == pytest.approx(0.95, abs=0.075)
    # |z - z(P)|^2 has a relative deviation of up to 2^(1/2): 5 * 1.4 / 800^(1/2)
    assert values["trace"] == pytest.approx(1, abs=0.25)
    assert values["limit_error"] < 0.02


def test_a_net_has_the_moments_of_its_mixture():
    known = source("mixture_2d", 5)
    mean, cov = moments_per_set(known.points(torch.arange(5), 0))
    true_mean, true_cov = known.mixtures.moments()
    # a net of 1,024 points is off by far less than draws, 1024^(-1/2) = 3 % of a deviation
    torch.testing.assert_close(mean.double(), true_mean, rtol=0, atol=5e-3)
    torch.testing.assert_close(cov.double(), true_cov, rtol=0.02, atol=0.01)
    x = known.draw(torch.tensor([3]), 20_000, stream(0, "many"))[0].double()
    error = (true_cov[3].diagonal() / 20_000).sqrt()
    assert bool(((x.mean(0) - true_mean[3]).abs() < 5 * error).all())


def test_scans_are_drawn_from_their_distribution():
    scans = source("digits", 4)
    points = scans.points(torch.tensor([2, 1]), 0)
    assert points.mass.tolist() == pytest.approx([1, 1], abs=1e-6)
    first = points.select([0])
    parts = first.w.split(scans.pool.sizes[scans.parts[2]].tolist())
    assert [float(w.sum()) for w in parts] == pytest.approx(scans.share[2].tolist(), rel=1e-5)
    x = scans.draw(torch.tensor([2]), 20_000, stream(0, "many"))[0].flatten(1).double()
    mean, cov = moments_per_set(first)
    error = (cov[0].diagonal().double() / 20_000).sqrt() + 1e-6
    assert bool(((x.mean(0) - mean[0].double()).abs() < 5 * error).all())
    own = scans.w2(torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert own[0] == pytest.approx(0, abs=1e-3)
    assert own[1] > 1


@pytest.mark.parametrize("task", TASKS)
def test_a_step_of_one_reaches_the_next(task):
    distributions = source(task, 3)
    for share, order in ((0.0, [0, 1, 2]), (1.0, [1, 2, 0])):
        moved = distributions.moved(share)
        if task == "digits":
            torch.testing.assert_close(moved.share, distributions.share[order])
            assert torch.equal(moved.parts, distributions.parts)
        else:
            before, after = distributions.mixtures, moved.mixtures
            torch.testing.assert_close(after.weights, before.weights[order])
            torch.testing.assert_close(after.mean, before.mean[order])
            torch.testing.assert_close(after.cov, before.cov[order])


def test_w2_of_gaussians_is_in_units_of_the_ground():
    i, j = torch.tensor([0, 1]), torch.tensor([1, 2])
    plain = Gaussians.prior(3, 5, 10, seed=1_000_007)
    np.testing.assert_allclose(source("gaussian_5d", 3, 7).w2(i, j), plain.w2(i, j))
    halved = SimpleNamespace(event_shape=(5,), atom_transform=lambda x: x / 2 - 3)
    assert ground_unit(halved) == pytest.approx(0.5)
