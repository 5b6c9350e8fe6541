"""Shortest paths of the bench have no error but that of sampling, and other paths have."""

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.paths import Settings, path_scores
from distembed.benchmarks.shortest import GaussianShortest, MixtureShortest
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.geometry.displacement import geodesic_error
from distembed.model.gde import GDE

T = np.linspace(0, 1, 5)


def errors(shortest, test):
    paths = shortest.rivals(test.batch([0]), test.batch([1]))
    return {
        name: float(geodesic_error(shortest.gap(path), shortest.separation))
        for name, path in paths.items()
    }


def test_rivals_between_gaussians():
    mean, far = torch.zeros(2), torch.tensor([8.0, 0.0])
    cov = torch.stack([torch.eye(2), torch.diag(torch.tensor([0.1, 4.0]))])
    test = Gaussians(torch.stack([mean, far]), cov, size=20_000)
    shortest = GaussianShortest(test, (0, 1), T, 20_000)
    assert shortest.separation == pytest.approx(float(test.w2([0], [1])[0]))
    values = errors(shortest, test)
    # moments of 20,000 atoms: a standard error of the mean of about 2 / sqrt(20,000), over W2
    noise = 5 * 2 * 2 / np.sqrt(20_000) / shortest.separation
    assert values["floor"] < noise
    assert values["bures"] < 2 * noise
    # the mixture of both ends has the right means, and W2 / 2 as deviation of the middle
    assert values["blend"] > 0.1


def test_rivals_between_mixtures():
    """Two narrow components that move apart by 6: matched components are the shortest path."""
    mean = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[0.0, 6.0], [2.0, -6.0]]])
    test = Mixtures(torch.ones(2, 2), mean, 0.05 * torch.eye(2).expand(2, 2, 2, 2), size=400)
    shortest = MixtureShortest(test, (0, 1), T, 400)
    values = errors(shortest, test)
    assert shortest.separation == pytest.approx(6, rel=0.1)
    # 400 atoms: shares of components are wrong by about 0.025, and this mass moves by up to 12, so
    # the floor is 12 sqrt(0.025) / 6 at the ends; the middle of a blend is wrong by half of W2
    assert max(values["floor"], values["mw2"]) < 0.9 * min(values["blend"], values["bures"])
    itself = shortest.gap(SetBatch.from_dense(shortest.path.x.view(5, -1, 2)))
    assert itself.max() < 1e-6


def test_pairs_that_are_too_close_are_refused():
    test = Gaussians(torch.zeros(4, 2), torch.eye(2).expand(4, 2, 2), size=50)
    model = GDE(latent=4).fit(
        Gaussians.prior(20, 2, 10, size=20), steps=1, validation=0, progress=False
    )
    with pytest.raises(ValueError, match=r"No pair of the 4 held-out distributions"):
        list(path_scores({"gde": model}, test, Settings(atoms=50)))
