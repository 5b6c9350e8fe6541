"""Sequences pass through read, fit, embed, sample and save; undefined uses are refused by name."""

import sys

import numpy as np
import pytest
import torch

import distembed as de
from distembed.data.spaces import Images, Tokens
from distembed.data.transforms import TRANSFORMS
from distembed.divergences import DIVERGENCES
from distembed.divergences.edit import levenshtein
from distembed.divergences.exact import pairwise_w2
from distembed.encoders import ENCODERS
from distembed.encoders.points import POINT_ENCODERS
from distembed.evaluation import BASELINES
from distembed.generators import GENERATORS
from distembed.generators.tokens.autoregressive import Autoregressive as LanguageModel
from distembed.inference.contributions import contributions
from distembed.inference.tests.two_sample import two_sample_test
from distembed.registry import applicable, build
from distembed.training.objectives import PairDistances
from token_fakes import DNA, Autoregressive, WithoutDensity, sequences

POINT = {"name": "transformer", "channels": 16, "depth": 1, "heads": 2}
ENCODER = {"name": "composed", "point": POINT, "sets": {"name": "deepsets", "width": 16}}
FAST = {"batch": 8, "context": (4, 16), "target": 8, "validation": 0.2, "progress": False}
STRINGS = sequences()


def make(**parts):
    parts = {"encoder": ENCODER, "generator": Autoregressive((6,), 8, 4), "latent": 8} | parts
    return de.GDE(**parts)


@pytest.fixture(scope="module")
def sets():
    return de.read(STRINGS, atoms=DNA)


@pytest.fixture(scope="module")
def model(sets):
    return make().fit(sets, steps=150, lr=5e-3, warmup=10, every=150, **FAST)


def favourites(strings):
    counts = np.array([[sum(x.count(s) for x in part) for s in "ACGT"] for part in strings])
    return counts / counts.sum(1, keepdims=True)


def test_drawn_sequences_have_the_composition_of_their_set(model, sets):
    table = model.embed(sets, covariance=False)
    x = model.sample(table, 500)
    assert x.dtype == np.int64
    assert x.shape == (24, 500, 6)
    Tokens("ACGT").check(x.reshape(-1, 6))
    strings = model.sample(table, 500, as_data=True)
    assert strings == [Tokens("ACGT").restore(part) for part in x]
    assert np.abs(favourites(strings) - favourites(STRINGS)).max() < 0.2
    assert favourites(strings).argmax(1).tolist() == [s % 4 for s in range(24)]
    assert (
        model.sample(table.z[0], 3, as_data=True) == model.sample(table.z[:1], 3, as_data=True)[0]
    )


def test_only_integers_reach_encoder_and_generator(sets):
    seen = []

    class Watched(Autoregressive):
        def loss(self, batch, z, rng):
            seen.append((batch.x.dtype, batch.w.dtype))
            return super().loss(batch, z, rng)

    model = fit(sets, generator=Watched((6,), 8, 4))
    assert set(seen) == {(torch.int64, torch.float32)}
    assert model.network.to_ground(sets.batch([0])).x.dtype == torch.int64


def test_the_alphabet_reaches_the_encoder_and_the_folder(model, sets, tmp_path):
    assert model.network.encoder.point.vocab == 4
    assert not len(model.atom_transform.transforms)
    assert model.atoms == Tokens("ACGT")
    model.save(tmp_path / "m")
    again = de.GDE.load(tmp_path / "m", generator=Autoregressive((6,), 8, 4))
    assert again.atoms == Tokens("ACGT")
    np.testing.assert_array_equal(again.embed(sets).z, model.embed(sets).z)
    assert again.sample(model.embed(sets).z[0], 5, as_data=True)


@pytest.mark.parametrize("pads", [1, 9])
def test_pads_have_no_meaning(model, sets, pads):
    """Sequences of another T are the same sets, whether strings, tokens or a batch."""
    table = model.embed(sets)
    ids = [np.pad(Tokens("ACGT").encode(part), ((0, 0), (0, pads))) for part in STRINGS]
    for same in (STRINGS, ids, de.read(ids, atoms=DNA), de.SetBatch.from_list(ids)):
        other = model.embed(same)
        np.testing.assert_allclose(other.z, table.z, atol=1e-5)
        np.testing.assert_allclose(other.cov, table.cov, atol=1e-5)
        assert other.trained.all()
    short = de.read([["A", "C"], ["GT", "T"]], atoms=DNA)
    assert np.isfinite(model.embed(short, covariance=False).z).all()
    np.testing.assert_allclose(
        np.concatenate(model.log_prob(ids, table)),
        np.concatenate(model.log_prob(sets, table)),
        atol=1e-4,
    )


