"""Contributions of atoms: exact for means, complete for all."""

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders.joined import Joined
from distembed.inference import derivative
from distembed.inference.contributions import contributions, explained
from distembed.inference.covariance import covariance
from distembed.protocols import EncoderTraits
from distembed.rng import stream

EXACT = {"rtol": 1e-11, "atol": 1e-13}


class Functional:
    """An encoder from a function of the batch."""

    latent = 2

    def __init__(self, function, smooth=True):
        self.function, self.traits = function, EncoderTraits(smooth=smooth)

    def __call__(self, batch):
        return self.function(batch)


def features(x):
    return torch.cat([x, x.square().sum(1, keepdim=True)], 1)


LINEAR = Functional(lambda batch: batch.mean(features(batch.x)))


def deviation(batch):
    mean = batch.mean(batch.x)
    return batch.mean((batch.x - batch.expand(mean)).square()).sqrt()


def ragged(key, sizes=(1, 6, 9), shift=0.0):
    rng = stream("contributions", key)
    sets = [shift + torch.randn(m, 2, generator=rng, dtype=torch.float64) for m in sizes]
    weights = [torch.rand(m, generator=rng, dtype=torch.float64) + 0.1 for m in sizes]
    weights[-1][0] = 0.0
    return SetBatch.from_list(sets, weights)


def small_deepsets(dtype=torch.float64):
    torch.manual_seed(0)
    encoder = Joined((2,), 12, ["closed_form", {"name": "deepsets", "width": 16, "depth": 1}])
    encoder.prepare(SetBatch.from_dense(torch.randn(20, 30, 2)))
    return encoder.to(dtype).requires_grad_(False)


def test_contributions_of_a_linear_encoder_are_exact():
    batch = ragged("linear")
    directions = torch.randn(3, 3, generator=stream("directions"), dtype=torch.float64)
    found = contributions(LINEAR, batch, directions)
    z, h = LINEAR(batch), features(batch.x)
    expected = batch.w * ((h - batch.expand(z)) * batch.expand(directions)).sum(1)
    np.testing.assert_allclose(np.concatenate(found), expected, **EXACT)
    assert [len(c) for c in found] == [1, 6, 9]


@pytest.mark.parametrize("encoder", [LINEAR, small_deepsets()], ids=["linear", "deepsets"])
def test_they_sum_to_zero_and_are_linear_in_the_direction(encoder):
    batch = ragged("laws")
    latent = encoder(batch).shape[1]
    u, v = torch.randn(2, latent, generator=stream("uv"), dtype=torch.float64)
    a, b, both = (contributions(encoder, batch, d) for d in (u, v, 2 * u - v))
    for one, other, together in zip(a, b, both, strict=True):
        np.testing.assert_allclose(2 * one - other, together, rtol=1e-9, atol=1e-12)
        assert abs(one.sum()) < 1e-12


def test_their_squares_are_the_variance_along_the_direction():
    """The same influences as in the covariance, but for its correction."""
    x = torch.randn(2, 15, 2, generator=stream("squares"), dtype=torch.float64)
    batch, encoder = SetBatch.from_dense(x), small_deepsets()
    u = np.arange(12.0)
    variance = u @ covariance(encoder, batch).cov @ u
    squares = [(c**2).sum() * 15 / 14 for c in contributions(encoder, batch, u)]
    np.testing.assert_allclose(squares, variance, rtol=1e-10)


def test_removing_an_atom_moves_z_by_its_contribution():
    x = torch.randn(1, 2000, 2, generator=stream("removed"), dtype=torch.float64)
    batch, encoder = SetBatch.from_dense(x), small_deepsets()
    u = torch.ones(12, dtype=torch.float64)
    (found,) = contributions(encoder, batch, u)
    top = int(np.abs(found).argmax())
    left = batch.keep(torch.arange(2000) != top)
    moved = float((encoder(batch) - encoder(left)) @ u)
    assert abs(moved / found[top] - 1) < 0.05  # O(1 / m), larger for the most extreme atom


