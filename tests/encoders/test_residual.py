"""A corrected encoder starts at its closed form, and training may move every coordinate of it."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders.closed_form import ClosedForm
from distembed.encoders.moments import moment_count
from distembed.encoders.residual import Residual
from distembed.protocols import EncoderTraits
from distembed.rng import stream


def atoms(b=12, m=30, d=3):
    x = torch.randn(b, m, d, generator=stream("residual"), dtype=torch.float64)
    return SetBatch.from_dense(x)


def test_z_starts_at_the_closed_form_and_zeros():
    batch = atoms()
    encoder, closed = Residual((3,), 32).double(), ClosedForm((3,), 17).double()
    encoder.prepare(batch)
    closed.prepare(batch)
    z = encoder(batch)
    torch.testing.assert_close(z[:, :17], closed(batch), rtol=0, atol=0)
    assert not z[:, 17:].any()
    assert encoder.unit.item() == pytest.approx(closed(batch).var(0, unbiased=False).mean().sqrt())


def test_every_coordinate_moves_and_the_parts_add_up():
    batch = atoms()
    encoder = Residual((3,), 16).double()
    encoder.prepare(batch)
    before = encoder(batch).detach()
    encoder(batch).sum().backward()
    with torch.no_grad():
        for p in encoder.parameters():
            p.sub_(0.1 * p.grad)
    assert (encoder(batch) - before).abs().amax(0).gt(0).all()
    start, correction = encoder.parts(batch)
    torch.testing.assert_close(start, before, rtol=0, atol=0)
    torch.testing.assert_close(start + correction, encoder(batch), rtol=0, atol=0)


@pytest.mark.parametrize(("d", "latent"), [(2, 32), (3, 8), (64, 32), (3, 1)])
def test_an_eighth_of_the_coordinates_is_left_free(d, latent):
    start = Residual((d,), latent).start
    assert start.latent == min(moment_count(d) + 8, latent - latent // 8)


def test_traits_are_those_of_both_parts():
    assert Residual((3,), 32).traits == EncoderTraits(passes=3, informed=17)
    median = Residual((3,), 32, "moments", {"name": "deepsets", "pooling": "median"})
    assert median.traits == EncoderTraits(passes=None, smooth=False, informed=28)


def test_sets_that_are_all_alike_have_no_unit():
    encoder = Residual((2,), 8)
    encoder.prepare(SetBatch.from_list([torch.ones(4, 2)] * 5))
    assert encoder.unit.item() == 1


def test_a_trained_start_is_refused():
    with pytest.raises(ValueError, match="'deepsets', which has trained parameters"):
        Residual((3,), 8, start="deepsets")
