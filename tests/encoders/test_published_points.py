"""Features of published models: means of states, each computed once while weights are fixed."""

import copy

import pytest
import torch

from distembed.encoders import ENCODERS
from distembed.encoders.points import POINT_ENCODERS
from distembed.pretrained import PRETRAINED
from distembed.registry import build
from distembed.rng import stream
from distembed.testing import check_encoder
from tiny_models import ALPHABETS, NATIVE, tiny_model

LENGTH, WIDTH, LATENT = 7, 5, 8
OWN = [name for name in ALPHABETS if name not in NATIVE]


def sequences(n, rng, vocab=4, length=LENGTH):
    """Sequences of every length from none to all, pads at the end."""
    tokens = torch.randint(1, vocab + 1, (n, length), generator=rng)
    lengths = torch.randint(0, length + 1, (n, 1), generator=rng)
    return tokens * (torch.arange(length) < lengths)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def make(folder):
    def made(name, length=LENGTH, **options):
        options = {"path": tiny_model(name, folder), "alphabet": ALPHABETS[name], **options}
        member = {"name": name, **options}
        return build(POINT_ENCODERS, member, "point encoder", (length,), WIDTH).double()

    return made


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def test_every_published_model_is_a_point_encoder():
    assert set(ALPHABETS) == set(PRETRAINED) == set(POINT_ENCODERS) & set(PRETRAINED)


@pytest.mark.parametrize("train", ["frozen", "all"])
@pytest.mark.parametrize("name", ALPHABETS)
def test_features_are_means_of_states_over_symbols(make, name, train):
    encoder = make(name, train=train)
    x = sequences(30, stream("sequences"))
    ids = [encoder.reader.vocabulary.ids[s] for s in ALPHABETS[name]]
    start, stop = (encoder.reader.vocabulary.start, encoder.reader.vocabulary.stop)
    means = torch.zeros(len(x), encoder.reader.width, dtype=torch.float64)
    for row, tokens in enumerate(x.tolist()):
        symbols = [ids[t - 1] for t in tokens if t]
        if symbols:
            read = [*start, *symbols, *([stop] if name == "esm2" else [])]
            one = torch.tensor([read])
            states = encoder.reader.states(one, torch.ones_like(one, dtype=torch.bool))[0]
            means[row] = states[len(start) : len(start) + len(symbols)].mean(0)
    close(encoder(x), encoder.outputs(means))
    assert means[x[:, 0] > 0].std(0).min() > 1e-3
    padded = torch.nn.functional.pad(x, (0, 3))
    close(encoder(padded), encoder(x))


@pytest.mark.parametrize("name", ALPHABETS)
def test_what_is_trained(make, name):
    x = sequences(12, stream("gradient"))
    for train in ("frozen", "lora", "all"):
        encoder = make(name, train=train, rank=2)
        for p in encoder.parameters():
            torch.nn.init.normal_(p, std=0.3, generator=stream("move"))
        encoder(x).square().sum().backward()
        trained = [n for n, p in encoder.named_parameters() if p.requires_grad]
        outputs = {"outputs.weight", "outputs.bias"}
        if train == "frozen":
            assert set(trained) == outputs
        if train == "lora":
            corrections = set(trained) - outputs
            assert corrections
            assert all(n.endswith((".a", ".b")) for n in corrections)
        if train == "all":
            assert all(p.requires_grad for p in encoder.parameters())
        for key, p in encoder.named_parameters():
            assert (p.grad is not None and bool(p.grad.any())) is p.requires_grad, (train, key)


def test_a_copy_reads_its_sequences_again(make):
    """Weights of a copy count their changes from zero, as those did that the features are of."""
    encoder, x = make("hyenadna"), sequences(5, stream("copied cache"))
    before = encoder(x)
    with torch.no_grad():
        for p in encoder.model.parameters():
            p.neg_()
    replica = copy.deepcopy(encoder)
    assert (encoder(x) - before).abs().max() > 1e-6
    close(replica(x), encoder(x), 0)


