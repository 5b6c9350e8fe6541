"""The five laws of every encoder that can be named, and of their settings."""

import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS, POOLINGS
from distembed.protocols import PreparedEncoder
from distembed.registry import applicable, build
from distembed.rng import stream
from distembed.testing import check_encoder

EVENTS = [(1,), (3,), (1, 8, 8)]
OF_NUMBERS = applicable(ENCODERS, "vectors")
NARROW = {"attention": {"width": 16, "heads": 2}, "median_gnn": {"width": 16}}
"""Options of members whose laws take long at their own width."""
PREPARED = ["not", "on spread", "on copies of one atom"]
LAWS = {"permute", "replicate", "split", "zero", "independence"}


class Unprepared(nn.Module):
    """An encoder that nobody prepares."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.latent = inner, inner.latent

    def forward(self, batch):
        return self.inner(batch)


def make(name, event_shape, latent=8, **options):
    return build(ENCODERS, {"name": name, **options}, "encoder", event_shape, latent)


def prepare(encoder, batch):
    if isinstance(encoder, PreparedEncoder):
        encoder.prepare(batch)


def assert_lawful(encoder, event_shape, prepared=(True, False)):
    for subject in (encoder if p else Unprepared(encoder) for p in prepared):
        assert not hasattr(subject, "prepare") or subject is encoder
        report = check_encoder(subject, event_shape)
        assert {check.law for check in report.checks} >= LAWS


def test_the_family_is_not_empty():
    assert set(ENCODERS) >= {"deepsets", "moments", "kernel"}


@pytest.mark.parametrize("event_shape", EVENTS, ids=str)
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_laws_of_the_family(name, event_shape):
    encoder = make(name, event_shape, **NARROW.get(name, {}))
    # what preparation changes does not depend on the shape
    assert_lawful(encoder, event_shape, (True, False) if event_shape == (3,) else (True,))


@pytest.mark.parametrize("feedback", [None, "mean", "huber", "median"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_laws_of_poolings(pooling, feedback):
    options = {"pooling": pooling, "feedback": feedback, "width": 8}
    assert_lawful(make("deepsets", (3,), **options), (3,))


@pytest.mark.parametrize(
    "parts",
    [
        ["closed_form", "induced"],
        [{"name": "moments", "kind": "quantiles"}, "kernel"],
        ["deepsets", {"name": "joined", "parts": ["moments", "kernel"]}],
    ],
    ids=str,
)
def test_laws_of_joined_encoders(parts):
    assert_lawful(make("joined", (3,), parts=parts), (3,))


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_laws_of_narrow_embeddings(latent):
    for name in ("deepsets", "moments", "closed_form", "joined"):
        assert_lawful(make(name, (3,), latent), (3,))


@pytest.mark.parametrize("kind", ["mean", "mean_cov", "quantiles"])
def test_laws_of_moments(kind):
    assert_lawful(make("moments", (3,), kind=kind), (3,))


def test_laws_of_several_bandwidths():
    assert_lawful(make("kernel", (3,), bandwidths=(0.5, 1, 2)), (3,))


@pytest.mark.parametrize(
    ("name", "prepared", "event_shape"),
    [
        # a pairwise cover: every encoder with every preparation and with every shape
        (name, PREPARED[k], EVENTS[(i + k) % 3])
        for i, name in enumerate(OF_NUMBERS)
        for k in range(3)
    ],
    ids=str,
)
def test_sets_without_any_spread_are_finite_and_have_gradients(name, prepared, event_shape):
    rng = stream("no spread")
    atom = torch.randn(1, *event_shape, generator=rng)
    many = torch.randn(40, *event_shape, generator=rng)
    encoder = make(name, event_shape)
    if prepared != "not":
        prepare(encoder, SetBatch.from_list([many if prepared == "on spread" else atom] * 8))
    batch = SetBatch.from_list([atom, atom.expand(7, *event_shape), many])
    z = encoder(batch)
    assert z.isfinite().all()
    # seven copies of an atom are that atom
    largest = float(z.detach().abs().max())
    torch.testing.assert_close(z[0], z[1], rtol=0, atol=1e-5 * largest)
    if any(p.requires_grad for p in encoder.parameters()):
        z.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_informed_coordinates_do_not_depend_on_the_first_weights(name):
    batch = SetBatch.from_dense(torch.randn(20, 9, 3, generator=stream("informed")))
    encoder = make(name, (3,))
    prepare(encoder, batch)
    informed = encoder.traits.informed
    before = encoder(batch).detach()
    assert (before != before[0]).any(0)[:informed].all(), "a coordinate without variation"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        other = make(name, (3,))
    prepare(other, batch)
    moved = (other(batch) - before).abs().amax(0)
    assert not moved[:informed].any()
    # and nothing else is held back: a coordinate that stays may be shrunk from the start
    trained = any(p.requires_grad for p in encoder.parameters())
    assert trained or informed == encoder.latent


@pytest.mark.parametrize("name", sorted(set(OF_NUMBERS) - {"composed"}))  # features have weights
def test_equal_data_prepare_equal_encoders(name):
    batch = SetBatch.from_dense(torch.randn(20, 9, 3, generator=stream("equal data")))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        encoder = make(name, (3,))
        prepare(encoder, batch)
        states.append(dict(encoder.named_buffers()))
    assert states[0].keys() == states[1].keys()
    assert all(states[0][k].equal(states[1][k]) for k in states[0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moments", {"kind": "median"}, "'mean', 'mean_cov', 'quantiles'"),
        ("kernel", {"bandwidths": ()}, "positive multiples"),
        ("kernel", {"bandwidths": (1.0, -2.0)}, "positive multiples"),
        ("deepsets", {"pooling": "sum"}, "sum pooling is refused: it grows"),
        ("deepsets", {"pooling": "max"}, "extreme-value .* Use logmeanexp"),
        ("deepsets", {"feedback": "max"}, "extreme-value .* Use logmeanexp"),
        ("deepsets", {"pooling": "middle"}, "no pooling 'middle'; there are: huber, logmeanexp"),
        ("attention", {"heads": 5}, "heads = 5 do not divide the width 64"),
        ("deepsets", {"layers": 2}, "no option 'layers'; it takes: .*depth"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, (3,), **options)


def test_an_odd_kernel_mean_is_refused():
    with pytest.raises(ValueError, match="7 features; .* in pairs"):
        make("kernel", (3,), latent=7, features=5)
