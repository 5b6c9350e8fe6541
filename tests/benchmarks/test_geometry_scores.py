"""Truths of the geometry bench beside closed forms, and scores of distances that are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from distembed.batch import SetBatch
from distembed.benchmarks.pair_distances import Distances, baseline_distances
from distembed.benchmarks.pair_scores import PairScores
from distembed.benchmarks.problems import Sizes, gaussian, mixture, simplex
from distembed.benchmarks.real_problems import digits
from distembed.benchmarks.truth import ground_unit, mixture_net_w2
from distembed.data.synthetic.counts import Multinomials
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.model.gde import GDE
from distembed.rng import stream

SMALL = Sizes(30, 12, (20, 6), 40, 20, 30, 24, (4, 5))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_multinomials_of_two_categories_are_binomials_on_a_diagonal():
    sets = Multinomials([[0.3, 0.7], [0.6, 0.4], [0.0, 1.0]], total=20)
    level = (np.arange(50_000) + 0.5) / 50_000
    quantiles = [binom.ppf(level, 20, p) for p in (0.3, 0.6, 0.0)]
    i, j = [0, 0, 1], [1, 2, 2]
    # along the diagonal k -> (k, 20 - k) lengths are sqrt(2) times as large
    line = [
        2**0.5 * np.sqrt(((quantiles[a] - quantiles[b]) ** 2).mean())
        for a, b in zip(i, j, strict=True)
    ]
    assert sets.w2(i, j) == pytest.approx(line, rel=1e-4)


def test_w2_from_a_corner_of_the_simplex_is_a_second_moment():
    grid = Multinomials.grid(10, 20)
    assert len(grid) == 55
    assert torch.equal((9 * grid.p).round(), 9 * grid.p)
    assert len(grid.p.unique(dim=0)) == 55
    corner = int(grid.p[:, 0].argmax())
    i, j = np.full(55, corner), np.arange(55)
    variance = 20 * (grid.p * (1 - grid.p)).sum(1)
    shift = 20 * (grid.p - grid.p[corner])
    expected = (shift.square().sum(1) + variance).sqrt().numpy()
    assert grid.w2(i[::6], j[::6]) == pytest.approx(expected[::6], abs=1e-6)


def test_nets_have_the_w2_of_gaussians():
    sets = Gaussians.prior(12, 2, 10, seed=3)
    ones = torch.ones(12, 1)
    mixtures = Mixtures(ones, sets.mean[:, None], sets.cov[:, None])
    pairs = np.stack(np.triu_indices(12, 1), 1)[::3]
    expected = sets.w2(*pairs.T)
    w2 = mixture_net_w2(mixtures, pairs, 128)
    assert w2 == pytest.approx(expected, rel=5e-3)
    assert np.array_equal(mixture_net_w2(mixtures, pairs, 128), w2)  # from the disk
    # between equal components of other weights, mass moves from one to the other
    two = torch.tensor([[[0.0, 0.0], [6.0, 0.0]]]).expand(2, 2, 2)
    weights = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    pair = Mixtures(weights, two, 1e-4 * torch.eye(2).expand(2, 2, 2, 2))
    assert mixture_net_w2(pair, np.array([[0, 1]]), 64) == pytest.approx(6 * 0.25**0.5, rel=0.01)


def test_problems_hold_what_they_state():
    one = gaussian(SMALL, 1)
    assert one.near_w2 == 1.0
    assert one.context.sizes.tolist() == [40] * 12
    assert one.target.sizes.tolist() == [20] * 12
    assert len(one.pairs) == len(one.w2) == 66
    assert len(set(one.context.x[:, 0].tolist()) & set(one.target.x[:, 0].tolist())) == 0
    two = mixture(SMALL, 1)
    assert len(two.pairs) == len(two.w2) == len(two.mw2) == 30
    # the coupling of components is a coupling of the mixtures
    assert (two.mw2 > 0.99 * two.w2).all()
    three = simplex(SMALL, 1)
    assert len(three.context) == 15
    assert three.train.atoms.name == "counts"
    assert (three.context.x.sum(1) == 4).all()


def test_halves_of_digits_share_no_scan_with_training():
    pytest.importorskip("sklearn")
    problem = digits(SMALL, 1)
    assert len(problem.w2) == 15
    halves = {tuple(x.flatten().tolist()) for x in problem.context.x}
    train = problem.train.batch(range(20)).x
    assert not halves & {tuple(x.flatten().tolist()) for x in train}
    assert int(problem.context.sizes.min()) >= 32


def scored(factor=1.0):
    """Scores of the truth times a factor, and of noise."""
    problem = replace(gaussian(SMALL, 2), near=2.5)
    rows = np.arange(len(problem.w2))
    noise = torch.rand(len(rows), generator=stream(0)).double().numpy()
    distances = {
        "gde": Distances(factor * problem.w2, rows, True),
        "same": Distances(problem.w2**3, rows),
        "noise": Distances(noise, rows),
        "part": Distances(noise[::2], rows[::2]),
    }
    return {(s.metric, s.method): s.value for s in PairScores(problem, distances, "few").all()}


def test_the_truth_has_a_correlation_of_one_and_no_lead_over_itself():
    scores = scored(1.1)
    for method in ("gde", "same"):
        assert scores["spearman_w2", method] == pytest.approx(1)
        assert scores["spearman_w2_near", method] == pytest.approx(1)
    assert scores["pearson_w2", "gde"] == pytest.approx(1)
    assert scores["pearson_w2", "same"] < 0.99
    assert scores["relative_error", "gde"] == pytest.approx(0.1)
    assert ("relative_error", "same") not in scores
    assert scores["spearman_w2_lead", "same"] == pytest.approx(0, abs=1e-12)
    assert ("spearman_w2_lead", "gde") not in scores
    for method in ("noise", "part"):
        assert abs(scores["spearman_w2", method]) < 0.5
        lead = 1 - scores["spearman_w2", method]
        assert scores["spearman_w2_lead", method] == pytest.approx(lead)


def test_a_lead_is_over_the_pairs_of_the_method():
    """The default errs on pairs that the other method does not compare."""
    problem = replace(gaussian(SMALL, 2), near=2.5)
    rows = np.arange(len(problem.w2))
    own = np.where(rows % 2, -problem.w2, problem.w2)
    distances = {"gde": Distances(own, rows), "part": Distances(problem.w2[::2], rows[::2])}
    scores = {(s.metric, s.method): s.value for s in PairScores(problem, distances).all()}
    assert scores["spearman_w2", "gde"] < 0.5
    assert scores["spearman_w2_lead", "part"] == pytest.approx(0, abs=1e-12)


def test_baselines_are_those_of_the_evaluation():
    problem = gaussian(SMALL, 3)
    members = ["mean", {"name": "ot", "atoms": 10}]
    distances = baseline_distances(members, problem.context, problem.pairs, 20)
    mean = problem.context.mean(problem.context.x.double())
    i, j = problem.pairs.T
    assert distances["mean"].values == pytest.approx((mean[i] - mean[j]).norm(dim=1).numpy())
    assert not distances["mean"].in_units
    assert len(distances["ot"].rows) == len(distances["ot"].values) == 20
    assert distances["ot"].in_units


def test_the_unit_of_a_ground_space_is_its_scale():
    x = Gaussians.prior(10, 2, 10, size=20, seed=4).batch(range(10)).x.view(10, 20, 2)
    model, large = (GDE("closed_form", "explicit", latent=8) for _ in range(2))
    for fitted, scale in ((model, 1.0), (large, 8.0)):
        fitted.fit(SetBatch.from_dense(scale * x), steps=1, warmup=0, validation=0, progress=False)
    assert ground_unit(model) == pytest.approx(8 * ground_unit(large), rel=1e-5)
    ends = torch.tensor([[1.0, 2.0], [4.0, 6.0]])
    after = model.atom_transform(ends)
    assert float((after[1] - after[0]).norm()) == pytest.approx(5 * ground_unit(model), rel=1e-5)