def test_what_needs_embeddings_alone_is_defined(model, sets):
    table = model.embed(sets)
    latent = model.distances(table, calibrated=False)
    group = np.arange(24) % 4
    same = group[:, None] == group
    assert latent[same & ~np.eye(24, dtype=bool)].mean() < 0.5 * latent[~same].mean()
    assert np.isfinite(model.distance_intervals(table, calibrated=False).low).all()
    assert model.interpolate(table.z[0], table.z[1]).shape == (11, 8)
    batch = sets.batch([0, 1])
    for part in contributions(model.embedder, batch, np.ones(8)):
        assert abs(part.sum()) < 1e-6 < np.abs(part).max()
    assert (model.log_prob(sets)[0] < 0).all()
    first, another, alike = (sets.batch([i]).x for i in (0, 1, 4))
    assert two_sample_test(model.embedder, first, another).p_permutation < 0.05
    assert two_sample_test(model.embedder, first, alike).p_permutation > 0.001
    other = de.read(sequences(seed=1), atoms=DNA)
    rows = de.evaluate(model, other, truth=TRUTH).rows
    of_samples = {"energy_unbiased", "spectrum", "lengths", "copies"}
    geometry = {"spearman_w2", "spearman_w2_near"}
    assert {row.metric for row in rows} == {*of_samples, "bits", *geometry}
    counted = {"positions", "markov", "markov_others"}
    assert {row.method for row in rows if row.metric == "bits"} == {"gde", "untrained", *counted}
    distances = {"gde", "untrained", "ot", "kmers", "positions"}
    assert {row.method for row in rows if row.metric in geometry} == distances
    assert repr(sets) == "Sets(24 sets of 40 atoms of shape (6,), tokens)"


def test_w2_of_sequences_is_transport_under_the_distance_of_their_kind(model, sets):
    table, pairs = model.embed(sets), torch.combinations(torch.arange(24))
    i, j = pairs.T
    w2 = torch.zeros(24, 24, dtype=torch.float64)
    w2[i, j] = w2[j, i] = pairwise_w2(sets.batch(range(24)), pairs, distance=levenshtein)
    nearest = model.exact_top_k(sets, k=5, candidates=23)
    for s in range(24):
        others = np.delete(w2[s].numpy(), s)
        assert nearest.w2[s] == pytest.approx(np.sort(others)[:5])
        assert nearest.w2[s] == pytest.approx(w2[s].numpy()[nearest.index[s]])
    between = model.exact_top_k(sets.select([0]), sets.select([1, 4]), k=2)
    assert sorted(between.w2[0]) == pytest.approx(np.sort(w2[0, [1, 4]].numpy()))
    drawn = model.distances(table.z[:3], method="decoded", draws=50)
    x = torch.from_numpy(model.sample(table.z[:3], 50, rng=0, common_noise=True))
    batch = de.SetBatch.from_dense(x)
    first, second = pairwise_w2(batch, torch.tensor([[0, 1], [1, 2]]), distance=levenshtein)
    assert [drawn[0, 1], drawn[2, 1]] == pytest.approx([float(first), float(second)])
    across = model.distances(table.z[:1], table.z[1:2], method="decoded", draws=50)
    assert across.item() == pytest.approx(float(first))
    evaluation = de.evaluate(model, de.read(sequences(seed=1), atoms=DNA))
    assert evaluation.settings["truth"].startswith("exact W2 under the Levenshtein distance bet")
    assert {"gde", "ot", "floor"} <= {row.method for row in evaluation.rows}
    floor, ot = (evaluation.row("spearman_w2", name).value for name in ("floor", "ot"))
    assert floor == ot  # both compare all atoms of the contexts under the same distance


