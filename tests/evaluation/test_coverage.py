"""Coverage of intervals and the share of noise, against a truth."""

import numpy as np
import pytest
import torch

import distembed as de
from distembed.data.synthetic.gaussians import Gaussians
from distembed.evaluation.coverage import certainty, noise_share
from distembed.evaluation.truth import ReferenceW2
from distembed.inference.calibrated import W2Interval
from distembed.model.embeddings import Embeddings


class Intervals:
    """Distances with intervals that contain two thirds of the truth."""

    def __init__(self, cov=0.5):
        self.cov = cov

    def embed(self, sets, covariance=True):
        z = np.arange(len(sets), dtype=np.float32)[:, None] * 2
        n = np.full(len(z), 100)
        cov = np.full((len(z), 1, 1), self.cov, dtype=np.float32)
        return Embeddings(z, n.astype(str), n, n.astype(float), {}, cov)

    def distance_intervals(self, table, pairs, level):
        return W2Interval(np.array([1.0, 3.0, 1.0]), np.array([3.0, 5.0, 1.5]), level, "model")


@pytest.fixture(scope="module")
def pairs():
    return torch.tensor([[0, 1], [0, 2], [1, 2]]), np.array([2.0, 4.0, 2.0])


def test_shares_are_counted(pairs):
    model = Intervals()
    sentences = certainty(model, model.embed(range(3)), ReferenceW2(*pairs, "given", True))
    # squared distances 4, 16, 4 and noise 1: shares 1/4, 1/16, 1/4
    assert sentences["noise"].startswith("25.0%")
    assert sentences["w2_intervals"] == (
        "66.7% of 3 pairs lie in their 95% interval, whose width is 50% of W2 (median)"
    )


def test_pairs_without_error_bars_are_left_out(pairs):
    model = Intervals()
    table = model.embed(range(3))
    table.cov[0] = np.nan
    assert certainty(model, table, ReferenceW2(*pairs, "measured", False)) == {
        "noise": "25.0% of the squared latent distance of two sets (median)"
    }
    table.cov[:] = np.nan
    assert certainty(model, table, ReferenceW2(*pairs, "given", True)) == {}


def test_intervals_are_not_checked_by_a_measured_w2(pairs):
    model = Intervals()
    table = model.embed(range(3))
    assert set(certainty(model, table, ReferenceW2(*pairs, "measured", False))) == {"noise"}


@pytest.mark.slow
def test_an_evaluation_prints_the_coverage():
    sets = Gaussians.prior(60, 2, 40, size=120, seed=1)
    model = de.GDE(latent=6, transform=()).fit(sets, steps=3, progress=False)
    test = Gaussians.prior(20, 2, 40, size=120, seed=2)
    truth = test.w2(*np.indices((20, 20)).reshape(2, -1)).reshape(20, 20)
    evaluation = de.evaluate(model, test, truth=truth, baselines=["mean"])
    assert "Intervals for W2: " in evaluation.table()
    share = float(evaluation.settings["w2_intervals"].split("%")[0])
    assert share > 80  # of 190 pairs that share 20 sets; 95 are asked for


def test_the_share_of_noise():
    z = np.array([[0, 0], [3, 4], [0, 0]], dtype=np.float32)
    n, cov = np.full(3, 200), np.repeat(np.eye(2, dtype=np.float32)[None], 3, 0)
    table = Embeddings(z, n.astype(str), n, n.astype(float), {}, cov)
    every = np.array([[0, 1], [0, 2], [1, 2]])
    assert noise_share(table, every) == pytest.approx(4 / 25)  # pairs that coincide are left out
    assert np.isnan(noise_share(table, every[1:2]))
