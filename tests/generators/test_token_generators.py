"""Generators of sequences: exact probabilities, what pads do, and that samples follow them."""

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from scipy.stats import chi2

from distembed.batch import SetBatch
from distembed.generators import GENERATORS
from distembed.generators.tokens.components import MixtureStart, Places, find_components
from distembed.generators.tokens.decoding import Sampling, draw_sequences, draw_tokens
from distembed.generators.tokens.sites import Sites, next_tokens
from distembed.generators.tokens.transitions import Transitions
from distembed.protocols import Density
from distembed.registry import build
from distembed.rng import stream

LATENT, VOCAB, LONGEST = 3, 2, 3
NAMES = ("autoregressive", "masked", "profile")
DENSITIES = [
    ("autoregressive", {"condition": "both"}),
    ("autoregressive", {"condition": "prefix"}),
    ("autoregressive", {"condition": "modulation"}),
    ("profile", {"components": 1}),
    ("profile", {"components": 3}),
]
SMALL = {"width": 16, "heads": 2}


def make(name, shape=(LONGEST,), vocab=VOCAB, scale=0.5, **options):
    """A generator in float64 with random weights."""
    small = {} if name == "profile" else SMALL
    options = {"name": name, "vocab": vocab, **small, **options}
    generator = build(GENERATORS, options, "generator", shape, LATENT).double()
    rng = stream("weights")
    with torch.no_grad():
        for p in generator.parameters():
            p.add_(scale * torch.randn(p.shape, generator=rng))
    return generator


def every_sequence(vocab=VOCAB, longest=LONGEST):
    """All sequences of at most `longest` tokens."""
    rows = [
        s for n in range(longest + 1) for s in itertools.product(range(1, vocab + 1), repeat=n)
    ]
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def embeddings(b):
    return torch.randn(b, LATENT, generator=stream("z"), dtype=torch.float64)


def batch_of(*sets, weights=None):
    return SetBatch.from_list([torch.as_tensor(s) for s in sets], weights).to(dtype=torch.float64)


def random_sequences(m, longest=LONGEST, key="x"):
    rng = stream(key)
    x = torch.randint(1, VOCAB + 1, (m, longest), generator=rng)
    length = torch.randint(0, longest + 1, (m, 1), generator=rng)
    return torch.where(torch.arange(longest) < length, x, 0)


@pytest.mark.parametrize(("name", "options"), DENSITIES, ids=str)
def test_probabilities_of_all_sequences_sum_to_one(name, options):
    x, z = every_sequence(), embeddings(2)
    log_p = make(name, **options).log_prob(batch_of(x, x), z).view(2, -1)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(2).double(), atol=1e-12, rtol=0)
    assert (log_p[0] - log_p[1]).abs().max() > 0.1


@pytest.mark.parametrize(("name", "options"), DENSITIES, ids=str)
def test_the_loss_is_the_weighted_negative_log_probability(name, options):
    generator, x = make(name, **options), random_sequences(5)
    w = [0.5, 0.2, 0.1, 0.1, 0.1]
    batch, z = batch_of(x, weights=[w]), embeddings(1)
    expected = -(torch.tensor(w).double() * generator.log_prob(batch, z)).sum()
    loss = generator.loss(batch, z, stream("noise"))
    torch.testing.assert_close(loss, expected[None], atol=1e-6, rtol=0)
    assert generator.traits.unit == "nats a sequence"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pads", [1, 7])
