"""Published models as generators: exact probabilities that samples follow, for every model."""

import itertools
import math

import pytest
import torch
from scipy.stats import chi2

import distembed as de
from distembed.batch import SetBatch
from distembed.generators import GENERATORS
from distembed.pretrained import PRETRAINED
from distembed.registry import build
from distembed.rng import stream
from distembed.testing import check_generator
from tiny_models import ALPHABETS, NATIVE, tiny_model

LATENT, LONGEST = 3, 3
NAMES = [name for name in ALPHABETS if name in GENERATORS]
OWN = [name for name in NAMES if name not in NATIVE]
CASES = [("hyenadna", "length"), ("progen2", "stop"), ("progen2", "length")]
CASES += [("causal_lm", "stop"), ("causal_lm", "length")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def make(folder):
    def made(name, symbols=3, length=LONGEST, **options):
        options = {"path": tiny_model(name, folder), **options}
        member = {"name": name, "alphabet": ALPHABETS[name][:symbols], **options}
        generator = build(GENERATORS, member, "generator", (length,), LATENT).double()
        for p in [*generator.prefix.parameters(), *generator.sites.parameters()]:
            torch.nn.init.normal_(p, std=0.5, generator=stream("prefix", p.numel()))
        return generator

    return made


def every_sequence(symbols, longest):
    """All sequences of at most `longest` symbols, `(N, longest)`."""
    rows = [
        [*sequence, *[0] * (longest - length)]
        for length in range(longest + 1)
        for sequence in itertools.product(range(1, symbols + 1), repeat=length)
    ]
    return torch.tensor(rows)


def embeddings(n=2):
    return torch.randn(n, LATENT, generator=stream("z"), dtype=torch.float64)


def log_probs(generator, x, z):
    """Log probabilities of the same sequences under each z, `(B, N)`."""
    batch = SetBatch.from_list([x] * len(z)).to(dtype=torch.float64)
    return generator.log_prob(batch, z).view(len(z), len(x))


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def test_every_causal_model_is_a_generator():
    assert set(NAMES) == set(PRETRAINED) - {"esm2"}


@pytest.mark.parametrize(("name", "end"), CASES)
def test_probabilities_of_all_sequences_sum_to_one(make, name, end):
    p = log_probs(make(name, end=end), every_sequence(3, LONGEST), embeddings()).exp()
    close(p.sum(1), torch.ones(2, dtype=torch.float64))
    assert (p[0] - p[1]).abs().max() > 1e-5


@pytest.mark.parametrize(("name", "end"), CASES)
def test_probabilities_are_those_of_the_model_renormalised(make, name, end):
    generator, z = make(name, end=end, prefix=2), embeddings(1)
    writer = generator.writer
    tokens = [writer.vocabulary.ids[s] for s in ALPHABETS[name][:3]]
    vectors = generator.scale * generator.prefix(z)[0]
    for x in every_sequence(3, LONGEST)[[0, 1, 5, 20, 39]]:
        symbols = [int(t) for t in x if t]
        nats = 0.0
        for t in range(min(len(symbols) + 1, LONGEST)):
            read = [*writer.vocabulary.start, *(tokens[s - 1] for s in symbols[:t])]
            u = torch.cat([vectors, writer.embed(torch.tensor(read, dtype=torch.int64))])
            logits = writer.logits(u[None])[0, -1]
            last = t == len(symbols)
            s = generator.sites(z)[0, t]
            if end == "stop":
                p = (logits[[writer.vocabulary.stop, *tokens]] + s).softmax(0)
                nats += p[0 if last else symbols[t]].log()
            else:
                ends = s.softmax(0)[0]
                nats += ends.log() if last else (1 - ends).log()
                if not last:
                    tilt = (z @ generator.sites.weight).view(LONGEST, -1)[t, 1:]
                    nats += (logits[tokens] + tilt).softmax(0)[symbols[t] - 1].log()
        close(log_probs(generator, x[None], z)[0, 0], torch.as_tensor(nats).double())


@pytest.mark.parametrize(("name", "end"), CASES)
def test_samples_follow_the_probabilities(make, name, end):
    generator, z, n = make(name, end=end, symbols=2), embeddings(), 3000
    every = every_sequence(2, LONGEST)
    p = log_probs(generator, every, z).exp().detach()
    x = generator.sample(z, n, stream("draw"))
    assert x.dtype == torch.int64
    rows = (x[:, :, None] == every).all(3)
    assert bool(rows.any(2).all())
    counts, expected = rows.sum(1).double(), n * p
    # cells of few draws are put together, so that the statistic has its limit
    small = expected < 5
    statistic = 0.0
    for b in range(len(z)):
        cells = torch.cat([expected[b][~small[b]], expected[b][small[b]].sum()[None]])
        seen = torch.cat([counts[b][~small[b]], counts[b][small[b]].sum()[None]])
        cells, seen = cells[cells > 0], seen[cells > 0]
        statistic += float(((seen - cells).square() / cells).sum())
    assert statistic < chi2.isf(1e-6, len(z) * (len(every) - 1))


@pytest.mark.parametrize("name", OWN)
def test_pads_and_pieces_change_nothing(make, name):
    generator, z = make(name, length=5), embeddings()
    x = every_sequence(2, LONGEST)
    whole = log_probs(generator, x, z)
    close(log_probs(generator, torch.nn.functional.pad(x, (0, 4)), z), whole)
    generator.positions_at_once = 30
    close(log_probs(generator, x, z), whole)
    assert generator.sample(z, 7, stream("draw")).shape == (2, 7, 5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("train", ["prefix", "lora", "all"])
def test_what_is_trained(make, name, train):
    generator, z = make(name, train=train, rank=2), embeddings().requires_grad_()
    for p in generator.model.parameters():
        torch.nn.init.normal_(p, std=0.3, generator=stream("move"))
    batch = SetBatch.from_list([every_sequence(3, LONGEST)] * 2).to(dtype=torch.float64)
    generator.loss(batch, z, stream("noise")).sum().backward()
    assert z.grad.any()
    for key, p in generator.named_parameters():
        assert (p.grad is not None and bool(p.grad.any())) is p.requires_grad, key
    trained = {n for n, p in generator.model.named_parameters() if p.requires_grad}
    if train == "all":
        assert trained == {n for n, _ in generator.model.named_parameters()}
    else:
        assert all(n.endswith((".a", ".b")) for n in trained)
        assert bool(trained) is (train == "lora")
    generator.train()
    assert not generator.model.training


@pytest.mark.parametrize("name", OWN)
def test_laws_of_generators(folder, name):
    member = {"name": name, "path": tiny_model(name, folder), "alphabet": ALPHABETS[name][:4]}
    generator = build(GENERATORS, {**member, "train": "lora"}, "generator", (4,), LATENT)

    def draw(m, rng):
        x = torch.randint(1, 5, (m, 4), generator=rng)
        return x * (torch.arange(4) < torch.randint(0, 5, (m, 1), generator=rng))

    check_generator(generator, (4,), LATENT, atoms=draw)


def two_kinds(rng, length=6):
    """Twenty sets of 60 sequences: short ones of symbol 1, or long ones of symbol 2, mostly."""
    x = []
    for low, symbol in ((1, 1), (4, 2)) * 10:
        tokens = torch.randint(1, 5, (60, length), generator=rng)
        tokens = torch.where(torch.rand(60, length, generator=rng) < 0.6, symbol, tokens)
        lengths = torch.randint(low, low + 3, (60, 1), generator=rng)
        x.append(tokens * (torch.arange(length) < lengths))
    z = torch.zeros(20, LATENT)
    z[1::2, 0] = 1
    return SetBatch.from_list(x).to(dtype=torch.float32), z


@pytest.mark.parametrize("name", OWN)
def test_frequencies_of_a_set_are_solved_before_training(make, name):
    generator = make(name, symbols=4, length=6)
    for p in generator.prefix.parameters():
        torch.nn.init.zeros_(p)  # what is left of z is the regression
    batch, z = two_kinds(stream("kinds"))
    generator.prepare(batch, z)
    assert bool(generator.sites.bias.any()) is not generator.stops
    one, two = log_probs(generator, torch.tensor([[1], [2]]), z[:2].double()).detach()
    change = float((one[0] - one[1]) - (two[0] - two[1]))
    # 0.7 against 0.1, of 60 atoms smoothed by 8 of all sets, where they are 0.4; a logarithm of
    # 600 draws has a standard error of at most 0.13, and there are four of them
    expected = 2 * math.log((60 * 0.7 + 8 * 0.4) / (60 * 0.1 + 8 * 0.4))
    assert change == pytest.approx(expected, abs=5 * 2 * 0.13)


def test_lengths_are_solved_before_training(make):
    generator = make("hyenadna", symbols=4, length=6).float()
    batch, z = two_kinds(stream("kinds"))
    generator.prepare(batch, z)
    lengths = (generator.sample(z[:2], 2000, stream("draw")) > 0).sum(2).double()
    # lengths are uniform on three values, of deviation 0.82; the frequencies of 60 are smoothed
    # by those of both kinds of sets with the weight of 8, which moves a mean by 3 * 8 / 68
    assert lengths[0].mean() == pytest.approx(2, abs=0.36 + 5 * 0.82 / math.sqrt(2000))
    assert lengths[1].mean() == pytest.approx(5, abs=0.36 + 5 * 0.82 / math.sqrt(2000))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hyenadna", {"end": "stop"}, "hyenadna has no token that ends a sequence"),
        ("hyenadna", {"end": "eos"}, "end is 'eos'; it is 'stop', 'length' or 'auto'"),
        ("hyenadna", {"length": 28}, "need 35 positions, and hyenadna has 34"),
        ("hyenadna", {"prefix": 33}, "need 35 positions, and hyenadna has 34"),
        ("progen2", {"length": 33}, "A prefix of 8 vectors and sequences of 33 symbols need 41"),
        ("hyenadna", {"prefix": 0}, "a soft prefix has at least one vector"),
        ("progen2", {"train": "frozen"}, "train is 'frozen'; it is 'prefix'"),
        ("progen2", {"temperature": 0.0}, "temperature = 0.0"),
    ],
    ids=str,
)
def test_options_that_can_not_be(make, name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


def test_limits_are_reached_and_not_passed(make):
    generator = make("hyenadna", length=27)  # 8 vectors, and 26 of 27 symbols, of 34 positions
    z = embeddings(1)
    assert log_probs(generator, torch.ones(1, 27, dtype=torch.int64), z).isfinite()
    with pytest.raises(ValueError, match="up to longest = 27"):
        log_probs(generator, torch.ones(1, 28, dtype=torch.int64), z)


def test_a_model_from_sets_to_sequences(folder, tmp_path, caplog):
    strings = [["ACGT", "AC", "AAAA"] * 4, ["GGT", "TTGT", "GT"] * 4] * 8
    sets = de.read(strings, atoms={"name": "tokens", "alphabet": "ACGT"})
    path = tiny_model("hyenadna", folder)
    model = de.GDE(
        encoder={"name": "composed", "point": {"name": "hyenadna", "path": path, "at_once": 1}},
        generator={"name": "hyenadna", "path": path, "train": "lora", "rank": 2},
        latent=3,
    )
    # embeddings by random weights hardly differ: a step of the usual rate forgets the start
    fast = {"steps": 4, "batch": 4, "context": (3, 6), "target": 6, "metric_steps": 0, "lr": 1e-6}
    model.fit(sets, progress=False, **fast)
    again = de.load(model.save(tmp_path / "model"))
    table = again.embed(sets, covariance=False)
    drawn = again.sample(table, 200, as_data=True)
    assert {len(s) for part in drawn for s in part} <= set(range(5))
    assert set("".join(drawn[0])) <= set("ACGT")
    counts = [sum(s.count("A") for s in part) for part in drawn[:2]]
    assert counts[0] > counts[1]
