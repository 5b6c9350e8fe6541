"""Encoders of sets of sequences: the five laws, streaming, and sets that are hard on them."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.synthetic import sequence_families
from distembed.encoders import DEFAULT_ENCODERS, ENCODERS
from distembed.encoders.streaming import embed_chunks
from distembed.protocols import PreparedEncoder
from distembed.registry import applicable, build
from distembed.rng import stream
from distembed.testing import check_encoder

CONV = {"name": "composed", "point": {"name": "conv1d", "channels": 8, "depth": 1}, "width": 6}
SMALL = {
    "composed": {k: v for k, v in CONV.items() if k != "name"},
    "joined": {"parts": ["spectrum", CONV]},
    "residual": {"start": "spectrum", "network": CONV},
}
MEMBERS = applicable(ENCODERS, "tokens")
FAMILIES = {"aligned": "pairs", "lengths": "motifs"}
CASES = [(name, kind) for name in MEMBERS for kind in FAMILIES]


def family(kind):
    return getattr(sequence_families, FAMILIES[kind])(24, 30)


def draw(kind):
    laws = family(kind)

    def atoms(m, rng):
        index = torch.randint(len(laws), (1,), generator=rng)
        return laws.draw(index, m, rng)[0]

    return atoms


def make(name, kind, latent=16):
    laws = family(kind)
    facts = {"atom_kind": "tokens", "vocab": 4, "alphabet": "ACGT", "aligned": kind == "aligned"}
    member = {"name": name, **SMALL.get(name, {})}
    return build(ENCODERS, member, "encoder", laws.event_shape, latent, facts=facts)


def prepared(name, kind, dtype=torch.float64):
    encoder = make(name, kind)
    if isinstance(encoder, PreparedEncoder):
        encoder.prepare(family(kind).batch(range(24)))
    return encoder.to(dtype)


def test_every_member_and_the_default_are_tested():
    assert set(MEMBERS) >= {"spectrum", "residual", "joined", "composed"}
    assert DEFAULT_ENCODERS["tokens"]["name"] in MEMBERS


@pytest.mark.parametrize("kind", FAMILIES)
def test_facts_reach_every_part(kind):
    parts = [make("residual", kind).start, make("joined", kind).parts[0]]
    assert [part.features.aligned for part in parts] == [kind == "aligned"] * 2


# the laws of compositions with every network of tokens are in test_composed
@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] != "composed"])
def test_laws(name, kind):
    encoder = make(name, kind)
    assert not check_encoder(encoder, encoder_shape(kind), atoms=draw(kind)).broken


def encoder_shape(kind):
    return family(kind).event_shape


@pytest.mark.parametrize(("kind", "latent"), [("aligned", 1), ("lengths", 3)])
def test_laws_of_narrow_embeddings(kind, latent):
    encoder = make("spectrum", kind, latent)
    assert not check_encoder(encoder, encoder_shape(kind), atoms=draw(kind)).broken


@pytest.mark.parametrize(
    ("name", "kind", "dtype"),
    [(*case, torch.float64) for case in CASES] + [("residual", "lengths", torch.float32)],
)
def test_pieces_of_a_set_are_the_set(name, kind, dtype):
    encoder, whole = prepared(name, kind, dtype), family(kind).batch([3], 60, stream("pieces"))
    bounds = [0, 1, 17, 60]
    pieces = [
        SetBatch(whole.x[i:j], whole.w[i:j], torch.tensor([0, j - i]))
        for i, j in zip(bounds, bounds[1:], strict=False)
    ]
    z = embed_chunks(encoder, lambda: pieces)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    expected = encoder(whole).detach()
    largest = float(expected.abs().max())
    torch.testing.assert_close(z, expected, rtol=0, atol=tolerance * max(1, largest))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_more_pads_change_nothing(name, kind):
    encoder, batch = prepared(name, kind), family(kind).batch(range(4))
    padded = batch.replace(x=torch.nn.functional.pad(batch.x, (0, 9)))
    torch.testing.assert_close(encoder(padded), encoder(batch), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "kind", "before"),
    [
        # a pairwise cover: every encoder with every preparation and with every kind
        (name, [*FAMILIES][(i + k) % 2], ["not prepared", "on spread", "on one atom"][k])
        for i, name in enumerate(MEMBERS)
        for k in range(3)
    ],
)
def test_sets_without_spread_are_finite_and_have_gradients(name, kind, before):
    laws = family(kind)
    many, atom = laws.batch([0]).x, laws.batch([1]).x[:1]
    encoder = make(name, kind)
    if before != "not prepared" and isinstance(encoder, PreparedEncoder):
        encoder.prepare(SetBatch.from_list([many if before == "on spread" else atom] * 8))
    z = encoder(SetBatch.from_list([atom, atom.expand(7, -1), many]))
    assert z.isfinite().all()
    largest = float(z.detach().abs().max())
    torch.testing.assert_close(z[0], z[1], rtol=0, atol=1e-5 * max(largest, 1))
    if any(p.requires_grad for p in encoder.parameters()):
        z.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", MEMBERS)
def test_empty_sequences_are_atoms(name):
    encoder = prepared(name, "lengths")
    x = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0], [2, 0, 0, 0]])
    z = encoder(SetBatch.from_list([x, x[1:2], x[:1]]))
    assert z.isfinite().all()
    assert torch.pdist(z).min() > 1e-3


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_default_starts_at_the_closed_form(kind):
    laws = family(kind)
    facts = {"atom_kind": "tokens", "vocab": 4, "aligned": kind == "aligned"}
    default = DEFAULT_ENCODERS["tokens"]
    encoder = build(ENCODERS, default, "encoder", laws.event_shape, 32, facts=facts)
    batch = laws.batch(range(24))
    encoder.prepare(batch)
    closed = build(ENCODERS, "spectrum", "encoder", laws.event_shape, 28, facts=facts)
    closed.prepare(batch)
    z = encoder(batch)
    torch.testing.assert_close(z[:, :28], closed(batch), rtol=0, atol=0)
    assert not z[:, 28:].any()
    assert encoder.traits.informed == 28
    assert encoder.traits.smooth