def test_extra_pads_change_nothing(name, pads):
    generator, x, z = make(name), random_sequences(6), embeddings(2)
    padded = torch.nn.functional.pad(x, (0, pads))
    one, two = (batch_of(v[:2], v[2:]) for v in (x, padded))
    losses = [generator.loss(b, z, stream("noise")) for b in (one, two)]
    assert torch.equal(*losses)
    if isinstance(generator, Density):
        assert torch.equal(generator.log_prob(one, z), generator.log_prob(two, z))
        short = x[x.sum(1) > 0][:, :2] * torch.tensor([1, 0])
        torch.testing.assert_close(
            generator.log_prob(batch_of(short[:, :1]), z[:1]),
            generator.log_prob(batch_of(short), z[:1]),
            atol=1e-12,
            rtol=0,
        )
    generator.prepare(one, z)
    prepared = [v.clone() for v in generator.state_dict().values()]
    generator.prepare(two, z)
    assert all(map(torch.equal, prepared, generator.state_dict().values()))


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4), cut=st.integers(1, 4))
@settings(max_examples=20)
def test_scores_do_not_depend_on_pieces_or_neighbours(lengths, cut):
    x = torch.zeros(len(lengths), 5, dtype=torch.int64)
    for row, n in zip(x, lengths, strict=True):
        row[:n] = torch.arange(n) % VOCAB + 1
    generator = make("autoregressive", (5,))
    z = embeddings(1)
    together = generator.log_prob(batch_of(x), z)
    alone = torch.cat([generator.log_prob(batch_of(row[None]), z) for row in x])
    torch.testing.assert_close(together, alone, atol=1e-11, rtol=0)
    object.__setattr__(generator.network.settings, "positions", cut)
    torch.testing.assert_close(generator.log_prob(batch_of(x), z), alone, atol=1e-11, rtol=0)


def chi_square(counts, p):
    """The statistic of Pearson, with cells of small expectation pooled, and its 1e-6 quantile."""
    expected = counts.sum() * p
    small = expected < 5
    cells = torch.cat([counts[~small], counts[small].sum()[None]])
    means = torch.cat([expected[~small], expected[small].sum()[None]])
    kept = means > 0
    statistic = ((cells - means).square()[kept] / means[kept]).sum()
    return float(statistic), chi2.isf(1e-6, int(kept.sum()) - 1)


@pytest.mark.parametrize(("name", "options"), DENSITIES, ids=str)
def test_samples_follow_the_log_probability(name, options):
    generator, x, z = make(name, **options), every_sequence(), embeddings(2)
    log_p = generator.log_prob(batch_of(x, x), z).view(2, -1)
    drawn = generator.sample(z, 4000, stream("draw"))
    base = (VOCAB + 1) ** torch.arange(LONGEST)
    key, drawn_key = (x * base).sum(1), (drawn * base).sum(2)
    counts = (drawn_key[:, :, None] == key).sum(1).double()
    assert counts.sum() == 8000, "a draw is no sequence"
    for b in range(2):
        statistic, bound = chi_square(counts[b], log_p[b].exp().detach())
        assert statistic < bound
        _, other = chi_square(counts[b], log_p[1 - b].exp().detach())
    assert chi_square(counts[0], log_p[1].exp().detach())[0] > other


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_tokens_with_pads_at_the_end_alone(name):
    generator = make(name, (7,), vocab=4)
    x = generator.sample(embeddings(3), 50, stream("draw"))
    assert x.shape == (3, 50, 7)
    assert x.dtype == torch.int64
    assert x.min() >= 0
    assert set(range(1, 5)) <= set(x.unique().tolist()) <= set(range(5))
    assert not ((x[..., 1:] > 0) & (x[..., :-1] == 0)).any()
    lengths = (x > 0).sum(2)
    assert len(lengths.unique()) > 2


def test_the_draws_of_a_language_model_do_not_depend_on_the_other_sets():
    """Sets are drawn in turn from one generator: the first ones are those of fewer sets."""
    generator, z = make("autoregressive", (5,), vocab=4), embeddings(4)
    settings_of = generator.network.settings
    object.__setattr__(settings_of, "positions", 30)  # one set at a time
    all_sets = generator.sample(z, 6, stream("draw"))
    assert torch.equal(generator.sample(z[:2], 6, stream("draw")), all_sets[:2])


# -- decoding -----------------------------------------------------------------------------------


