"""Rows of the GDE paper: estimators against integrals, judges by hand, and the published arms."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Trial
from distembed.benchmarks.fitting import FittedModel
from distembed.benchmarks.pair_distances import Distances, every_pair
from distembed.benchmarks.paper import timed
from distembed.benchmarks.paper.bench import BENCH, TASKS
from distembed.benchmarks.paper.images import ClassFeatures
from distembed.benchmarks.paper.mixtures import components, fitted_mixture, mixture_scores
from distembed.benchmarks.paper.normal import encoded
from distembed.benchmarks.paper.poisson import PRIORS, UniformPrior, drawn_error
from distembed.benchmarks.paper.published import ENCODERS, GENERATORS, combination, image_arms
from distembed.benchmarks.paper.simplex import (
    STRETCHES,
    correlation_scores,
    paper_correlation,
    probability_distances,
)
from distembed.benchmarks.problems import Problem, Sizes, simplex
from distembed.data.synthetic.counts import Multinomials
from distembed.data.synthetic.gaussians import Mixtures
from distembed.sets.digit_pools import digit_pools


@pytest.mark.parametrize("m", [10, 1000])
def test_the_uniform_prior(m):
    prior, high = UniformPrior(), 10.0

    def over_prior(f):
        return integrate.quad(lambda rate: f(rate) / high, 0, high, limit=200)[0]

    p = np.exp
    risk = prior.risk(m)
    assert risk["naive"] == pytest.approx(over_prior(lambda r: p(-r) * (1 - p(-r)) / m))
    expected = over_prior(lambda r: p(-2 * r) * math.expm1(r / m))
    assert risk["rao_blackwell"] == pytest.approx(expected, rel=1e-6)
    for total in (0, 3 * m, 11 * m):
        # the posterior, up to its constant, around its mode
        mode = min(total / m, high)

        def posterior(r, t=total, mode=mode):
            ratio = t * math.log(r / mode) if t else 0
            return math.exp(ratio - m * (r - mode))

        ends = max(mode - 60 / m**0.5, 1e-9), min(mode + 60 / m**0.5, high)
        points = [mode] if ends[0] < mode < ends[1] else None
        top, bottom = (
            integrate.quad(f, *ends, points=points, limit=400)[0]
            for f in (lambda r: p(-r) * posterior(r), posterior)
        )
        bayes = prior.estimators(m)["bayes"](np.array([float(total)]), np.array([0]))
        assert float(bayes[0]) == pytest.approx(top / bottom, rel=1e-5)


def test_priors_draw_what_their_risks_say():
    for prior in PRIORS.values():
        p = np.exp(-np.asarray(prior.draw(20_000, 10, 3).rate)[:, 0])
        # five standard errors of a mean of numbers of at most 1/4
        assert np.mean(p * (1 - p)) / 10 == pytest.approx(
            prior.risk(10)["naive"], abs=5 * 0.025 / math.sqrt(20_000)
        )


def test_the_error_of_draws_is_unbiased():
    """An exact sum over all numbers of zeros among seven draws."""
    draws, p, truth = 7, 0.3, 0.35
    k = np.arange(draws + 1)
    errors = [drawn_error(np.array([j / draws]), draws, np.array([truth])) for j in k]
    expected = (stats.binom(draws, p).pmf(k) * errors).sum()
    assert expected == pytest.approx((p - truth) ** 2, abs=1e-12)


def test_distances_of_probabilities():
    p = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    own = probability_distances(p, pairs)
    for row, (i, j) in enumerate(pairs):
        a, b = p[i].double().numpy(), p[j].double().numpy()
        root = np.linalg.norm(np.sqrt(a) - np.sqrt(b))
        assert own["hellinger"][row] == pytest.approx(root / math.sqrt(2), abs=1e-7)
        # the chord of an arc of this angle on the sphere of roots
        assert 2 * math.sin(own["fisher_rao"][row] / 4) == pytest.approx(root, abs=1e-7)
        assert own["probabilities"][row] == pytest.approx(np.linalg.norm(a - b), abs=1e-7)


def test_the_correlation_of_the_paper_is_over_all_entries_of_a_matrix():
    rng = np.random.default_rng(0)
    pairs = every_pair(6)
    own, squared = rng.random((2, len(pairs)))
    matrices = np.zeros((2, 6, 6))
    matrices[:, pairs[:, 0], pairs[:, 1]] = matrices[:, pairs[:, 1], pairs[:, 0]] = own, squared
    expected = np.corrcoef(matrices[0].ravel(), matrices[1].ravel())[0, 1]
    assert paper_correlation(own, squared, 6) == pytest.approx(expected, abs=1e-12)


def test_exact_distances_have_a_perfect_correlation():
    test = Multinomials.grid(4, 5, 50)
    pairs = every_pair(len(test))
    w2 = test.w2(*pairs.T)
    batch = test.batch(range(len(test)))
    problem = Problem(test, batch, batch, pairs, w2)
    distances = {"gde": Distances(3 * w2, np.arange(len(pairs)))}
    values = {(s.method, s.metric): s.value for s in correlation_scores(distances, problem, test)}
    assert values["gde", "pearson_w2"] == pytest.approx(1)
    assert values["hellinger", "pearson_hellinger"] == pytest.approx(1)
    assert values["fisher_rao", "pearson_hellinger"] < 1
    # distances are not squared there, and so not perfect
    assert 0.9 < values["gde", "pearson_paper"] < 0.999


def test_stretched_priors():
    assert STRETCHES[0] == 1 / 32
    assert STRETCHES[-1] == 32
    sizes = Sizes(train_sets=1_000, atoms=5, lattice=(3, 3), target=2)
    for first in (1 / 32, 1.0, 32.0):
        train = simplex(sizes, 0, first).train
        share = float(train.batch(range(1_000)).x.double().view(-1, 3).mean(0)[0]) / 3
        mean = first / (first + 2)
        # the variance of a share of draws is at most that of one draw
        assert share == pytest.approx(mean, abs=5 * math.sqrt(mean * (1 - mean) / 1_000))


def test_a_mixture_is_fitted_to_its_atoms():
    mean = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]])
    cov = torch.eye(2).expand(1, 3, 2, 2)
    truth = Mixtures([[0.2, 0.3, 0.5]], mean, cov, size=4_000)
    x = truth.batch([0]).x.numpy()
    for from_truth in (True, False):
        w, m, c = fitted_mixture(x, components(truth, 0), from_truth, 0)
        # five standard errors of a mean of 800 atoms, and of a share
        nearest = torch.cdist(mean[0].double(), m).min(1).values
        assert nearest.max() < 5 * math.sqrt(2 / 800)
        assert w.sort().values.numpy() == pytest.approx([0.2, 0.3, 0.5], abs=5 * 0.008)
        assert c.shape == (3, 2, 2)
    scores = {s.metric: s.value for s in mixture_scores("em", truth.batch([0]), truth, 0, "t")}
    # components are apart, so both starts end in one fit
    assert scores["paper_mw2"] == pytest.approx(scores["mw2"] ** 2, rel=1e-2)
    wrong = SetBatch.from_dense(torch.from_numpy(x)[None] + 3)
    moved = {s.metric: s.value for s in mixture_scores("em", wrong, truth, 0, "t")}
    assert moved["mw2"] == pytest.approx(math.sqrt(18), abs=0.3)


def test_few_atoms_are_atoms_of_the_set():
    whole = SetBatch.from_dense(torch.arange(60.0).view(2, 30, 1))
    few = encoded(whole, 8, 0)
    assert few.sizes.tolist() == [8, 8]
    assert set(few.x[:8].flatten().tolist()) <= set(range(30))
    assert torch.equal(few.x, encoded(whole, 8, 0).x)
    assert encoded(whole, 30, 0) is whole


def test_published_arms_can_be_built_and_change_nothing_of_z():
    arms = [combination(e, g, 16, 8) for g in GENERATORS for e in ENCODERS]
    assert len({arm.label for arm in arms}) == 30
    for arm in arms:
        network = arm.model(8).spec.build((5,), seed=0)
        z = torch.randn(3, 8)
        assert torch.equal(network.condition(z, torch.full((3,), 64.0)), z)
        assert arm.training["metric_steps"] == 0
        assert bool(arm.objectives) == arm.label.endswith("wormhole")
    for arm in image_arms(8):
        arm.model(8).spec.build((1, 8, 8), seed=0)


def test_every_cell_is_a_task():
    for table in ("table5", "table6"):
        assert sum(name.startswith(f"{table}_") for name in TASKS) == 31
    assert sum(name.startswith("figure11_") for name in TASKS) == len(STRETCHES)
    assert set(BENCH.shortened["quick"]) <= set(TASKS)


def test_features_tell_classes_apart():
    train, test = digit_pools()
    features = ClassFeatures.of(train)

    def accuracy(a, b):
        nearest = torch.cdist(b.x, a.mean(a.x)).argmin(1)
        return float((nearest == b.owner).double().mean())

    pools = [pool.batch(range(10)) for pool in (train, test)]
    seen, unseen = (features(batch) for batch in pools)
    assert bool((seen.x >= 0).all())
    assert accuracy(seen, unseen) > accuracy(*(b.replace(x=b.flat) for b in pools)) > 0.8


def test_steps_follow_from_seconds_of_the_processor(monkeypatch):
    """A step of 0.5 s of which the process has half: 20 s of the processor are 80 steps."""
    asked, clock = [], iter([0.0, 3.0])

    class Slow(Trial):
        def fit_arm(self, arm, train, latent, steps=None):
            asked.append(steps)
            return FittedModel(None, 1 + 0.5 * steps, 0.5 * steps, steps)

    monkeypatch.setattr(timed.time, "process_time", lambda: next(clock))
    trial = Slow("t", None, None, 0, None, lambda line: None)
    timed.fit_for(trial, Arm("gde"), None, 8, seconds=20, pilot=10)
    assert asked == [10, 80]
