"""Normal scores of features, and the base that takes them where they draw better."""

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.spaces import Counts
from distembed.generators.flow import flow
from distembed.generators.score_base import ScoreBaseSettings, ScoreGaussian
from distembed.generators.scores import NormalScores
from distembed.model.gde import GDE
from distembed.protocols import Remarking
from distembed.rng import stream
from distembed.sets.collection import Sets

N = 4000


def features():
    """Return continuous, skewed, discrete, mixed and constant features, `(N, 5)`."""
    rng = stream("features")
    normal = torch.randn(N, 3, generator=rng)
    counts = torch.poisson(torch.ones(N), generator=rng)
    mixed = torch.where(torch.rand(N, generator=rng) < 0.7, 0.0, normal[:, 2].exp())
    return torch.stack([normal[:, 0], normal[:, 1].exp(), counts, mixed, torch.ones(N)], 1)


@pytest.fixture(scope="module")
def fitted():
    x = features()
    scores = NormalScores(x.shape[1])
    scores.fit(x, torch.ones(N))
    return scores, x


def test_the_inverse_restores_training_atoms(fitted):
    scores, x = fitted
    back = scores.inverse(scores(x))
    # masses to the last bit; a point where two points of the grid are further apart than it is
    # from its neighbour is moved by less than the gap of the grid
    assert back[:, 4].equal(x[:, 4])
    assert (back[:, 3] == 0).equal(x[:, 3] == 0)
    assert (back[:, 2] == x[:, 2]).double().mean() > 0.995
    inside = (x[:, :2] > x[:, :2].quantile(0.01, 0)) & (x[:, :2] < x[:, :2].quantile(0.99, 0))
    torch.testing.assert_close(back[:, :2][inside], x[:, :2][inside], rtol=1e-3, atol=2e-3)


def test_scores_rise_with_the_atoms(fitted):
    scores, x = fitted
    g = scores(x)
    for column, score in zip(x.T, g.T, strict=True):
        order = column.argsort()
        jumps = column[order].diff() > 0
        # masses keep their intervals apart, within which the order is random
        highest = score[order].cummax(0).values[:-1]
        assert (score[order][1:][jumps] >= highest[jumps] - 2 * scores.grid.step).all()


def test_scores_of_training_atoms_are_standard_normal(fitted):
    scores, x = fitted
    u = torch.special.ndtr(scores(x).double()).sort(0).values
    distance = (u - torch.linspace(0, 1, N, dtype=torch.float64)[:, None]).abs().amax(0)
    # 1.95 is the 0.1 % point of Kolmogorov, for the noise of the random v alone; the grid adds a
    # cell, of at most 0.0063 of the mass
    assert (distance < 1.95 / N**0.5 + 0.0063).all(), distance


def test_draws_stay_within_the_training_atoms(fitted):
    scores, x = fitted
    drawn = scores.inverse(5 * torch.randn(7, 100, 5, generator=stream("draws")))
    flat = drawn.flatten(0, 1)
    assert (flat >= x.amin(0)).all()
    assert (flat <= x.amax(0)).all()
    assert (flat[:, 2] == flat[:, 2].round()).double().mean() > 0.99


def test_weights_are_multiplicities():
    x = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    weighted, repeated = NormalScores(1), NormalScores(1)
    weighted.fit(x, torch.tensor([3.0, 3.0, 1.0, 1.0]))
    repeated.fit(torch.tensor([[0.0]] * 6 + [[1.0]] * 2), torch.ones(8))
    assert weighted.values.equal(repeated.values)
    assert weighted.masses.equal(repeated.masses)


def test_the_identity_until_they_are_fitted_and_after_a_reset():
    x = features()
    scores = NormalScores(5)
    assert scores(x) is x
    assert scores.inverse(x) is x
    scores.fit(x, torch.ones(N))
    assert not scores(x).equal(x)
    scores.reset()
    assert scores(x) is x


