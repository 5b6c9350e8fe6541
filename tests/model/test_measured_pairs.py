"""W2 measured on pairs of training sets, on sets whose W2 is known, and its calibration."""

import logging

import numpy as np
import pytest

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.data.transforms.chain import Chain
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.moments import Moments
from distembed.generators.flow import Flow
from distembed.geometry.attachment import TrainingTable
from distembed.geometry.distance import Calibration
from distembed.inference.calibrated import w2_interval
from distembed.inference.covariance import covariance
from distembed.model.calibrate import PairSettings, measure_pairs
from distembed.model.conditioning import Direct
from distembed.model.engine import InferenceEngine
from distembed.model.network import Network
from distembed.sets.collection import Sets
from distembed.training.runtime import Runtime


class Stretched(Moments):
    """The mean, measured in another unit."""

    def __init__(self, unit):
        super().__init__((2,), 2, "mean")
        self.unit = unit

    def forward(self, batch):
        return self.unit * super().forward(batch)


def network(unit=1.0, transform=()):
    generator = Flow((2,), 2, width=4, depth=1)
    return Network(Stretched(unit), Direct(2), generator, Chain.build(transform))


def shifts(sets=40, size=400, spread=5.0):
    """Sets that differ in location alone, so that W2 is the distance of the means."""
    mean = np.random.default_rng(0).uniform(0, spread, (sets, 2))
    return Gaussians(mean, np.tile(np.eye(2), (sets, 1, 1)), size=size)


SETTINGS = PairSettings(pairs=120)


def measured(model, data, seed=0, held_out=(), settings=SETTINGS):
    mask = np.isin(np.arange(len(data)), held_out)
    engine = InferenceEngine(model, Runtime.choose("cpu"))
    return measure_pairs(engine, data, mask, seed, settings)


def fitted(model, data, seed=0):
    pairs, count = measured(model, data, seed), len(data)
    z, mask = np.zeros((count, 2), np.float32), np.zeros(count, bool)
    return Calibration.fit(
        TrainingTable(z, np.ones(count), mask, ("",) * count, np.eye(z.shape[1]), pairs, seed)
    )


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
def test_shifts(unit):
    calibration = fitted(network(unit), shifts())
    # 128 atoms a side move a squared distance of 8 by about 2 * 2.6 * sqrt(2 / 128) = 0.65, and
    # pairs of 40 sets are worth about 40 of their own: 0.65 / 8 / sqrt(40) = 1.3 %
    for distance in (1.0, 3.0, 5.0, 50.0):
        assert calibration(distance * unit) == pytest.approx(distance, rel=5 * 0.015)
    assert calibration.pairs == SETTINGS.pairs
    assert len(calibration.ratios) == calibration.pairs // 2
    assert calibration.error < 0.02  # sampling moves both distances alike


def test_what_sampling_adds_is_taken_off():
    # means at a typical distance of 0.3 and atoms of deviation 1: the W2 of 128 atoms a side is
    # about 0.55, twice too large, and noise in what is taken off leaves up to a third of it
    calibration = fitted(network(), shifts(spread=0.6, sets=60))
    assert 0.7 < calibration(0.3) / 0.3 < 1.4


def test_w2_is_measured_in_the_ground_space():
    model, data = network(transform=[{"name": "standardise", "over": "all"}]), shifts()
    batch = data.batch(range(len(data)))
    model.transform.fit(batch.x, batch.w)
    calibration = fitted(model, data)
    # latent distances are those of standardised means, and so is W2
    assert calibration(1.0) == pytest.approx(1.0, rel=5 * 0.015)
    assert calibration.ground == "model"


def test_the_seed_decides():
    first, second, other = (fitted(network(), shifts(), seed) for seed in (0, 0, 1))
    assert first == second
    assert first != other


@pytest.mark.parametrize(("held_out", "rows"), [(24, range(24)), (23, range(23, 40))])
def test_held_out_sets_are_read_if_they_are_enough(held_out, rows):
    class Watched(Gaussians):
        indices = set()

        def batch(self, indices, m=None, rng=None):
            self.indices.update(indices)
            return super().batch(indices, m, rng)

    data = shifts()
    watched = Watched(data.mean, data.cov, data.size)
    measured(network(), watched, held_out=range(held_out))
    assert watched.indices == set(rows)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (shifts(sets=5), "5 training sets have 50 atoms or more"),
        (shifts(size=PairSettings().fewest_atoms - 1), "0 training sets have 50 atoms or more"),
    ],
    ids=["few sets", "few atoms"],
)
def test_without_pairs_there_is_a_reason(data, reason, caplog):
    with caplog.at_level(logging.INFO, "distembed"):
        pairs = measured(network(), data)
    assert len(pairs) == 0
    assert reason in pairs.reason
    assert any("distances stay latent" in message for message in caplog.messages)
    with pytest.raises(ValueError, match=reason):
        fitted(network(), data)


