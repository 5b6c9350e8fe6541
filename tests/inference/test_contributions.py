"""Contributions of atoms: exact for means, complete for all encoders."""

import numpy as np
import pytest
import torch
from inference_fakes import Functional, ragged, small_deepsets

from distembed.batch import SetBatch
from distembed.inference.contributions import attribute_change, contributions
from distembed.inference.covariance import covariance
from distembed.rng import stream

EXACT = {"rtol": 1e-11, "atol": 1e-13}


def features(x):
    return torch.cat([x, x.square().sum(1, keepdim=True)], 1)


LINEAR = Functional(lambda batch: batch.mean(features(batch.x)))


def deviation(batch):
    mean = batch.mean(batch.x)
    return batch.mean((batch.x - batch.expand(mean)).square()).sqrt()


def sets(key, sizes=(1, 6, 9), shift=0.0):
    """Draw sets of which the last has an atom of weight zero."""
    batch = ragged(key, sizes, shift=shift)
    w = batch.w.clone()
    w[batch.offsets[-2]] = 0
    return batch.replace(w=w / batch.replace(w=w).mass[batch.owner])


def deepsets(dtype=torch.float64):
    return small_deepsets(dtype=dtype).requires_grad_(False)


def test_contributions_of_a_linear_encoder_are_exact():
    batch = sets("linear")
    directions = torch.randn(3, 3, generator=stream("directions"), dtype=torch.float64)
    result = contributions(LINEAR, batch, directions)
    z, h = LINEAR(batch), features(batch.x)
    expected = batch.w * ((h - batch.expand(z)) * batch.expand(directions)).sum(1)
    np.testing.assert_allclose(np.concatenate(result), expected, **EXACT)
    assert [len(c) for c in result] == [1, 6, 9]


@pytest.mark.parametrize("encoder", [LINEAR, deepsets()], ids=["linear", "deepsets"])
def test_they_sum_to_zero_and_are_linear_in_the_direction(encoder):
    batch = sets("laws")
    latent = encoder(batch).shape[1]
    u, v = torch.randn(2, latent, generator=stream("uv"), dtype=torch.float64)
    a, b, both = (contributions(encoder, batch, d) for d in (u, v, 2 * u - v))
    for one, other, together in zip(a, b, both, strict=True):
        np.testing.assert_allclose(2 * one - other, together, rtol=1e-9, atol=1e-12)
        assert abs(one.sum()) < 1e-12


def test_their_squares_are_the_variance_along_the_direction():
    """The same influences as in the covariance, but for its correction."""
    x = torch.randn(2, 15, 2, generator=stream("squares"), dtype=torch.float64)
    batch, encoder = SetBatch.from_dense(x), deepsets()
    u = np.arange(12.0)
    variance = u @ covariance(encoder, batch).cov @ u
    squares = [(c**2).sum() * 15 / 14 for c in contributions(encoder, batch, u)]
    np.testing.assert_allclose(squares, variance, rtol=1e-10)


def test_removing_an_atom_changes_z_by_its_contribution():
    x = torch.randn(1, 2000, 2, generator=stream("removed"), dtype=torch.float64)
    batch, encoder = SetBatch.from_dense(x), deepsets()
    u = torch.ones(12, dtype=torch.float64)
    (result,) = contributions(encoder, batch, u)
    top = int(np.abs(result).argmax())
    rest = batch.keep(torch.arange(2000) != top)
    change = float((encoder(batch) - encoder(rest)) @ u)
    assert abs(change / result[top] - 1) < 0.05  # O(1 / m), larger for the most extreme atom


def test_the_change_of_a_linear_encoder_is_shared_exactly():
    a, b = sets("a"), sets("b", (4, 2, 5), shift=1.0)
    za, zb = LINEAR(a), LINEAR(b)
    for direction in (None, torch.randn(3, generator=stream("u"), dtype=torch.float64)):
        u = zb - za if direction is None else direction.expand(3, 3)
        result = attribute_change(LINEAR, a, b, direction)
        middle = (za + zb) / 2
        first = -a.w * ((features(a.x) - a.expand(middle)) * a.expand(u)).sum(1)
        second = b.w * ((features(b.x) - b.expand(middle)) * b.expand(u)).sum(1)
        np.testing.assert_allclose(np.concatenate(result.a), first, **EXACT)
        np.testing.assert_allclose(np.concatenate(result.b), second, **EXACT)
        np.testing.assert_allclose(result.change, ((zb - za) * u).sum(1), **EXACT)
        np.testing.assert_allclose([c.sum() for c in result.a], result.change / 2, **EXACT)
        assert np.abs(result.gap).max() < 1e-12
    assert [len(c) for c in result.a] == [1, 6, 9]
    assert [len(c) for c in result.b] == [4, 2, 5]