def test_cached_decoding_draws_what_the_full_pass_draws():
    generator, z = make("autoregressive", (6,), vocab=4), embeddings(3)
    n, longest = 5, 6
    x = generator.sample(z, n, stream("draw"))
    owner = torch.arange(3).repeat_interleave(n)
    conditions, sites = generator.network.conditions(z).rows(owner), generator.sites(z)[owner]
    ids = torch.zeros(3 * n, 1, dtype=torch.int64)

    def logits(t):
        after = generator.transitions(z)[owner, ids[:, -1]]
        return generator.network(ids, conditions)[:, -1] + sites[:, t] + after

    def advance(token, t):
        nonlocal ids
        ids = torch.cat([ids, token[:, None]], 1)
        return logits(t + 1)

    full = draw_sequences(logits(0), advance, longest, Sampling(), stream("draw"))
    assert torch.equal(full.view(3, n, longest), x)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.5, 0.3, 0.2, 0.0]),
        (Sampling(temperature=0.5), [25 / 38, 9 / 38, 4 / 38, 0.0]),
        (Sampling(top_k=1), [1.0, 0.0, 0.0, 0.0]),
        (Sampling(top_k=2), [5 / 8, 3 / 8, 0.0, 0.0]),
        (Sampling(top_k=9), [0.5, 0.3, 0.2, 0.0]),
        (Sampling(top_p=0.5), [1.0, 0.0, 0.0, 0.0]),
        (Sampling(top_p=0.6), [5 / 8, 3 / 8, 0.0, 0.0]),
        (Sampling(top_k=2, top_p=0.62), [1.0, 0.0, 0.0, 0.0]),
    ],
    ids=str,
)
def test_probabilities_of_a_draw(sampling, expected):
    logits = torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64).log()
    order = [2, 0, 3, 1]
    p = sampling.probabilities(logits[order][None])[0]
    torch.testing.assert_close(
        p, torch.tensor(expected, dtype=torch.float64)[order], atol=1e-12, rtol=0
    )


def test_equal_probabilities_do_not_widen_a_choice():
    p = Sampling(top_k=2).probabilities(torch.zeros(1, 5))
    assert (p > 0).sum() == 2


def test_a_draw_is_never_of_probability_zero():
    p = torch.tensor([0.0, 0.3, 0.0, 0.7, 0.0])
    x = draw_tokens(p.expand(20_000, 5), stream("draw"))
    assert set(x.tolist()) == {1, 3}
    # the standard deviation of the share is sqrt(0.21 / 20000) = 0.0032
    assert (x == 1).double().mean() == pytest.approx(0.3, abs=5 * 0.0032)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0; it divides the logits"),
        ({"top_k": 0}, "at least one token may be drawn"),
        ({"top_p": 0.0}, "a share of the probability"),
        ({"top_p": 1.5}, "a share of the probability"),
        ({"condition": "film"}, "no condition 'film' .*prefix, modulation, both"),
        ({"prefix": 0}, "at least one vector"),
        ({"heads": 3}, "even multiple of its heads"),
        ({"longest": 0}, "longest = 0"),
    ],
    ids=str,
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make("autoregressive", **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("profile", {"components": 0}, "at least one profile"),
        ("masked", {"calls": 0}, "at least one group"),
    ],
)
def test_numbers_of_parts_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_sequences_that_do_not_fit_are_refused(name):
    generator, z = make(name), embeddings(1)
    long = torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match="has 4 tokens.* longest = 3.*'longest': 4"):
        generator.loss(batch_of(long), z, stream("noise"))
    with pytest.raises(ValueError, match="A token is 3"):
        generator.loss(batch_of(torch.tensor([[3]])), z, stream("noise"))
    with pytest.raises(ValueError, match="pad before a token"):
        generator.loss(batch_of(torch.tensor([[0, 1]])), z, stream("noise"))
    longer = make(name, longest=4)
    assert longer.loss(batch_of(long), z, stream("noise")).isfinite().all()
    assert longer.sample(z, 2, stream("draw")).shape == (1, 2, 4)