def test_the_change_of_a_linear_encoder_is_shared_exactly():
    a, b = ragged("a"), ragged("b", (4, 2, 5), shift=1.0)
    za, zb = LINEAR(a), LINEAR(b)
    for given in (None, torch.randn(3, generator=stream("u"), dtype=torch.float64)):
        u = zb - za if given is None else given.expand(3, 3)
        found = explained(LINEAR, a, b, given)
        middle = (za + zb) / 2
        first = -a.w * ((features(a.x) - a.expand(middle)) * a.expand(u)).sum(1)
        second = b.w * ((features(b.x) - b.expand(middle)) * b.expand(u)).sum(1)
        np.testing.assert_allclose(np.concatenate(found.a), first, **EXACT)
        np.testing.assert_allclose(np.concatenate(found.b), second, **EXACT)
        np.testing.assert_allclose(found.change, ((zb - za) * u).sum(1), **EXACT)
        np.testing.assert_allclose([c.sum() for c in found.a], found.change / 2, **EXACT)
        assert np.abs(found.gap).max() < 1e-12
    assert [len(c) for c in found.a] == [1, 6, 9]
    assert [len(c) for c in found.b] == [4, 2, 5]


@pytest.mark.parametrize("nodes", [16, 32])
def test_completeness_of_deepsets(nodes):
    a, b = ragged("a", (40, 6, 9)), ragged("b", (30, 8, 5), shift=1.0)
    encoder = small_deepsets()
    found = explained(encoder, a, b, nodes=nodes)
    square = (encoder(b) - encoder(a)).square().sum(1).numpy()
    np.testing.assert_allclose(found.change, square, rtol=1e-12)
    total = np.array([p.sum() + q.sum() for p, q in zip(found.a, found.b, strict=True)])
    np.testing.assert_allclose(total - found.change, found.gap, rtol=0, atol=1e-12)
    assert (np.abs(found.gap) < {16: 1e-5, 32: 1e-6}[nodes] * square).all()


def test_exchanging_the_sets_exchanges_what_they_own():
    a, b = ragged("a"), ragged("b", shift=1.0)
    one, other = (explained(small_deepsets(), *pair) for pair in ((a, b), (b, a)))
    for k in range(3):
        np.testing.assert_allclose(one.a[k], other.b[k], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(one.b[k], other.a[k], rtol=1e-8, atol=1e-12)


def test_a_set_explains_no_change_to_itself():
    batch = ragged("same")
    found = explained(small_deepsets(), batch, batch)
    assert np.abs(np.concatenate([*found.a, *found.b, found.change, found.gap])).max() < 1e-12


def test_a_set_without_spread_is_no_obstacle():
    a, b = SetBatch.from_list([[[0.0]]]), SetBatch.from_list([[[-1.0], [1.0]]])
    found = explained(Functional(deviation), a, b, double=True)
    assert found.change[0] == pytest.approx(1)
    assert abs(found.gap[0]) < 1e-6
    np.testing.assert_allclose(found.b[0][0], found.b[0][1], rtol=1e-12)


@torch.no_grad()
def test_they_work_where_gradients_are_off():
    a, b = ragged("a"), ragged("b", shift=1.0)
    assert np.abs(explained(LINEAR, a, b).gap).max() < 1e-12
    assert len(contributions(LINEAR, a, np.ones(3))) == 3


def test_float32_gaps_are_told():
    a, b = ragged("a"), ragged("b", shift=1.0)
    found = explained(small_deepsets(torch.float32), a, b)
    assert (np.abs(found.gap) < 1e-3 * found.change).all()
    exact = explained(small_deepsets(torch.float32), a, b, double=True)
    np.testing.assert_allclose(found.change, exact.change, rtol=1e-4)


def test_memory_in_pieces_changes_nothing(monkeypatch):
    a, b = ragged("a"), ragged("b", shift=1.0)
    u = torch.eye(12, dtype=torch.float64)[:3]
    encoder = small_deepsets()
    whole, terms = explained(encoder, a, b, u), contributions(encoder, a, u)
    monkeypatch.setattr(derivative, "ATOMS", 8)
    pieces, part = explained(encoder, a, b, u), contributions(encoder, a, u)
    for x, y in zip(whole.a + whole.b + terms, pieces.a + pieces.b + part, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-13)


def test_what_is_refused():
    batch = ragged("refused")
    with pytest.raises(ValueError, match=r"direction has shape \(4,\); z has 3 coordinates"):
        contributions(LINEAR, batch, np.ones(4))
    with pytest.raises(ValueError, match=r"direction has shape \(2, 3\)"):
        explained(LINEAR, batch, batch, np.ones((2, 3)))
    with pytest.raises(ValueError, match="sets are paired"):
        explained(LINEAR, batch, batch[0])
    with pytest.raises(ValueError, match="at least one"):
        explained(LINEAR, batch, batch, nodes=0)
    rough = Functional(LINEAR.function, smooth=False)
    with pytest.raises(ValueError, match="no derivative by the weights"):
        contributions(rough, batch, np.ones(3))
    with pytest.raises(ValueError, match="no derivative by the weights"):
        explained(rough, batch, batch)
