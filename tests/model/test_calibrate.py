"""What a latent distance is worth in W2, measured on sets whose W2 is known."""

import logging

import numpy as np
import pytest

from distembed import calibrate as calibrate_module
from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.data.transforms.chain import Chain
from distembed.encoders.moments import Moments
from distembed.generators.flow import Flow
from distembed.geometry.distance import Calibration
from distembed.model.calibrate import LEAST_ATOMS, calibrate
from distembed.model.network import Network
from distembed.sets.collection import Sets


class Stretched(Moments):
    """The mean, measured in another unit."""

    def __init__(self, unit):
        super().__init__((2,), 2, "mean")
        self.unit = unit

    def forward(self, batch):
        return self.unit * super().forward(batch)


def network(unit=1.0, transform=()):
    return Network(Stretched(unit), Flow((2,), 3, width=4, depth=1), Chain.build(transform), 2)


def shifts(sets=40, size=400, spread=5.0):
    """Sets that differ in location alone, so that W2 is the distance of the means."""
    mean = np.random.default_rng(0).uniform(0, spread, (sets, 2))
    return Gaussians(mean, np.tile(np.eye(2), (sets, 1, 1)), size=size)


def fitted(model, data, seed=0):
    return calibrate(model, data, np.arange(len(data)), seed)


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
def test_shifts(unit):
    found = fitted(network(unit), shifts())
    # 96 atoms a side move a squared distance of 8 by about 2 * 2.6 * sqrt(2 / 96) = 0.75, and
    # pairs of 40 sets are worth about 40 of their own: 0.75 / 8 / sqrt(40) = 1.5 %
    assert found(3.0 * unit) == pytest.approx(3.0, rel=5 * 0.015)
    assert found.power == pytest.approx(1, abs=0.1)
    assert found.pairs == 40 * 39 // 2
    assert len(found.least) >= 79  # what a 95 % interval asks for
    assert found.error < 0.1


def test_what_sampling_adds_is_taken_off():
    # means at a typical distance of 0.3 and atoms of deviation 1: the W2 of 96 atoms a side is
    # about 0.6, twice too large, and noise in what is taken off leaves up to a third of it
    found = fitted(network(), shifts(spread=0.6, sets=60))
    assert 0.7 < found(0.3) / 0.3 < 1.4


def test_w2_is_measured_in_the_ground_space():
    model, data = network(transform=[{"name": "standardise", "over": "all"}]), shifts()
    batch = data.batch(range(len(data)))
    model.transform.fit(batch.x, batch.w)
    found = fitted(model, data)
    # latent distances are those of standardised means, and so is W2
    assert found(1.0) == pytest.approx(1.0, rel=5 * 0.015)
    assert found.ground == "model"


def test_the_seed_decides():
    first, second, other = (fitted(network(), shifts(), seed) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_only_the_chosen_sets_are_read():
    class Watched(Gaussians):
        read = set()

        def batch(self, indices, m=None, rng=None):
            self.read.update(indices)
            return super().batch(indices, m, rng)

    data = shifts()
    watched = Watched(data.mean, data.cov, data.size)
    calibrate(network(), watched, np.arange(10, 20), 0)
    assert watched.read == set(range(10, 20))


@pytest.mark.parametrize(
    "data", [shifts(sets=5), shifts(size=LEAST_ATOMS - 1)], ids=["few sets", "few atoms"]
)
def test_with_too_little_distances_stay_latent(data, caplog):
    with caplog.at_level(logging.INFO, "distembed"):
        found = fitted(network(), data)
    assert found.pairs == 0
    assert repr(found) == repr(Calibration())
    assert (found(np.arange(3)) == np.arange(3)).all()
    assert any("distances stay latent" in message for message in caplog.messages)


def test_every_set_is_halved_by_its_own_size(monkeypatch):
    seen, squared = [], calibrate_module._squared

    def recorded(halves, pairs):
        seen.append([half.sizes for half in halves])
        return squared(halves, pairs)

    monkeypatch.setattr(calibrate_module, "_squared", recorded)
    rng = np.random.default_rng(0)
    sizes = rng.integers(60, 300, 30)
    fitted(network(), Sets.from_batch(SetBatch.from_list([
        rng.normal(rng.uniform(0, 5, 2), 1, (m, 2)) for m in sizes
    ])))  # fmt: skip
    whole, fewer = seen
    for one, half in zip(whole, fewer, strict=True):
        assert (one < 96).any()
        assert ((half - one / 2).abs() <= 0.5).all()


def test_ratios_are_bounds_where_w2_was_measured():
    found = fitted(network(), shifts())
    least, most = np.array(found.least), np.array(found.most)
    assert (least < most).all()
    # sampling adds to shifts all of the floor, so the lower bound is right on average
    assert np.median(least) == pytest.approx(1, abs=0.1)
    assert np.median(most) > 1