def test_every_set_is_halved_by_its_own_size(monkeypatch):
    sizes = []

    def recorded(batch, pairs, distance):
        sizes.append(batch.sizes)
        return pairwise_w2(batch, pairs, distance=distance)

    monkeypatch.setattr("distembed.model.calibrate.pairwise_w2", recorded)
    rng = np.random.default_rng(0)
    atoms = [rng.normal(rng.uniform(0, 5, 2), 1, (m, 2)) for m in rng.integers(60, 300, 30)]
    measured(network(), Sets.from_batch(SetBatch.from_list(atoms)))
    whole, halves, quarters = sizes[0], sizes[1:3], sizes[3:7]
    assert (whole < 128).any()
    assert (whole <= 128).all()
    assert (sum(halves) == whole).all()
    assert (sum(quarters) == whole).all()
    assert ((halves[0] - whole / 2).abs() <= 0.5).all()
    assert ((quarters[0] - whole / 4).abs() <= 1).all()


def test_sets_of_enough_atoms_are_taken_first():
    rng = np.random.default_rng(0)
    atoms = [rng.normal(0, 1, (m, 2)) for m in [60] * 10 + [128] * 5 + [200] * 5]
    data = Sets.from_batch(SetBatch.from_list(atoms))
    pairs = measured(network(), data, settings=PairSettings(sets=8, pairs=20))
    assert len(pairs) == 20
    assert set(pairs.rows.ravel()) <= set(range(10, 18))
    assert (pairs.rows[:, 0] != pairs.rows[:, 1]).all()


def gaussians(d, sets=64, size=128, near=False):
    data = Gaussians.prior(sets, d=d, df=2 * d, size=size, seed=3)
    return Gaussians(data.mean / 20, data.cov, size=size) if near else data


@pytest.mark.parametrize("near", [False, True], ids=["far", "near"])
@pytest.mark.parametrize("d", [2, 5])
def test_squared_w2_is_estimated_within_its_bounds(d, near):
    data = gaussians(d, near=near)
    generator = Flow((d,), d, width=4, depth=1)
    model = Network(Moments((d,), d, "mean"), Direct(d), generator, Chain.build(()))
    pairs = measured(model, data)
    truth = data.w2(*pairs.rows.T) ** 2
    added = pairs.high - truth
    # 64 sets are worth 32 pairs of their own
    error = np.std(added) / 32**0.5
    assert (pairs.low <= pairs.w2_squared).all()
    assert (pairs.w2_squared <= pairs.high).all()
    assert np.mean(pairs.low - truth) < 2 * error
    assert np.mean(pairs.high - truth) > -2 * error
    assert np.mean(pairs.w2_squared - truth) == pytest.approx(
        0, abs=0.5 * added.mean() + 2 * error
    )


def test_the_halves_estimate_the_noise():
    """The squared gaps have the variance of the estimates as their expectation."""
    data = gaussians(2)
    model = Network(
        Moments((2,), 2, "mean"), Direct(2), Flow((2,), 2, width=4, depth=1), Chain.build(())
    )
    pairs = measured(model, data)
    i, j = pairs.rows.T
    latent = ((data.mean[i] - data.mean[j]) ** 2).sum(1).numpy()
    for value, gap, truth in (
        (pairs.latent_squared, pairs.latent_gap, latent),
        (pairs.w2_squared, pairs.w2_gap, data.w2(i, j) ** 2),
    ):
        ratio = np.mean(gap**2) / np.mean((value - truth) ** 2)
        # each a mean of squares over about 32 independent pairs
        assert 1 / 2 < ratio < 2


def test_intervals_cover_the_w2_of_gaussians_and_inform():
    """Held-out Gaussians in five dimensions, whose W2 has a formula."""
    generator = Flow((5,), 20, width=4, depth=1)
    model = Network(Moments((5,), 20, "mean_cov"), Direct(20), generator, Chain.build(()))
    pairs = measured(model, gaussians(5), settings=PairSettings())
    calibration = Calibration.from_measured(pairs)
    test = Gaussians.prior(400, d=5, df=10, size=100, seed=2)
    table = covariance(model.embedder, test.batch(range(400)))
    # every set is in one pair, so that pairs are independent
    i, j = np.arange(400).reshape(2, 200)
    interval = w2_interval(table.z[i], table.z[j], table.cov[i], table.cov[j], calibration)
    w2 = test.w2(i, j)
    inside = (interval.low <= w2) & (w2 <= interval.high)
    # 93 to 97 %, and three standard errors of the binomial distribution of 200 pairs
    error = (0.95 * 0.05 / 200) ** 0.5
    assert 0.93 - 3 * error < inside.mean() <= min(0.97 + 3 * error, 0.995)
    assert np.median((interval.high - interval.low) / w2) < 0.20