@pytest.mark.parametrize(
    ("sizes", "nodes", "tolerance"), [((100, 60, 80), 16, 1e-4), ((6, 9, 12), 64, 1e-6)]
)
@pytest.mark.parametrize("key", range(3))
def test_completeness_of_deepsets(sizes, nodes, tolerance, key):
    a, b = sets(("a", key), sizes), sets(("b", key), sizes[::-1], shift=1.0)
    encoder = deepsets()
    result = attribute_change(encoder, a, b, nodes=nodes)
    square = (encoder(b) - encoder(a)).square().sum(1).numpy()
    np.testing.assert_allclose(result.change, square, rtol=1e-12)
    total = np.array([p.sum() + q.sum() for p, q in zip(result.a, result.b, strict=True)])
    np.testing.assert_allclose(total - result.change, result.gap, rtol=0, atol=1e-12)
    assert (np.abs(result.gap) < tolerance * square).all()


def test_exchanging_the_sets_exchanges_their_contributions():
    a, b = sets("a"), sets("b", shift=1.0)
    one, other = (attribute_change(deepsets(), *pair) for pair in ((a, b), (b, a)))
    for k in range(3):
        np.testing.assert_allclose(one.a[k], other.b[k], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(one.b[k], other.a[k], rtol=1e-8, atol=1e-12)


def test_a_set_has_no_change_to_itself():
    batch = sets("same")
    result = attribute_change(deepsets(), batch, batch)
    assert np.abs(np.concatenate([*result.a, *result.b, result.change, result.gap])).max() < 1e-12


def test_a_set_without_spread():
    a, b = SetBatch.from_list([[[0.0]]]), SetBatch.from_list([[[-1.0], [1.0]]])
    result = attribute_change(Functional(deviation), a, b, double=True)
    assert result.change[0] == pytest.approx(1)
    assert abs(result.gap[0]) < 1e-6
    np.testing.assert_allclose(result.b[0][0], result.b[0][1], rtol=1e-12)


@torch.no_grad()
def test_they_work_where_gradients_are_off():
    a, b = sets("a"), sets("b", shift=1.0)
    assert np.abs(attribute_change(LINEAR, a, b).gap).max() < 1e-12
    assert len(contributions(LINEAR, a, np.ones(3))) == 3


def test_float32_is_enough():
    a, b = sets("a"), sets("b", shift=1.0)
    single, double = (
        attribute_change(deepsets(torch.float32), a, b, double=each) for each in (False, True)
    )
    np.testing.assert_allclose(single.change, double.change, rtol=1e-4)
    assert (np.abs(single.gap - double.gap) < 1e-4 * double.change).all()


def test_runs_of_sets_change_nothing():
    a, b = sets("a"), sets("b", shift=1.0)
    u = torch.eye(12, dtype=torch.float64)[:3]
    encoder = deepsets()
    whole, terms = attribute_change(encoder, a, b, u), contributions(encoder, a, u)
    pieces = attribute_change(encoder, a, b, u, atoms=8)
    part = contributions(encoder, a, u, atoms=8)
    for x, y in zip(whole.a + whole.b + terms, pieces.a + pieces.b + part, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-13)


def test_bad_arguments_are_refused():
    batch = sets("refused")
    with pytest.raises(ValueError, match=r"direction has shape \(4,\); z has 3 coordinates"):
        contributions(LINEAR, batch, np.ones(4))
    with pytest.raises(ValueError, match=r"direction has shape \(2, 3\)"):
        attribute_change(LINEAR, batch, batch, np.ones((2, 3)))
    with pytest.raises(ValueError, match="sets are paired"):
        attribute_change(LINEAR, batch, batch[0])
    with pytest.raises(ValueError, match="at least one"):
        attribute_change(LINEAR, batch, batch, nodes=0)
    rough = Functional(LINEAR.function, smooth=False)
    with pytest.raises(ValueError, match="no derivative by the weights"):
        contributions(rough, batch, np.ones(3))
    with pytest.raises(ValueError, match="no derivative by the weights"):
        attribute_change(rough, batch, batch)