def test_few_tokens_may_be_drawn():
    """With top_k = 1 all draws of a set are its most probable sequence."""
    x = make("autoregressive", (6,), vocab=4, top_k=1).sample(embeddings(2), 9, stream("draw"))
    assert (x == x[:, :1]).all()
    warm = make("autoregressive", (6,), vocab=4).sample(embeddings(2), 9, stream("draw"))
    assert (warm != warm[:, :1]).any()


# -- masked diffusion ---------------------------------------------------------------------------


def test_the_bound_is_the_mean_over_orders_and_lies_below():
    """The mean of the loss over its noise is the sum over all subsets that may be hidden."""
    generator, z = make("masked"), embeddings(1)
    x = torch.tensor([[2, 1, 2]])
    draws = 4000
    batch = batch_of(*[x] * draws)
    losses = generator.loss(batch, z.expand(draws, -1), stream("noise")).detach()
    sites, conditions = generator.sites(z), generator.network.conditions(z)
    expected = 0.0
    for size in (1, 2, 3):
        subsets = list(itertools.combinations(range(3), size))
        for subset in subsets:
            hidden = torch.zeros(1, 3, dtype=torch.bool)
            hidden[0, list(subset)] = True
            p = generator._predict(x, hidden, conditions, sites[:, :, 1:]).log_softmax(-1)
            nats = sum(p[0, i, x[0, i] - 1] for i in subset)
            expected -= 3 / size * nats / (3 * len(subsets))
    log_p = sites.log_softmax(-1)
    expected -= log_p[0, :, 1:].logsumexp(-1).sum()  # the length is 3: no end before
    error = losses.std() / draws**0.5
    assert (losses.mean() - expected.detach()).abs() < 5 * error


def test_a_symbol_that_is_hidden_is_not_seen():
    generator, z = make("masked", (5,)), embeddings(1)
    x = torch.tensor([[1, 2, 1, 2, 1]])
    hidden = torch.tensor([[0, 1, 0, 0, 1]]).bool()
    conditions, symbols = generator.network.conditions(z), generator.sites(z)[:, :, 1:]

    def logits(x):
        return generator._predict(x, hidden, conditions, symbols)

    other = torch.where(hidden, 3 - x, x)
    assert torch.equal(logits(other), logits(x))
    changed = x.clone()
    changed[0, 3] = 1
    assert (logits(changed)[:, 0] != logits(x)[:, 0]).any(), "a later symbol is seen"


def test_lengths_follow_their_law():
    generator, z = make("masked", (5,), calls=1), embeddings(2)
    log_p = generator.sites(z).log_softmax(-1)
    survives = torch.cat([torch.zeros(2, 1), log_p[..., 1:].logsumexp(-1).cumsum(1)], 1)
    p = (survives + torch.cat([log_p[..., 0], torch.zeros(2, 1)], 1)).exp().detach()
    torch.testing.assert_close(p.sum(1), torch.ones(2).double())
    x = generator.sample(z, 4000, stream("draw"))
    for b in range(2):
        counts = torch.bincount((x[b] > 0).sum(1), minlength=6).double()
        statistic, bound = chi_square(counts, p[b])
        assert statistic < bound


