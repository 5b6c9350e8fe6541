"""The ladder's distributions are those that the issue of the encoders names."""

import math

import pytest
import torch

from distembed.data.synthetic.ladder import ladder_a, ladder_b, ladder_c
from distembed.data.synthetic.wishart import inverse_wishart
from distembed.rng import stream
from distembed.testing import check_collection

S = 4000


def within(values, wanted, errors=5):
    """Whether the mean of independent values is the wanted one, by its own standard error."""
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - wanted) <= errors * error, (float(values.mean()), wanted)


@pytest.mark.parametrize("ladder", [ladder_a, ladder_b, ladder_c])
def test_sets_are_a_function_of_the_seed(ladder):
    sets = ladder(3)
    assert sets.event_shape == (5,)
    assert sets.sizes.tolist() == [64] * 3
    check_collection(sets)
    batch = sets.batch([0, 2]).x
    assert torch.equal(batch, ladder(3).batch([0, 2]).x)
    assert not torch.equal(batch, ladder(3, seed=1).batch([0, 2]).x)
    assert ladder(2, 30).batch([1]).sizes.tolist() == [30]


@pytest.mark.parametrize(("ladder", "df"), [(ladder_a, 20), (ladder_b, 8)])
def test_covariances_of_the_gaussians(ladder, df):
    cov = ladder(S).cov
    s = cov.diagonal(dim1=1, dim2=2).sum(1) / 5
    assert 0.3 <= float(s.min()) < 0.31
    assert 2.49 < float(s.max()) <= 2.5
    within(s, 1.4)
    # the squared correlation of two axes of a Wishart(df, I) draw is Beta(1/2, (df - 1)/2)
    precision = torch.linalg.inv(cov)
    squared = precision[:, 0, 1] ** 2 / (precision[:, 0, 0] * precision[:, 1, 1])
    within(squared, 1 / df)


def test_means_of_the_gaussians():
    mean = ladder_a(S).mean
    within(mean[:, 0], 0)
    within(mean[:, 4] ** 2, 4)
    within(mean[:, 1] * mean[:, 3], 0)
    assert torch.equal(ladder_b(9).mean, torch.zeros(9, 5).double())


def test_the_mixtures_share_mean_and_covariance():
    mean, cov = ladder_c(S).moments()
    assert mean.abs().max() < 1e-10
    assert (cov - torch.eye(5)).abs().max() < 1e-10


def test_components_of_the_mixtures():
    sets = ladder_c(S)
    # Dirichlet(1, 1, 1): E w = 1/3, E w^2 = 1/6
    within(sets.weights[:, 0], 1 / 3)
    within(sets.weights[:, 2] ** 2, 1 / 6)
    # a lower triangular map only scales the first coordinate, and a ratio does not see a scale:
    # E gap^2 = 25/6 of means uniform in [0, 5], 1/variance is chi^2 with 40 - 4 degrees
    gap = sets.mean[:, 0, 0] - sets.mean[:, 1, 0]
    within(gap**2 / sets.cov[:, 2, 0, 0], 25 / 6 * 36)


def test_inverse_wishart():
    cov = inverse_wishart(S, 3, 10, stream(0), scale=0.5)
    assert torch.equal(cov, cov.mT)
    assert (torch.linalg.eigvalsh(cov) > 0).all()
    within(cov[:, 1, 1], 1 / (0.5 * 6))
    within(cov[:, 0, 2], 0)
    with pytest.raises(ValueError, match="df = 2 is below d = 3"):
        inverse_wishart(1, 3, 2, stream(0))