@pytest.mark.parametrize("name", OWN)
def test_each_sequence_is_read_once_until_weights_change(make, name, monkeypatch):
    encoder = make(name)
    rows = []
    states = encoder.model.states
    monkeypatch.setattr(
        encoder.model, "states", lambda ids, mask: rows.append(len(ids)) or states(ids, mask)
    )
    x = sequences(40, stream("cache"))
    distinct = {tuple(t for t in row if t) for row in x.tolist()} - {()}
    first = encoder(torch.cat([x, x]))
    assert sum(rows) == len(distinct)
    close(encoder(x), first[:40], 0)
    assert sum(rows) == len(distinct)
    with torch.no_grad():
        next(encoder.model.parameters()).neg_()
    assert (encoder(x) - first[:40]).abs().max() > 1e-6
    assert sum(rows) == 2 * len(distinct)
    encoder.float()
    assert encoder(x).dtype == torch.float32
    encoder.numbers_kept = 0
    encoder.double()(x)
    assert not encoder._means


@pytest.mark.parametrize("name", OWN)
def test_sequences_are_read_in_groups(make, name):
    encoder, other, alone = make(name), make(name, at_once=10), make(name, at_once=1)
    x = sequences(40, stream("groups"))
    for one in (other, alone):
        one.load_state_dict(encoder.state_dict())
        close(one(x), encoder(x))
    # beside others or not, what is read alone is the same to the bit
    again = make(name, at_once=1)
    again.load_state_dict(encoder.state_dict())
    again(x[7:9])
    kept = [again._means[key] for key in again._means]
    alone_kept = [alone._means[key] for key in again._means]
    assert all(map(torch.equal, kept, alone_kept))


@pytest.mark.parametrize(("name", "train"), [("hyenadna", "frozen"), ("progen2", "lora")])
def test_laws_of_a_set_encoder_on_published_features(folder, name, train):
    point = {"name": name, "path": tiny_model(name, folder), "train": train, "rank": 2}
    member = {"name": "composed", "point": point, "width": WIDTH, "alphabet": ALPHABETS[name]}
    sets = {"name": "deepsets", "width": 8, "depth": 1}
    encoder = build(ENCODERS, {**member, "sets": sets}, "encoder", (LENGTH,), LATENT)
    report = check_encoder(encoder, (LENGTH,), atoms=sequences)
    assert not report.broken


@pytest.mark.parametrize("name", ALPHABETS)
def test_the_published_model_is_never_in_training_mode(make, name):
    encoder = make(name, train="all")
    for mode in (True, False):
        encoder.train(mode)
        assert encoder.training is mode
        assert not encoder.model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": None}, "There is neither"),
        ({"config": {}}, "There is both"),
        ({"train": "some"}, "train is 'some'; it is 'frozen'"),
        ({"train": "lora", "rank": 0}, "rank = 0; a correction has at least rank 1"),
        ({"alphabet": "AC?"}, r"has '\?', for which hyenadna has no token"),
        ({"length": 35}, "need 35 positions, and hyenadna has 34"),
        ({"path": None, "config": {"d_model": 8}}, "vocab_size = None; expected a whole number"),
    ],
    ids=str,
)
def test_options_that_can_not_be(make, options, message):
    with pytest.raises(ValueError, match=message):
        make("hyenadna", **options)


def test_random_weights_are_trained(make):
    sizes = {"d_model": 8, "n_layer": 1, "vocab_size": 12, "max_seq_len": 32}
    with pytest.raises(ValueError, match="the model has random weights"):
        make("hyenadna", path=None, config=sizes)
    assert make("hyenadna", path=None, config=sizes, train="all").reader.source is None


def test_a_sequence_beyond_the_limit_is_refused(make):
    with pytest.raises(ValueError, match="need 41 positions, and progen2 has 40"):
        make("progen2")(torch.ones(1, 40, dtype=torch.int64))


def test_no_group_holds_more_tokens_than_asked_for(make, monkeypatch):
    encoder = make("hyenadna", at_once=40)
    read = []
    group = encoder._group
    monkeypatch.setattr(
        encoder, "_group", lambda ids, n: read.append(len(n) * int(n.max())) or group(ids, n)
    )
    x = torch.ones(30, 12, dtype=torch.int64)
    x[:3, 1:] = 0  # short ones beside long ones
    x[3] = 0
    encoder.frozen = False
    encoder(x)
    assert max(read) <= 40