@pytest.fixture(scope="module")
def aligned():
    """Sets of sequences of one length, whose symbols differ in frequency."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 30)
    sets = [["".join(row) for row in rng.choice(list("ACG-"), (60, 5), p=q)] for q in p]
    return de.read(sets, atoms={"name": "tokens", "alphabet": "ACG-", "aligned": True})


def test_distances_are_calibrated_to_the_distance_of_the_kind(aligned, tmp_path):
    generator = Autoregressive((5,), 8, 4)
    model = make(generator=generator).fit(aligned, **ONE_STEP)
    pairs = model._state.attachments.context.pairs
    batch = aligned.batch(range(30))
    rows = torch.from_numpy(pairs.rows)
    # sets of 60 atoms are compared whole, so that the measured W2 is that of the data
    w2 = pairwise_w2(batch, rows, distance=lambda a, b: (a[:, None] != b).sum(2))
    np.testing.assert_allclose(pairs.high, w2.square().numpy())
    assert model.calibration.pairs > 0
    assert np.isfinite(model.distances(model.embed(aligned))).all()
    model.save(tmp_path / "m")
    again = de.GDE.load(tmp_path / "m", generator=generator)
    assert again.atoms == Tokens("ACG-", aligned=True)
    assert "calibrated to W2 under the Hamming distance in model space" in str(again.card())


def test_without_the_extra_distances_are_latent_and_the_log_says_why(sets, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "rapidfuzz.process", None)
    large = de.read(sequences(size=60), atoms=DNA)
    model = fit(large)
    install = r"pip install 'distembed\[sequences\]'"
    with pytest.raises(ValueError, match=f"not calibrated to W2. .*{install}"):
        model.distances(model.embed(large))
    assert any("distances stay latent" in message for message in caplog.messages)
    with pytest.raises(ImportError, match=install):
        model.exact_top_k(large, k=1)
    with pytest.raises(ImportError, match=install):
        de.evaluate(model, de.read(sequences(size=60, seed=1), atoms=DNA))


class IgnoringZ(LanguageModel):
    """A language model that sees the same z for every set."""

    def log_prob(self, batch, z):
        return super().log_prob(batch, 0 * z)

    def prepare(self, batch, z):
        super().prepare(batch, 0 * z)


def test_a_language_model_that_ignores_z_is_noticed(sets):
    settings = FAST | {"steps": 20, "every": 10}
    with pytest.warns(UserWarning, match="ignores z .* nats a sequence.*fewer layers"):
        model = make(generator=IgnoringZ((6,), 8, 4)).fit(sets, **settings)
    assert model.history[-1]["z_used"] == pytest.approx(0, abs=1e-5)


def test_the_default_model_of_sequences_uses_z(sets):
    """It is better than the best law that is the same for all sets, and draws strings."""
    model = de.GDE(latent=8).fit(sets, **FAST | {"steps": 20, "every": 10})
    assert model.network.loss_unit == "nats a sequence"
    assert isinstance(model.network.generator, LanguageModel)
    # own symbol of seven tenths against a tenth: about 3.5 symbols of 0.6 log 7 nats
    assert model.history[-1]["z_used"] > 1
    table = model.embed(sets, covariance=False)
    own, other = (
        np.mean([nats.mean() for nats in model.log_prob(sets, z)])
        for z in (table.z, np.roll(table.z, 1, 0))
    )
    assert own > other + 1
    strings = model.sample(table, 200, as_data=True)
    assert favourites(strings).argmax(1).tolist() == [s % 4 for s in range(24)]
    assert max(len(x) for part in strings for x in part) <= 6


TRUTH = np.abs(np.subtract.outer(np.arange(24.0), np.arange(24.0)))
IMAGES = [np.zeros((4, 1, 8, 8), np.uint8) + np.uint8(k) for k in range(6)]
ONE_STEP = FAST | {"steps": 1, "validation": 0}
NEEDS_NUMBERS = r"is not defined for tokens; it is for .*Defined for tokens: "


def undefined(family):
    return sorted(set(family) - set(applicable(family, "tokens")))


def fit(sets, **parts):
    return make(**parts).fit(sets, **ONE_STEP)


UNDEFINED_FOR_TOKENS = {
    "supervision by distances": (
        lambda m, s: make().fit(s, objectives=[PairDistances()], **ONE_STEP),
        "a divergence is not defined for tokens",
    ),
    "log_prob without a density": (
        lambda m, s: fit(s, generator=WithoutDensity((6,), 8, 4)).log_prob(s),
        "log_prob is not defined for the generator WithoutDensity, which has no density",
    ),
    "the ground space of restored atoms": (
        lambda m, s: m.sample(np.zeros(8), 1, ground="model", as_data=True),
        "as_data restores the units of the data",
    ),
    "reading as float64": (
        lambda m, s: de.Sets(s.observations, s.rows, s.offsets, s.ids, atoms=s.atoms, double=True),
        "Atoms are tokens, which are torch.int64",
    ),
    "numbers for a model of tokens": (
        lambda m, s: m.embed(de.read([np.ones((3, 6)), np.ones((2, 6))])),
        r"sets hold vectors, and the model was fitted to tokens \(alphabet='ACGT'\)",
    ),
    "another alphabet": (
        lambda m, s: m.embed(de.read(STRINGS, atoms={"name": "tokens", "alphabet": "TGCA"})),
        r"sets hold tokens \(alphabet='TGCA'\), and the model was fitted to tokens",
    ),
    "another alphabet of a list": (lambda m, s: m.embed([["ACGN"]]), "'N' at position 3"),
    "fractions": (lambda m, s: m.embed([np.full((2, 6), 0.5)]), "Tokens are whole numbers"),
    **{
        f"generator {name}": (
            lambda m, s, name=name: fit(s, generator=name),
            f"generator '{name}' {NEEDS_NUMBERS}",
        )
        for name in undefined(GENERATORS)
    },
    **{
        f"encoder {name}": (
            lambda m, s, name=name: fit(s, encoder=name),
            f"encoder '{name}' {NEEDS_NUMBERS}spectrum, residual, joined, composed",
        )
        for name in undefined(ENCODERS)
    },
    **{
        f"a part {name} of joined": (
            lambda m, s, name=name: fit(s, encoder={"name": "joined", "parts": [ENCODER, name]}),
            f"encoder '{name}' is not defined for tokens",
        )
        for name in ("deepsets", "closed_form")
    },
    **{
        f"point encoder {name}": (
            lambda m, s, name=name: fit(s, encoder={"name": "composed", "point": name}),
            f"point encoder '{name}' {NEEDS_NUMBERS}conv1d, transformer",
        )
        for name in undefined(POINT_ENCODERS)
    },
    **{
        f"transform {name}": (
            lambda m, s, name=name: fit(s, transform=[{"name": name, **TRANSFORMS[name].example}]),
            f"transform '{name}' {NEEDS_NUMBERS}",
        )
        for name in undefined(TRANSFORMS)
    },
    **{
        f"divergence {name}": (
            lambda m, s, name=name: build(DIVERGENCES, name, "divergence")(
                s.batch([0]), s.batch([1])
            ),
            "a divergence is not defined for tokens",
        )
        for name in undefined(DIVERGENCES)
    },
    **{
        f"baseline {name}": (
            lambda m, s, name=name: de.evaluate(m, s, truth=TRUTH, baselines=[name]),
            f"baseline {name} is not defined for tokens",
        )
        for name in undefined(BASELINES)
    },
}


@pytest.mark.parametrize("use", UNDEFINED_FOR_TOKENS)
def test_a_use_that_is_not_defined_for_tokens_is_refused(use, model, sets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = UNDEFINED_FOR_TOKENS[use]
    with pytest.raises((ValueError, TypeError), match=message):
        call(model, sets)
    assert not list(tmp_path.iterdir())


def test_every_family_has_members_that_tokens_do_not_have():
    """The table above would be empty if members stated the wrong kinds."""
    for family in (GENERATORS, ENCODERS, POINT_ENCODERS, TRANSFORMS, DIVERGENCES, BASELINES):
        assert undefined(family)


UNDEFINED_FOR_IMAGES = {
    **{
        f"point encoder {name}": (
            lambda name=name: de.GDE({"name": "composed", "point": {"name": name}}).fit(
                IMAGES, **ONE_STEP
            ),
            f"point encoder '{name}' is not defined for images; it is for tokens",
        )
        for name in ("conv1d", "transformer")
    },
    "one axis": (
        lambda: de.read([np.ones((2, 8))] * 2, atoms="images"),
        "an image is channels x height x width",
    ),
    "pixels out of range": (
        lambda: de.read([np.full((2, 1, 8, 8), 300.0)] * 2, atoms=Images(0, 255)),
        "outside of the range 0 to 255",
    ),
    "tokens": (lambda: de.read(IMAGES, atoms=DNA), r"a token sequence has shape \(T,\)"),
    "feature names": (
        lambda: de.read({"who": [0, 0, 1, 1], "x": [1, 2, 3, 4.0]}, "who", atoms="images"),
        "an image is channels x height x width",
    ),
}


@pytest.mark.parametrize("use", UNDEFINED_FOR_IMAGES)
def test_a_use_that_is_not_defined_for_images_is_refused(use):
    call, message = UNDEFINED_FOR_IMAGES[use]
    with pytest.raises(ValueError, match=message):
        call()


def test_uint8_in_and_uint8_out_if_requested():
    images = [
        np.random.default_rng(k).integers(0, 256, (6, 1, 4, 4)).astype(np.uint8) for k in range(4)
    ]
    parts = {"encoder": "deepsets", "generator": "explicit", "latent": 4}
    model = de.GDE(**parts).fit(images, steps=1, batch=4, context=(2, 3), target=2, progress=False)
    assert model.atoms == Images(0, 255, whole=True)
    z = model.embed(images, covariance=False).z[0]
    x, restored = model.sample(z, 50), model.sample(z, 50, as_data=True)
    assert x.dtype == np.float32
    assert x.min() < 0 < 255 < x.max()
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, np.clip(x, 0, 255).round())
    counts = de.GDE(**parts).fit([np.arange(12).reshape(6, 2) + k for k in range(4)], **ONE_STEP)
    assert counts.atoms.name == "counts"
    drawn = counts.sample(np.zeros(4), 200, as_data=True)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
