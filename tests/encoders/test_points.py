"""Features of an atom are those of that atom alone, whatever its size and padding."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn import functional

from distembed.encoders.points import POINT_ENCODERS
from distembed.encoders.points.tokens import mean_and_deviation, positions
from distembed.pretrained import PRETRAINED
from distembed.registry import build
from distembed.rng import stream

VOCAB, LENGTH, IMAGE = 6, 7, (1, 6, 5)
EVENTS = {"mlp": IMAGE, "conv2d": IMAGE, "conv1d": (LENGTH,), "transformer": (LENGTH,)}
OPTIONS = {
    "mlp": {"hidden": 8, "depth": 1},
    "conv2d": {"channels": 8, "depth": 1},
    "conv1d": {"vocab": VOCAB, "channels": 8, "depth": 2},
    "transformer": {"vocab": VOCAB, "channels": 8, "depth": 1, "heads": 2},
}
TOKEN_ENCODERS = [name for name, event in EVENTS.items() if len(event) == 1]


def make(name, event_shape=None, width=8, **options):
    shape = EVENTS[name] if event_shape is None else event_shape
    options = OPTIONS[name] | options
    return build(POINT_ENCODERS, {"name": name, **options}, "point encoder", shape, width).double()


def sequences(n, rng, length=LENGTH):
    """Sequences of every length from none to all, pads at the end."""
    tokens = torch.randint(1, VOCAB + 1, (n, length), generator=rng)
    lengths = torch.randint(0, length + 1, (n, 1), generator=rng)
    return tokens * (torch.arange(length) < lengths)


def atoms(name, n, rng):
    if name in TOKEN_ENCODERS:
        return sequences(n, rng)
    return torch.randn(n, *EVENTS[name], generator=rng, dtype=torch.float64)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def test_every_member_is_tested():
    assert set(EVENTS) == set(OPTIONS) == set(POINT_ENCODERS) - set(PRETRAINED)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", EVENTS)
def test_an_atom_alone_has_the_features_that_it_has_among_others(name, train):
    encoder = make(name, width=5).train(train)
    x = atoms(name, 40, stream("alone"))
    features = encoder(x)
    assert features.shape == (40, encoder.width) == (40, 5)
    assert features.std(0).min() > 1e-3
    close(torch.cat([encoder(row) for row in x.split(1)]), features)
    order = torch.randperm(40, generator=stream("order"))
    close(encoder(x[order]), features[order])


@pytest.mark.parametrize("name", EVENTS)
def test_gradients_reach_everything_and_are_right(name):
    encoder = make(name)
    x = atoms(name, 6, stream("gradient"))
    if x.is_floating_point():
        assert torch.autograd.gradcheck(encoder, (x[:2].clone().requires_grad_(),))
    probe = torch.randn(6, 8, generator=stream("probe"), dtype=torch.float64)
    (encoder(x) * probe).sum().backward()
    for key, p in encoder.named_parameters():
        assert p.grad.isfinite().all(), key
        assert p.grad.any(), key


@pytest.mark.parametrize("name", EVENTS)
def test_features_are_not_bounded(name):
    encoder = make(name)
    assert isinstance(list(encoder.modules())[-1], torch.nn.Linear)
    if name in TOKEN_ENCODERS:
        return
    x = atoms(name, 20, stream("scale"))
    assert encoder(100 * x).std() > 20 * encoder(x).std()


# -- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 9), (1, 28, 28), (3, 17, 2), (2, 128, 128)], ids=str
)
def test_images_of_any_size(shape):
    encoder = make("conv2d", shape)
    colours = shape[:-2]
    for size in ((1, 1), (1, 7), (6, 5), shape[-2:], (128, 128)):
        x = torch.rand(2, *colours, *size, generator=stream("size"), dtype=torch.float64)
        assert encoder(x).isfinite().all()
        close(encoder(x)[:1], encoder(x[:1]))


def test_the_place_of_a_pixel_is_seen():
    encoder = make("conv2d", (16, 16))
    x = torch.zeros(2, 16, 16, dtype=torch.float64)
    x[0, 5, 5] = x[1, 9, 9] = 10  # far from any border, and the same to a stride of two
    a, b = encoder(x)
    assert (a - b).norm() > 1e-2 * a.norm()


@pytest.mark.parametrize(
    ("shape", "x", "message"),
    [
        ((5,), None, r"\(5,\); conv2d takes images"),
        ((0, 5), None, "takes images"),
        ((3, 8, 8), (2, 1, 8, 8), r"shape \(1, 8, 8\); this conv2d was built for \(3, H, W\)"),
        ((8, 8), (2, 1, 8, 8), r"shape \(1, 8, 8\); this conv2d was built for \(H, W\)"),
        ((3, 8, 8), (2, 8, 8), r"shape \(8, 8\)"),
        ((8, 8), (2, 0, 8), r"shape \(0, 8\)"),
    ],
)
def test_what_is_no_image_is_refused(shape, x, message):
    with pytest.raises(ValueError, match=message):
        make("conv2d", shape)(torch.zeros(x))


def test_an_mlp_refuses_other_shapes():
    with pytest.raises(ValueError, match="has a weight for every number"):
        make("mlp")(torch.zeros(2, 1, 5, 6))


# -- token sequences ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOKEN_ENCODERS)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), pads=st.integers(1, 40))
def test_extra_pad_columns_change_nothing(name, seed, n, pads):
    encoder = make(name)
    x = sequences(n, stream(seed))
    alone = encoder(x)
    close(encoder(functional.pad(x, (0, pads))), alone)
    # beside a longer sequence, pads are masked and not cut away
    longer = torch.ones(1, LENGTH + pads, dtype=torch.int64)
    close(encoder(torch.cat([functional.pad(x, (0, pads)), longer]))[:n], alone)


@pytest.mark.parametrize("name", TOKEN_ENCODERS)
def test_sequences_of_any_length(name):
    encoder = make(name)
    for length in (0, 1, 2, 300):
        assert encoder(sequences(3, stream("any"), length)).isfinite().all()
    nothing = encoder(torch.zeros(2, 9))
    close(nothing[:1], encoder(torch.zeros(1, 0)))
    assert (nothing[0] - encoder(torch.ones(1, 1))[0]).norm() > 1e-2


@pytest.mark.parametrize("name", TOKEN_ENCODERS)
def test_order_is_seen_and_floats_are_as_good(name):
    encoder = make(name)
    x = torch.tensor([[1, 2, 3, 4, 0], [4, 3, 2, 1, 0]])
    a, b = encoder(x)
    assert (a - b).norm() > 1e-3 * a.norm()
    assert encoder(x.float()).equal(encoder(x))
    assert encoder(x.int()).equal(encoder(x))


@pytest.mark.parametrize("name", TOKEN_ENCODERS)
def test_the_place_of_a_motif_is_seen(name):
    encoder = make(name)
    x = torch.ones(2, 200, dtype=torch.int64)
    x[0, 60:62] = x[1, 130:132] = 5  # far from both ends
    a, b = encoder(x)
    assert (a - b).norm() > 1e-3 * a.norm()


@pytest.mark.parametrize("channels", [7, 8])
def test_a_position_is_told_alike_in_any_length(channels):
    short, long = (positions(torch.zeros(1, t, channels).double()) for t in (9, 300))
    assert long.shape == (300, channels)
    close(long[:9], short)
    assert torch.pdist(long).min() > 1e-2


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 0.37]], r"one is 0.37. Read the sets as tokens, atoms="),
        ([[float("nan")]], r"Tokens are whole numbers, and one is nan"),
        ([[1, -2]], r"A token is -2; tokens are 1 to vocab = 6"),
        ([[7, 1]], r"A token is 7; .* Raise vocab"),
        ([[float("inf")]], r"A token is inf"),
        ([[1, 2, 0], [1, 0, 2]], "Sequence 1 has a pad before a token, at position 1"),
        ([[0, 2, 0]], "Sequence 0 has a pad before a token, at position 0"),
        ([1, 2], r"shape \(\); a token sequence has \(T,\)"),
    ],
)
@pytest.mark.parametrize("name", TOKEN_ENCODERS)
def test_what_are_no_tokens_is_refused(name, x, message):
    with pytest.raises(ValueError, match=message):
        make(name)(torch.tensor(x))


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"vocab": 0}, (7,), "vocab = 0; tokens are 1 to vocab"),
        ({}, (7, 2), r"shape \(7, 2\); a token sequence has shape \(T,\)"),
    ],
)
@pytest.mark.parametrize("name", TOKEN_ENCODERS)
def test_networks_that_can_not_be_made(name, options, shape, message):
    with pytest.raises(ValueError, match=message):
        make(name, shape, **options)


@pytest.mark.parametrize("options", [{"heads": 3}, {"heads": 0}])
def test_heads_that_do_not_fit(options):
    with pytest.raises(ValueError, match="take a multiple of the heads"):
        make("transformer", **options)


@pytest.mark.parametrize("name", TOKEN_ENCODERS)
def test_a_vocabulary_is_needed(name):
    with pytest.raises(ValueError, match=f"'{name}' needs the option 'vocab'"):
        build(POINT_ENCODERS, name, "point encoder", (7,), 8)


def test_pooling_is_over_what_is_there():
    h = torch.tensor([[[1.0], [3.0], [99.0]], [[5.0], [99.0], [99.0]]], dtype=torch.float64)
    there = torch.tensor([[True, True, False], [True, False, False]])
    close(mean_and_deviation(h, there)[:, 0], torch.tensor([2.0, 5.0], dtype=torch.float64))
    deviation = torch.tensor([1 + 1e-6, 1e-6], dtype=torch.float64).sqrt()
    close(mean_and_deviation(h, there)[:, 1], deviation)
