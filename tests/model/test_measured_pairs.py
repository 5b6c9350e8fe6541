"""W2 measured on pairs of training sets, on sets whose W2 is known, and its calibration."""

import logging

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.spaces import Tokens
from distembed.data.synthetic.gaussians import Gaussians
from distembed.data.transforms.chain import Chain
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.moments import Moments
from distembed.generators.flow import Flow
from distembed.geometry.attachment import TrainingTable
from distembed.geometry.distance import Calibration
from distembed.model.calibrate import PairSettings, measure_pairs
from distembed.model.conditioning import Direct
from distembed.model.engine import InferenceEngine
from distembed.model.network import Network
from distembed.rng import stream
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


def tokens(sets=40, size=60):
    x = torch.randint(1, 5, (sets, size, 6), generator=stream("tokens"))
    batch = SetBatch.from_list(list(x))
    return Sets.from_batch(batch, Tokens("ACGT"))


def measured(model, data, seed=0, held_out=()):
    mask = np.isin(np.arange(len(data)), held_out)
    return measure_pairs(InferenceEngine(model, Runtime.choose("cpu")), data, mask, seed)


def fitted(model, data, seed=0):
    pairs, count = measured(model, data, seed), len(data)
    z, mask = np.zeros((count, 2), np.float32), np.zeros(count, bool)
    return Calibration.fit(TrainingTable(z, np.ones(count), mask, ("",) * count, pairs, seed))


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
def test_shifts(unit):
    calibration = fitted(network(unit), shifts())
    # 96 atoms a side move a squared distance of 8 by about 2 * 2.6 * sqrt(2 / 96) = 0.75, and
    # pairs of 40 sets are worth about 40 of their own: 0.75 / 8 / sqrt(40) = 1.5 %
    assert calibration(3.0 * unit) == pytest.approx(3.0, rel=5 * 0.015)
    assert calibration.power == pytest.approx(1, abs=0.1)
    assert calibration.pairs == 40 * 39 // 2
    assert len(calibration.low_ratios) >= 79  # a 95 % interval needs as many
    assert calibration.error < 0.1


def test_what_sampling_adds_is_taken_off():
    # means at a typical distance of 0.3 and atoms of deviation 1: the W2 of 96 atoms a side is
    # about 0.6, twice too large, and noise in what is taken off leaves up to a third of it
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
        (shifts(sets=5), "5 sets have 50 atoms or more"),
        (shifts(size=PairSettings().fewest_atoms - 1), "0 sets have 50 atoms or more"),
        (tokens(), "W2 is not defined for tokens"),
    ],
    ids=["few sets", "few atoms", "tokens"],
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

    def recorded(batch, pairs):
        sizes.append(batch.sizes)
        return pairwise_w2(batch, pairs)

    monkeypatch.setattr("distembed.model.calibrate.pairwise_w2", recorded)
    rng = np.random.default_rng(0)
    atoms = [rng.normal(rng.uniform(0, 5, 2), 1, (m, 2)) for m in rng.integers(60, 300, 30)]
    measured(network(), Sets.from_batch(SetBatch.from_list(atoms)))
    halves, quarters = sizes
    assert (halves < 96).any()
    assert ((quarters - halves / 2).abs() <= 0.5).all()


def test_ratios_are_bounds_where_w2_was_measured():
    calibration = fitted(network(), shifts())
    low, high = np.array(calibration.low_ratios), np.array(calibration.high_ratios)
    assert (low < high).all()
    # sampling adds to shifts all of the floor, so the lower bound is right on average
    assert np.median(low) == pytest.approx(1, abs=0.1)
    assert np.median(high) > 1
