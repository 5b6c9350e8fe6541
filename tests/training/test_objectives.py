r"""Supervision of latent distances by the pairs of a batch.

The Sinkhorn divergence, at any epsilon, and W2^2 between a set and its shift by t are $|t|^2$: the
targets of shifted sets have a closed form.
"""

import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.divergences.sinkhorn import Sinkhorn
from distembed.encoders.deepsets import DeepSets
from distembed.protocols import Objective, Step
from distembed.rng import stream
from distembed.training.objectives import PairDistances


class Ground(nn.Module):
    """A network whose ground space is in units of `unit`."""

    def __init__(self, unit=1.0):
        super().__init__()
        self.unit = unit

    def to_ground(self, batch):
        return batch.replace(x=batch.x.float() / self.unit)


def step_of(batch):
    return Step(batch, batch, torch.arange(len(batch)), 0, stream("step"))


def shifted(shifts, m=12):
    """Shift one cloud of m points by each vector."""
    cloud = torch.randn(m, shifts.shape[1], generator=stream("cloud"))
    return SetBatch.from_dense(cloud + shifts[:, None])


SHIFTS = torch.randn(6, 2, generator=stream("shifts"))


def test_it_is_an_objective():
    assert isinstance(PairDistances(), Objective)


def test_the_value_is_the_mean_over_the_pairs_of_a_set():
    z = torch.randn(6, 3, generator=stream("z"))
    loss = PairDistances(weight=2.0)(Ground(), step_of(shifted(SHIFTS)), z)
    expected = torch.zeros(6)
    for i in range(6):
        for j in range(6):
            if i != j:
                d = ((z[i] - z[j]) ** 2).mean() - ((SHIFTS[i] - SHIFTS[j]) ** 2).sum()
                expected[i] += 2.0 * d**2 / 5
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def test_it_is_zero_where_distances_match():
    batch = step_of(shifted(SHIFTS))
    for mean, z in ((True, 2**0.5 * SHIFTS), (False, SHIFTS)):
        assert PairDistances(mean=mean)(Ground(), batch, z).abs().max() < 1e-6
        assert PairDistances("exact", power=2, mean=mean)(Ground(), batch, z).max() < 1e-6


def test_the_batch_has_no_order():
    batch, order = shifted(SHIFTS), torch.tensor([3, 0, 5, 1, 4, 2])
    z = torch.randn(6, 3, generator=stream("z"))
    pairs = PairDistances()
    permuted = pairs(Ground(), step_of(batch.select(order)), z[order])
    torch.testing.assert_close(permuted, pairs(Ground(), step_of(batch), z)[order])


def test_distances_are_those_of_the_ground_space():
    batch, z = step_of(shifted(SHIFTS)), SHIFTS / 10
    assert PairDistances(mean=False)(Ground(10.0), batch, z).max() < 1e-6


def test_the_first_atoms_are_compared():
    sets = [torch.randn(m, 2, generator=stream("x", m)) for m in (3, 9, 5)]
    z = torch.randn(3, 2, generator=stream("z"))
    whole, part = (SetBatch.from_list([s[:k] for s in sets]) for k in (9, 4))
    loss = PairDistances(atoms=4)(Ground(), step_of(whole), z)
    torch.testing.assert_close(loss, PairDistances()(Ground(), step_of(part), z))


def test_a_set_alone_has_nothing_to_match():
    z = torch.randn(1, 3, requires_grad=True)
    loss = PairDistances()(Ground(), step_of(shifted(SHIFTS[:1])), z)
    loss.sum().backward()
    assert loss.tolist() == [0.0]


def test_only_z_has_a_gradient():
    batch = shifted(SHIFTS)
    batch.x.requires_grad_()
    z = torch.randn(6, 3, generator=stream("z"), requires_grad=True)
    PairDistances()(Ground(), step_of(batch), z).sum().backward()
    assert batch.x.grad is None
    assert z.grad.any(1).all()


@pytest.mark.parametrize("mean", [True, False])
def test_training_matches_latent_distances(mean):
    # means uniform on a square of side 4, one covariance: W2^2 is the squared distance of means
    rng = stream("gaussians")
    encoder = DeepSets((2,), 8, width=32)

    def draw(sets, m):
        shift = 4 * torch.rand(sets, 2, generator=rng) - 2
        return shift, SetBatch.from_dense(shift[:, None] + torch.randn(sets, m, 2, generator=rng))

    shift, test = draw(40, 256)
    i, j = torch.triu_indices(40, 40, 1)
    w2_squared = (shift[i] - shift[j]).square().sum(1)

    def error():
        with torch.no_grad():
            z = encoder(test)
        squared = (z[i] - z[j]).square()
        latent = squared.mean(1) if mean else squared.sum(1)
        return float((latent - w2_squared).square().mean().sqrt() / w2_squared.std())

    assert error() > 1, "an untrained encoder has another unit"
    pairs, steps = PairDistances(Sinkhorn(tolerance=1e-2), mean=mean, atoms=16), 60
    optimizer = torch.optim.Adam(encoder.parameters(), lr=5e-3)
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - k / steps)
        batch = draw(8, 32)[1]
        optimizer.zero_grad()
        pairs(Ground(), step_of(batch), encoder(batch)).mean().backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 10.0)
        optimizer.step()
    # 0.15 to 0.32 over 16 seeds
    assert error() < 0.45


def test_a_member_with_options():
    z = torch.randn(6, 3, generator=stream("z"))
    step = step_of(shifted(SHIFTS))
    by_name = PairDistances({"name": "sinkhorn", "epsilon": 0.5})(Ground(), step, z)
    assert by_name.equal(PairDistances(Sinkhorn(epsilon=0.5))(Ground(), step, z))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"divergence": "kl"}, "There is no divergence 'kl'"),
        ({"weight": 0.0}, "weight = 0.0"),
        ({"power": -1.0}, "power = -1.0"),
        ({"atoms": 0}, "atoms = 0"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PairDistances(**options)
