"""Encoders side by side are these encoders, in as many passes as the longest of them."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders.closed_form import ClosedForm
from distembed.encoders.joined import Joined
from distembed.encoders.moments import moment_count
from distembed.encoders.statistics import run
from distembed.protocols import EncoderTraits
from distembed.rng import stream


def atoms(b=6, m=50, d=3):
    x = torch.randn(b, m, d, generator=stream("joined"), dtype=torch.float64)
    return SetBatch.from_dense(x)


@pytest.mark.parametrize(
    "parts",
    [
        ["closed_form", "deepsets"],
        ["deepsets", "moments", "induced"],
        [{"name": "moments", "kind": "quantiles"}, {"name": "deepsets", "pooling": "median"}],
    ],
    ids=str,
)
def test_z_is_the_concatenation_of_the_parts(parts):
    batch = atoms()
    encoder = Joined((3,), 24, parts).double()
    encoder.prepare(batch)
    z = [part(batch) for part in encoder.parts]
    assert sum(part.shape[1] for part in z) == 24
    torch.testing.assert_close(encoder(batch), torch.cat(z, 1), rtol=0, atol=0)


@pytest.mark.parametrize(("d", "latent"), [(2, 32), (3, 8), (64, 32)])
def test_a_closed_form_gets_what_it_can_fill_and_leaves_an_eighth(d, latent):
    closed, learned = Joined((d,), latent).parts
    assert closed.latent == min(moment_count(d) + 8, 7 * latent // 8)
    assert closed.latent + learned.latent == latent


def test_a_single_coordinate_is_learned():
    (part,) = Joined((3,), 1).parts
    assert not isinstance(part, ClosedForm)
    assert part.latent == 1


def test_coordinates_are_shared_equally_among_unbounded_parts():
    encoder = Joined((3,), 10, ["deepsets", "kernel", "induced"])
    assert [part.latent for part in encoder.parts] == [3, 3, 4]


def test_traits_are_those_of_all_parts():
    encoder = Joined((3,), 32)
    informed = encoder.parts[0].latent
    assert encoder.traits == EncoderTraits(passes=3, informed=informed)
    assert Joined((3,), 32, ["moments", "kernel"]).traits.informed == 32
    # what comes after trained coordinates is not among the first
    assert Joined((3,), 32, ["deepsets", "moments"]).traits.informed == 0
    median = Joined((3,), 32, ["moments", {"name": "deepsets", "pooling": "median"}])
    assert median.traits == EncoderTraits(passes=None, smooth=False, informed=16)


def test_no_parameter_moves_informed_coordinates():
    batch = atoms().to(dtype=torch.float32)
    encoder = Joined((3,), 12)
    before = encoder(batch)
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(1)
    moved = (encoder(batch) != before).any(0)
    assert not moved[: encoder.traits.informed].any()
    assert moved[encoder.traits.informed :].all()


def test_what_two_parts_request_is_computed_once():
    batch, requests = atoms(), []
    stages = (
        Joined((3,), 24, ["closed_form", {"name": "kernel", "relative": True}])
        .double()
        .stages(batch)
    )

    def recorded():
        request = next(stages)
        while True:
            requests.append(len(request))
            try:
                request = stages.send((yield request))
            except StopIteration as stop:
                return stop.value

    run(recorded(), batch)
    # the covariance is requested by both parts
    assert requests[0] == 1


@pytest.mark.parametrize(
    ("latent", "parts", "message"),
    [
        (4, [], "no parts to join"),
        (2, ["deepsets", "kernel", "induced"], "3 parts have to share latent = 2"),
        (4, ["bags"], "no encoder 'bags'"),
        (4, [{"width": 3}], "has no name"),
    ],
)
def test_bad_parts_are_refused(latent, parts, message):
    with pytest.raises(ValueError, match=message):
        Joined((3,), latent, parts)