def training(kind, sets=60, m=64):
    """Draw sets that differ little and have a mass at zero, or Gaussians of different location."""
    rng = stream("training", kind)
    z = torch.randn(sets, 1, generator=rng)
    if kind == "gaussians":
        x = 5 * z[:, None] + torch.randn(sets, m, 2, generator=rng)
    else:
        x = (0.1 * z[:, None] + torch.randn(sets, m, 2, generator=rng)).exp()
        x = torch.where(torch.rand(sets, m, 2, generator=rng) < 0.8, 0.0, x)
    return SetBatch.from_dense(x), torch.cat([z, torch.zeros(sets, 1)], 1)


@pytest.mark.parametrize(("kind", "chosen"), [("gaussians", False), ("zeros", True)])
def test_the_scale_is_the_one_that_draws_better(kind, chosen):
    batch, z = training(kind)
    base = ScoreGaussian(2, 2)
    assert isinstance(base, Remarking)
    assert not base.remark
    base.prepare(batch, z)
    assert bool(base.scores.fitted) == chosen
    assert f"on {'normal scores' if chosen else 'the plain scale'}" in base.remark


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("scale", ["plain", "scores"])
def test_residuals_and_atoms_are_inverse(d, scale):
    x = torch.randn(30, 50, d, generator=stream("x", d)).exp()
    base = ScoreGaussian(d, 3, ScoreBaseSettings(scale))
    z = torch.cat([torch.randn(30, 2, generator=stream("z")), torch.zeros(30, 1)], 1)
    base.prepare(SetBatch.from_dense(x), z)
    gaussian = base(z[:4])
    back = gaussian.colour(gaussian.residuals(x[:4]))
    inside = (x[:4] < x.flatten(0, 1).quantile(0.99, 0)) & (x[:4] > 0.05)
    torch.testing.assert_close(back[inside], x[:4][inside], rtol=0.02, atol=0.02)


def test_scores_with_a_network_are_refused():
    with pytest.raises(ValueError, match="base_network is True"):
        flow((2,), 3, base_network=True, scale="scores")


def test_a_scale_that_does_not_exist():
    with pytest.raises(ValueError, match="scale is 'log'; it is 'auto', 'plain' or 'scores'"):
        flow((2,), 3, scale="log")


@pytest.mark.slow
def test_counts_are_drawn_at_zero_or_above_and_with_their_zeros(tmp_path):
    rng = np.random.default_rng(0)
    rate = rng.uniform(0.2, 0.4, (40, 1, 3))
    x = torch.from_numpy(rng.poisson(rate, (40, 50, 3)).astype(np.float32))
    sets = Sets.from_batch(SetBatch.from_dense(x), Counts())
    settings = {"steps": 1, "warmup": 0, "metric_steps": 0, "progress": False, "threads": 1}
    shares = []
    for scale in ("plain", "scores"):
        model = GDE(latent=8, generator={"name": "flow", "scale": scale}).fit(sets, **settings)
        drawn = model.sample(model.embed(sets), 200, 0)
        assert drawn.min() == 0
        shares.append(np.abs(drawn).mean((0, 1)) / x.numpy().mean((0, 1)))
        zeros = (drawn == 0).mean()
    # a Gaussian that is clipped has too large a mean; scores keep the mass, here within 4
    # standard errors of 2,000 atoms a feature
    assert zeros == pytest.approx(float((x == 0).double().mean()), abs=0.03)
    assert np.abs(shares[1] - 1).max() < 0.15 < np.abs(shares[0] - 1).max()
    model.save(tmp_path / "model")
    again = GDE.load(tmp_path / "model")
    assert np.array_equal(again.sample(again.embed(sets), 200, 0), drawn)


def test_atoms_that_follow_do_not_change_the_scores(fitted):
    scores, x = fitted
    assert scores(x)[:1000].equal(scores(x[:1000]))