def test_one_call_a_symbol_follows_the_model():
    """With a denoiser that knows what is revealed, calls of one symbol each are exact."""
    generator, z = make("masked", (2,), calls=2), embeddings(1)
    sites, conditions = generator.sites(z), generator.network.conditions(z)

    def p_of(x, hidden):
        logits = generator._predict(x, hidden, conditions, sites[:, :, 1:])
        return logits.softmax(-1)[0].detach()

    expected = torch.zeros(2, 2, dtype=torch.float64)
    both = p_of(torch.ones(1, 2, dtype=torch.int64), torch.tensor([[True, True]]))
    for a, b in itertools.product(range(2), range(2)):
        x = torch.tensor([[a + 1, b + 1]])
        first = both[0, a] * p_of(x, torch.tensor([[False, True]]))[1, b]
        second = both[1, b] * p_of(x, torch.tensor([[True, False]]))[0, a]
        expected[a, b] = (first + second) / 2
    drawn = generator.sample(z, 8000, stream("draw"))[0]
    drawn = drawn[(drawn > 0).all(1)] - 1
    counts = torch.bincount(2 * drawn[:, 0] + drawn[:, 1], minlength=4).double()
    statistic, bound = chi_square(counts, expected.flatten())
    assert statistic < bound
    assert counts.sum() > 500


# -- where they start ---------------------------------------------------------------------------


def test_the_start_is_the_frequencies_of_all_sets_where_z_says_nothing():
    x = random_sequences(4000)
    batch, z = batch_of(*x.split(500)), torch.zeros(8, LATENT, dtype=torch.float64)
    sites = Sites(LATENT, VOCAB, LONGEST + 2).double()
    sites.prepare(batch, z)
    _, following, mask = next_tokens(x, VOCAB, LONGEST + 2)
    p = sites(z[:1])[0].softmax(-1)
    for t in range(LONGEST):
        seen = following[mask[:, t], t]
        share = torch.bincount(seen, minlength=VOCAB + 1) / len(seen)
        assert (p[t] - share).abs().max() < 0.01
    # the first position that no sequence needs is an end; beyond, symbols are those of all
    assert p[LONGEST, 0] > 0.9
    assert 0 < p[-1, 0] < 0.9


def test_the_start_follows_sets_whose_frequencies_are_linear_in_z():
    """Two symbols whose log odds at the first position are z: the start finds the slope."""
    rng, m = stream("sets"), 2000
    z = torch.randn(60, LATENT, generator=rng, dtype=torch.float64).clamp(-1.5, 1.5)
    p = torch.sigmoid(z[:, 0])
    x = 1 + (torch.rand(60, m, generator=rng).double() < p[:, None]).long()
    sites = Sites(LATENT, VOCAB, 1).double()
    sites.prepare(batch_of(*x.unsqueeze(-1)), z)
    logits = sites(z)[:, 0]
    odds = logits[:, 2] - logits[:, 1]
    # log odds of 2000 atoms have a deviation of 0.06, and a slope of 60 of them one of 0.01
    assert (odds - z[:, 0]).abs().max() < 0.1
    assert (logits.softmax(-1)[:, 0] < 0.01).all()


def chains_of(z, m, longest):
    """Two symbols, the log odds of staying with the last one are z."""
    rng = stream("chains")
    stay = torch.sigmoid(z[:, :1])
    x = torch.randint(2, (len(z), m), generator=rng)
    out = [x]
    for _ in range(longest - 1):
        same = torch.rand(len(z), m, generator=rng).double() < stay
        out.append(torch.where(same, out[-1], 1 - out[-1]))
    return 1 + torch.stack(out, 2)


def test_the_start_of_a_language_model_is_a_markov_chain_of_the_set():
    z = torch.randn(40, LATENT, generator=stream("slopes"), dtype=torch.float64).clamp(-1.5, 1.5)
    x = chains_of(z, 400, 6)
    sites, transitions = Sites(LATENT, 2, 6).double(), Transitions(LATENT, 2).double()
    sites.prepare(batch_of(*x), z)
    transitions.prepare(batch_of(*x), z, sites)
    logits = sites(z)[:, 3].unsqueeze(1) + transitions(z)
    # 2,000 pairs of a set: log odds of a deviation of 0.05, and a slope of 40 of them of 0.01
    assert (logits[:, 1, 1] - logits[:, 1, 2] - z[:, 0]).abs().max() < 0.12
    assert (logits[:, 2, 2] - logits[:, 2, 1] - z[:, 0]).abs().max() < 0.12


