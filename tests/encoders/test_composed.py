"""Every point encoder with every set encoder: the laws, the passes, and a model around them."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

import distembed as de
from distembed.batch import SetBatch
from distembed.encoders import ENCODERS
from distembed.encoders.points import POINT_ENCODERS
from distembed.encoders.streaming import embed_chunks
from distembed.nn.precision import reduced_to
from distembed.pretrained import PRETRAINED
from distembed.protocols import PreparedEncoder
from distembed.registry import applicable, build
from distembed.rng import stream
from distembed.testing import LawError, check_encoder

VOCAB, LATENT, WIDTH = 6, 8, 6
REFUSED = ("closed_form", "composed", "joined", "residual")
NETWORK = {"width": 8, "depth": 1}
SMALL = dict.fromkeys(["deepsets", "gnn", "resnet_gnn", "median_gnn"], NETWORK) | {
    "attention": NETWORK | {"heads": 2},
    "induced": NETWORK | {"heads": 2, "points": 3},
}
SETS = {
    name: SMALL.get(name, {}) for name in applicable(ENCODERS, "vectors") if name not in REFUSED
}
# three wide: convolutions of oneDNN 3.12 in bfloat16 with stride 2 return noise at a width of two
IMAGE, LENGTH = (1, 9, 3), 5
EVENTS = {"mlp": IMAGE, "conv2d": IMAGE, "conv1d": (LENGTH,), "transformer": (LENGTH,)}
POINTS = {
    "mlp": {"hidden": 8, "depth": 1},
    "conv2d": {"channels": 8, "depth": 1},
    "conv1d": {"vocab": VOCAB, "channels": 8, "depth": 1},
    "transformer": {"vocab": VOCAB, "channels": 8, "depth": 1, "heads": 2},
}
CUTS = [(0, 2), (2, 8), (8, 9)]
FAST = {"steps": 2, "batch": 4, "context": (3, 6), "target": 3, "progress": False}


def make(point, sets, **options):
    member = {"name": "composed", "width": WIDTH, "point": {"name": point, **POINTS[point]}}
    member |= {"sets": {"name": sets, **SETS[sets]}, **options}
    return build(ENCODERS, member, "encoder", EVENTS[point], LATENT)


def images(m, rng):
    """Images around a picture of their set."""
    picture = torch.randn(IMAGE, generator=rng, dtype=torch.float64)
    return picture + 0.5 * torch.randn(m, *IMAGE, generator=rng, dtype=torch.float64)


def sequences(m, rng):
    """Sequences in which each set has a favourite token, pads at the end."""
    tokens = torch.randint(1, VOCAB + 1, (m, LENGTH), generator=rng)
    favourite = torch.randint(1, VOCAB + 1, (1,), generator=rng)
    tokens = torch.where(torch.rand(m, LENGTH, generator=rng) < 0.4, favourite, tokens)
    lengths = torch.randint(0, LENGTH + 1, (m, 1), generator=rng)
    return tokens * (torch.arange(LENGTH) < lengths)


def draw(point):
    return images if len(EVENTS[point]) > 1 else sequences


def batch_for(point, sizes=(1, 4, 9), dtype=torch.float64):
    rng = stream("sets", point)
    return SetBatch.from_list([draw(point)(m, rng) for m in sizes]).to(dtype=dtype)


def test_every_member_is_tested():
    assert set(SMALL) <= set(SETS)
    assert set(POINTS) == set(EVENTS) == set(POINT_ENCODERS) - set(PRETRAINED)


# half of all pairs: each encoder of atoms with every other one of sets, and the other way round
@pytest.mark.parametrize(
    ("point", "sets"),
    [(p, s) for i, p in enumerate(POINTS) for k, s in enumerate(SETS) if (i + k) % 2 == 0],
)
def test_laws_of_compositions(point, sets):
    report = check_encoder(make(point, sets), EVENTS[point], atoms=draw(point))
    assert not report.broken


def test_a_statistic_across_atoms_breaks_the_laws():
    encoder = make("mlp", "deepsets")
    encoder.point = nn.Sequential(nn.Flatten(), nn.Linear(27, WIDTH), nn.BatchNorm1d(WIDTH))
    with pytest.raises(LawError, match="independence"):
        check_encoder(encoder, IMAGE, atoms=images)


@pytest.mark.parametrize("sets", SETS)
def test_what_is_said_of_the_set_encoder_is_true_of_the_composition(sets):
    encoder = make("conv2d", sets).double()
    batch = batch_for("conv2d")
    alone = copy.deepcopy(encoder.sets)
    encoder.prepare(batch)
    with torch.no_grad():
        if isinstance(alone, PreparedEncoder):
            alone.prepare(encoder.features(batch))
    for one, other in zip(alone.buffers(), encoder.sets.buffers(), strict=True):
        assert one.equal(other)
    assert encoder.traits == replace(encoder.sets.traits, informed=0)
    features = encoder.features(batch)
    assert features.event_shape == (WIDTH,)
    assert features.w is batch.w
    assert encoder(batch).equal(encoder.sets(features))


@pytest.mark.parametrize("point", POINTS)
def test_prepared_features_are_centred_at_scale_one(point):
    encoder, batch = make(point, "deepsets").double(), batch_for(point)
    for _ in range(2):  # a second time changes nothing
        encoder.prepare(batch)
        x = encoder.features(batch).x.detach()
        mean, second = batch.mean(x).mean(0), batch.mean(x.square()).mean()
        torch.testing.assert_close(mean, torch.zeros(WIDTH).double(), rtol=0, atol=1e-10)
        assert float(second) == pytest.approx(1)


def test_features_of_copies_of_one_atom_keep_their_scale():
    encoder, atom = make("conv2d", "deepsets"), torch.rand(1, *IMAGE)
    encoder.prepare(SetBatch.from_list([atom.expand(7, *IMAGE)] * 4))
    assert float(encoder.scale) == 1
    assert encoder(SetBatch.from_list([atom, torch.rand(5, *IMAGE)])).isfinite().all()


@pytest.mark.parametrize("sets", SETS)
def test_a_set_is_read_in_chunks_where_the_set_encoder_can(sets):
    encoder, batch = make("conv2d", sets).double(), batch_for("conv2d", [9])
    chunks = [SetBatch(batch.x[i:j], batch.w[i:j], torch.tensor([0, j - i])) for i, j in CUTS]
    if encoder.traits.passes is None:
        with pytest.raises(ValueError, match="cannot stream"):
            embed_chunks(encoder, lambda: chunks)
        return
    z = embed_chunks(encoder, lambda: chunks)
    torch.testing.assert_close(z, encoder(batch), rtol=0, atol=1e-10)


def test_pieces_of_atoms_are_the_whole(monkeypatch):
    encoder, batch = make("conv2d", "deepsets").double(), batch_for("conv2d")
    whole = encoder(batch)
    encoder.numbers_at_once = 40  # two images
    torch.testing.assert_close(encoder(batch), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("point", ["conv1d", "transformer"])
def test_pad_columns_and_floats_change_nothing(point):
    encoder, batch = make(point, "deepsets").double(), batch_for(point)
    z = encoder(batch)
    padded = functional.pad(batch.x, (0, 5))
    for x in (padded, padded.double(), padded.float()):
        torch.testing.assert_close(encoder(batch.replace(x=x)), z, rtol=0, atol=1e-10)


def test_images_of_another_size_are_embedded_too():
    encoder = make("conv2d", "deepsets")
    encoder.prepare(batch_for("conv2d", [9] * 6, torch.float32))
    larger = SetBatch.from_list([torch.rand(3, 1, 13, 20), torch.rand(1, 1, 13, 20)])
    assert encoder(larger).isfinite().all()


@pytest.mark.parametrize("point", POINTS)
def test_preparing_keeps_no_gradients(point):
    encoder = make(point, "deepsets")
    encoder.prepare(batch_for(point, [9] * 6, torch.float32))
    assert not any(b.requires_grad for b in encoder.buffers())
    assert all(p.grad is None for p in encoder.parameters())


@pytest.mark.parametrize("point", POINTS)
def test_reduced_precision_is_for_the_layers_only(point):
    encoder, batch = make(point, "deepsets"), batch_for(point, (4, 9), torch.float32)
    z = encoder(batch)
    with reduced_to(torch.bfloat16):
        coarse = encoder(batch)
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - z).abs().max() < 0.1 * z.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": "composed"}, "features of features"),
        ({"sets": "closed_form"}, "W2 of features that training moves. Correct it"),
        ({"sets": {"name": "joined"}}, "belongs outside"),
        ({"sets": "residual"}, "belongs outside"),
        ({"sets": "bags"}, "no encoder 'bags'"),
        ({"point": "resnet"}, "no point encoder 'resnet'; there are: causal_lm, conv1d, conv2d"),
        ({"point": "conv1d"}, "point encoder 'conv1d' needs the option 'vocab'"),
        (
            {"point": {"name": "mlp", "channels": 3}},
            "encoder 'mlp' has no option 'channels'",
        ),
        ({"sets": {"name": "deepsets", "pooling": "sum"}}, "sum pooling is refused"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(ENCODERS, {"name": "composed", **options}, "encoder", (7,), LATENT)


def model(point, **settings):
    encoder = {"name": "composed", "width": WIDTH, "point": {"name": point, **POINTS[point]}}
    encoder["sets"] = {"name": "deepsets", **NETWORK}
    return de.GDE(encoder, {"name": "flow", **NETWORK}, latent=4, **settings)


def test_a_model_of_images_is_fitted_saved_and_loaded(tmp_path):
    rng = stream("model", "conv2d")
    sets = [draw("conv2d")(12, rng).float().numpy() for _ in range(16)]
    fitted = model("conv2d").fit(sets, **FAST)
    fitted.save(tmp_path / "model")
    again = de.load(tmp_path / "model")
    z = fitted.embed(sets).z
    assert z.shape == (16, 4)
    assert z.std(0).min() > 0
    assert (again.embed(sets).z == z).all()


def test_a_network_of_tokens_is_refused_for_numbers():
    sets = [sequences(12, stream("std", b)).float().numpy() for b in range(8)]
    with pytest.raises(ValueError, match="'conv1d' is not defined for vectors; it is for tokens"):
        model("conv1d").fit(sets, **FAST)