def test_columns_that_do_not_depend_on_each_other_have_no_transitions():
    """However much the columns themselves differ."""
    rng = stream("columns")
    p = 0.05 + 0.9 * torch.rand(1, 1, 6, generator=rng)
    x = 1 + (torch.rand(20, 400, 6, generator=rng) < p).long()
    z = torch.randn(20, LATENT, generator=rng, dtype=torch.float64)
    sites, transitions = Sites(LATENT, 2, 6).double(), Transitions(LATENT, 2).double()
    sites.prepare(batch_of(*x), z)
    transitions.prepare(batch_of(*x), z, sites)
    # 8,000 sequences: ratios of counts above 1,000 deviate by less than 0.03
    assert transitions(torch.zeros(1, LATENT).double())[0, 1:, 1:].abs().max() < 0.15


def test_an_end_that_frequencies_make_certain_is_drawn():
    """Aligned sequences start as sequences of one length."""
    x = torch.randint(1, 3, (300, 4), generator=stream("x"))
    for name in NAMES:
        generator = build(GENERATORS, {"name": name, "vocab": 2}, "generator", (6,), LATENT)
        generator.prepare(SetBatch.from_list([*x.split(60)]), torch.zeros(5, LATENT))
        drawn = generator.sample(torch.zeros(1, LATENT), 200, stream("draw"))[0]
        lengths = (drawn > 0).sum(1)
        # half a count in 300 atoms is on the other classes
        assert (lengths == 4).double().mean() > 0.95, name


def test_components_of_a_mixture_are_found():
    """Two profiles that hardly overlap, with weights that differ between sets."""
    rng = stream("mixture")
    share = torch.rand(30, generator=rng, dtype=torch.float64)
    which = torch.rand(30, 200, generator=rng).double() < share[:, None]
    noise = torch.rand(30, 200, 8, generator=rng) < 0.1
    x = torch.where(which[..., None] ^ noise, 1, 2)
    generator = build(
        GENERATORS, {"name": "profile", "vocab": 2, "components": 2}, "generator", (8,), LATENT
    ).double()
    z = torch.cat([torch.logit(share.clamp(0.02, 0.98))[:, None], torch.zeros(30, 2)], 1)
    generator.prepare(batch_of(*x), z)
    weights = generator._log_weights(z).exp()
    weights = weights if weights[share.argmax(), 0] > 0.5 else weights.flip(1)
    # 200 atoms: a standard deviation of at most 0.035
    assert (weights[:, 0] - share).abs().max() < 0.15
    site = build(GENERATORS, {"name": "profile", "vocab": 2}, "generator", (8,), LATENT).double()
    site.prepare(batch_of(*x), z)
    losses = [g.loss(batch_of(*x), z, stream("noise")).mean() for g in (generator, site)]
    assert losses[0] < losses[1] - 0.5


def test_components_count_atoms_by_their_weights():
    """Frequencies of the components are those of weighted atoms, all smoothing being little."""
    x = random_sequences(40, key="weighted")
    w = torch.rand(40, generator=stream("mass"), dtype=torch.float64)
    batch = batch_of(x, weights=[w / w.sum()])
    mass = batch.w * batch.effective_sizes[batch.owner]
    places = Places.of(next_tokens(batch.x, VOCAB, LONGEST), VOCAB + 1)
    found = find_components(places, mass, 1, MixtureStart(smoothing=1e-6))
    # with one component, frequencies are those of all atoms, less half a count of smoothing
    counts = places.counts(mass[:, None].float())
    smooth = counts + 0.5
    expected = (counts / counts.sum(1, keepdim=True)).log()
    expected = expected - (smooth / smooth.sum(1, keepdim=True)).log()
    seen = counts > 0.1
    torch.testing.assert_close(found.gain[seen], expected[seen], atol=1e-4, rtol=1e-4)
