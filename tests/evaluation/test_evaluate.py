"""Evaluation of models whose quality is known in advance."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.observations import Observations
from distembed.data.readers.arrays import from_arrays
from distembed.data.spaces import Tokens
from distembed.data.synthetic.gaussians import Gaussians
from distembed.divergences.edit import levenshtein
from distembed.divergences.exact import pairwise_w2
from distembed.evaluation import BASELINES
from distembed.evaluation.bootstrap import resamples
from distembed.evaluation.evaluate import EvaluationConfig, evaluate
from distembed.evaluation.halves import HeldOutHalves, halves
from distembed.evaluation.metrics import METRICS
from distembed.evaluation.samples import score_samples
from distembed.evaluation.subject import Subject
from distembed.model.embeddings import Embeddings
from distembed.registry import applicable
from distembed.rng import as_generator
from distembed.sets.construct import by_label
from distembed.sets.fingerprint import fingerprints
from distembed.sets.read import read

SAMPLES = {"energy_unbiased", "w2_debiased", "sliced_w2_debiased"}
GEOMETRY = {"spearman_w2", "spearman_w2_near"}


def normal_sets(sets=30, size=120, seed=0):
    """Gaussians that differ in location, on a grid fine enough to have near pairs."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0, 4, size=(sets, 2))
    return Gaussians(mean, np.tile(np.eye(2) * 0.2, (sets, 1, 1)), size=size, seed=seed)


def truth(sets):
    index = np.arange(len(sets))
    return np.array([sets.w2(np.full(len(sets), i), index) for i in index])


class MeanModel:
    """Embeds a set by its mean; samples are normal around it."""

    def __init__(self, spread=0.2**0.5):
        self.spread = spread
        self.batches = []
        self.features = self.fingerprints = None

    def embed(self, sets):
        assert isinstance(sets, SetBatch)
        self.batches.append(sets)
        return SimpleNamespace(z=sets.mean(sets.x.flatten(1)).numpy())

    def sample(self, z, n, rng, **options):
        noise = torch.randn(len(z), n, z.shape[1], generator=as_generator(rng))
        return (torch.as_tensor(z)[:, None] + self.spread * noise).numpy()

    def untrained(self):
        """The same samples, but from random embeddings."""
        model = MeanModel()

        def embed(sets):
            shape = (len(sets), sets.x[0].numel())
            return SimpleNamespace(z=np.random.default_rng(0).normal(size=shape))

        model.embed = embed
        return model


class Embedder:
    """A user's own model, which cannot sample."""

    def embed(self, sets):
        return SimpleNamespace(z=sets.mean(sets.x).numpy())


@pytest.fixture(scope="module")
def full():
    return evaluate(MeanModel(), normal_sets())


def test_every_number_is_beside_its_rivals(full):
    methods = {}
    for row in full.rows:
        methods.setdefault(row.metric, []).append(row.method)
    assert set(methods) == SAMPLES | GEOMETRY
    for metric in SAMPLES:
        assert methods[metric] == ["gde", "untrained", "mean_cov", "pooled", "floor"]
    for metric in GEOMETRY:
        assert methods[metric] == ["gde", "untrained", *applicable(BASELINES, "vectors"), "floor"]
    assert all(row.low <= row.value <= row.high for row in full.rows)
    assert len(full.pairs.w2) == len(full.pairs.latent) == 30 * 29 // 2


def test_the_truth_is_as_good_as_the_floor(full):
    """Here the model is right but for the noise of the context's mean, and the floor is zero.

    The mean of 60 atoms has the squared error 2 * 0.2 / 60 = 0.0067, and that of the other half
    as much again is taken off.
    """
    for metric in SAMPLES:
        own, floor = full.row(metric), full.row(metric, "floor")
        assert floor.low < 0 < floor.high
        assert -0.01 < own.value < 0.03
        assert full.row(metric, "pooled").value > 0.5
        assert full.row(metric, "untrained").value > 0.5
    assert full.row("spearman_w2").value > 0.99
    assert full.row("spearman_w2").value == full.row("spearman_w2", "mean").value
    assert abs(full.row("spearman_w2", "untrained").value) < 0.3
    assert full.row("spearman_w2", "floor").value == full.row("spearman_w2", "ot").value


def test_a_wrong_spread_is_seen():
    wide = evaluate(MeanModel(spread=1.0), normal_sets(), baselines=["mean"])
    for metric in SAMPLES:
        assert "loses to mean_cov" in wide.row(metric).note
        assert wide.row(metric).p < 0.01


def test_a_given_truth_has_no_noise():
    sets = normal_sets()
    evaluation = evaluate(MeanModel(), sets, truth=truth(sets), baselines=["mean", "ot"])
    assert "floor" not in {r.method for r in evaluation.rows if r.metric in GEOMETRY}
    assert evaluation.settings["truth"] == "given"
    i, j = evaluation.pairs.index.T
    assert np.array_equal(evaluation.pairs.w2, truth(sets)[i, j])
    capped = evaluate(MeanModel(), sets, truth=truth(sets), baselines=["mean", "ot"], pairs=40)
    assert len(capped.pairs.w2) == 30 * 29 // 2
    assert capped.row("spearman_w2", "mean") == evaluation.row("spearman_w2", "mean")
    assert capped.row("spearman_w2", "ot").note == "on 40 of the 435 pairs"
    assert capped.row("spearman_w2", "ot").value != evaluation.row("spearman_w2", "ot").value
    with pytest.raises(ValueError, match=r"expected the W2 of every pair, \(30, 30\)"):
        evaluate(MeanModel(), sets, truth=truth(sets)[:5])
    with pytest.raises(ValueError, match="symmetric"):
        evaluate(MeanModel(), sets, truth=np.triu(truth(sets)))


def test_seeds(full):
    again = evaluate(MeanModel(), normal_sets(), rng=0)
    assert again.rows == full.rows
    other = evaluate(MeanModel(), normal_sets(), rng=1, baselines=["mean"])
    assert other.row("energy_unbiased").value != full.row("energy_unbiased").value
    pair = [
        evaluate(MeanModel(), normal_sets(8), rng=torch.Generator().manual_seed(3)) for _ in "ab"
    ]
    assert pair[0].rows == pair[1].rows


def test_the_halves_are_disjoint():
    arrays = [np.arange(20 * s, 20 * s + 20, dtype=float)[:, None] for s in range(5)]
    model = MeanModel()
    batches = []
    model.atom_transform = lambda x: batches.append(x) or x
    evaluate(model, by_label(from_arrays(arrays), "set"), baselines=[])
    context, target = (set(x.flatten().tolist()) for x in batches[:2])
    assert not context & target
    assert context | target == set(range(100))
    assert set(model.batches[0].x.flatten().tolist()) == context


def test_no_rival_sees_the_target_half():
    """Where the target lies far away, whoever is near has looked."""
    context = normal_sets(6).batch(range(6))
    target = context.replace(x=context.x + 50)
    model = MeanModel()
    models = {"gde": (Subject.of(model), model.embed(context).z)}
    counts = resamples(6, 10, as_generator(0))
    sets = HeldOutHalves(context, context, target, (120, 120))
    scores = score_samples(models, sets, "vectors", counts, EvaluationConfig(), 0)
    assert len(scores) == 12
    assert all(score.value > 40 for score in scores)


def test_distances_are_taken_in_the_ground_space():
    sets = normal_sets(12)
    plain = evaluate(Embedder(), sets, baselines=["mean"])
    model = Embedder()
    model.atom_transform = lambda x: 10 * x
    ground = evaluate(model, sets, baselines=["mean"])
    np.testing.assert_allclose(ground.pairs.w2, 10 * plain.pairs.w2, rtol=1e-5)
    np.testing.assert_allclose(ground.pairs.latent, plain.pairs.latent)
    assert (plain.settings["ground"], ground.settings["ground"][:9]) == ("input", "the model")


def test_a_model_that_cannot_sample_is_judged_by_its_geometry():
    evaluation = evaluate(Embedder(), normal_sets(8))
    assert {r.metric for r in evaluation.rows} == GEOMETRY
    assert evaluation.row("spearman_w2").value > 0.9
    assert "samples, lower" not in evaluation.table()


def test_training_sets_are_refused():
    arrays = list(np.random.default_rng(0).normal(size=(9, 10, 2)))
    sets = by_label(from_arrays(arrays), "set")
    model = MeanModel()
    model.fingerprints = SimpleNamespace(
        salt="salt", hashes=frozenset(fingerprints(sets.select([1, 2]), "salt"))
    )
    with pytest.raises(ValueError, match="2 of the 9 sets were used to train this model: 1, 2"):
        evaluate(model, sets)
    shuffled = by_label(from_arrays([a[::-1] for a in arrays]), "set")
    with pytest.raises(ValueError, match="2 of the 9 sets"):
        evaluate(model, shuffled)
    evaluate(model, sets.select([0, 3, 4, 5, 6]), baselines=[])


def test_training_sets_are_recognised_in_any_order_of_columns():
    table = {"set": np.repeat(np.arange(6), 9)}
    table |= dict(zip("ab", np.random.default_rng(0).normal(size=(2, 54)), strict=True))
    model = MeanModel()
    model.features = ("a", "b")
    hashes = fingerprints(read(table, by="set", columns=["a", "b"]), "salt")
    model.fingerprints = SimpleNamespace(salt="salt", hashes=frozenset(hashes))
    with pytest.raises(ValueError, match="6 of the 6 sets"):
        evaluate(model, read(table, by="set", columns=["b", "a"]))


def test_memory_is_bounded():
    small = EvaluationConfig(numbers=30 * 2 * 7)
    evaluation = evaluate(MeanModel(), normal_sets(), baselines=["mean"], config=small)
    assert evaluation.settings["most_atoms"] == "7 in a context, 7 in a target"
    assert evaluation.settings["context_atoms"] == evaluation.settings["target_atoms"] == "7"
    least = evaluate(MeanModel(), normal_sets(), baselines=[], config=EvaluationConfig(numbers=1))
    assert least.settings["context_atoms"] == "2"


def test_features_are_matched_by_name():
    rng = np.random.default_rng(0)
    table = {"set": np.repeat(np.arange(6), 20), "a": rng.normal(size=120), "b": rng.random(120)}
    model = MeanModel()
    model.features = ("a", "b")
    one = evaluate(model, read(table, by="set", columns=["a", "b"]), baselines=["mean"])
    two = evaluate(model, read(table, by="set", columns=["b", "a"]), baselines=["mean"])
    assert repr(one.rows) == repr(two.rows)  # too few near pairs are NaN
    with pytest.raises(ValueError, match="lack 1 of the model's 2 features: b"):
        evaluate(model, read(table, by="set", columns=["a"]))


def test_skewed_sizes():
    """Sets of fewer than 50 atoms in the target half judge no geometry while others can."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(m, 2)) + s for s, m in enumerate([2, 3, 9] + [110] * 12)]
    evaluation = evaluate(MeanModel(), by_label(from_arrays(arrays), "set"), baselines=["mean"])
    assert evaluation.pairs.index.min() == 3
    assert "12 sets, 55 atoms each" in evaluation.settings["truth"]
    small = evaluate(
        MeanModel(), by_label(from_arrays([a[:20] for a in arrays]), "set"), baselines=["mean"]
    )
    assert small.pairs.index.min() == 0
    assert "some below 50" in small.settings["truth"]


def test_pairs_are_limited_and_weights_are_used():
    part = evaluate(MeanModel(), normal_sets(), pairs=40, baselines=["mean"])
    assert len(part.pairs.w2) == 40
    assert len(np.unique(part.pairs.index, axis=0)) == 40
    rng = np.random.default_rng(0)
    arrays = [
        np.concatenate([rng.normal(size=(30, 1)) + s, 100 + rng.random((5, 1))]) for s in range(6)
    ]
    weights = np.tile(np.concatenate([np.ones(30), np.zeros(5)]), 6)
    obs = Observations(
        np.concatenate(arrays), {"set": np.repeat(np.arange(6), 35), "w": weights}, None
    )
    evaluation = evaluate(MeanModel(1.0), by_label(obs, "set", weights="w"), baselines=["mean"])
    assert evaluation.pairs.w2.max() < 10


def test_what_cannot_be_judged():
    with pytest.raises(ValueError, match="no baseline 'nope'; there are: bures"):
        evaluate(MeanModel(), normal_sets(5), baselines=["nope"])
    with pytest.raises(ValueError, match="pairs = 1"):
        evaluate(MeanModel(), normal_sets(5), pairs=1)
    with pytest.raises(TypeError, match="no method embed"):
        evaluate(object(), normal_sets(5))
    single = by_label(from_arrays([np.zeros((1, 2))] + [np.ones((5, 2))] * 4), "set", min_size=1)
    with pytest.raises(ValueError, match="1 atom of positive weight"):
        evaluate(MeanModel(), single)


def test_progress():
    lines = []
    evaluate(MeanModel(), normal_sets(5, 20), baselines=["mean"], progress=lines.append)
    assert any("5 sets" in line for line in lines)
    assert any("10 pairs" in line for line in lines)


def test_progress_is_shown_on_standard_error(capsys):
    evaluate(Embedder(), normal_sets(5, 20), baselines=["mean"], progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "10 pairs" in err


def test_contexts_are_embedded_once():
    model = MeanModel()
    evaluate(model, normal_sets(6), baselines=[])
    assert len(model.batches) == 1


def test_a_calibrated_model_is_embedded_once_with_its_errors():
    class Calibrated(Embedder):
        calls = ()

        def embed(self, sets, covariance=True):
            self.calls = (*self.calls, covariance)
            n = np.full(len(sets), 60)
            cov = np.full((len(sets), 2, 2), 0.2 / 60) * np.eye(2)
            z = sets.mean(sets.x).numpy()
            return Embeddings(z, n.astype(str), n, n.astype(float), {}, cov)

        def distances(self, table, *, calibrated):
            assert not calibrated
            return np.arange(36.0).reshape(6, 6)

        def distance_intervals(self, table, pairs, level):
            raise ValueError("too few pairs")

    model = Calibrated()
    evaluation = evaluate(model, normal_sets(6), truth=truth(normal_sets(6)), baselines=[])
    assert model.calls == (True,)
    index = evaluation.pairs.index
    assert (evaluation.pairs.latent == 6 * index[:, 0] + index[:, 1]).all()
    assert evaluation.settings["w2_intervals"] == "none: too few pairs"


def test_sets_of_few_atoms_are_left_out_of_the_metrics_of_samples():
    """Two atoms in each half are needed; geometry is scored on all sets."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(m, 2)) + s for s, m in enumerate([2, 3, 4, 5, 40, 40])]
    evaluation = evaluate(MeanModel(), by_label(from_arrays(arrays), "set"), baselines=["mean"])
    assert all(evaluation.row(name).defined for name in SAMPLES)
    assert evaluation.settings["sample_sets"] == "4, those with two atoms in each half"
    part = [a[:3] for a in arrays]
    none = evaluate(MeanModel(), by_label(from_arrays(part), "set"), baselines=["mean"])
    assert {score.metric for score in none.rows} == GEOMETRY


@pytest.fixture(scope="module")
def sequences():
    x = np.random.default_rng(0).integers(1, 5, size=(60, 7))
    obs = Observations(x, {"set": np.repeat(np.arange(6), 10)}, None)
    return by_label(obs, "set", atoms=Tokens("ACGT"))


class Composition:
    """Embeds a set of sequences by the frequency of each symbol."""

    def embed(self, sets):
        share = (sets.x[..., None] == torch.arange(1, 5)).double().mean(1)
        return SimpleNamespace(z=sets.mean(share).numpy())

    def sample(self, z, n, rng):
        return torch.randint(1, 5, (len(z), n, 7), generator=as_generator(rng)).numpy()


def test_tokens_are_judged_by_their_distance(sequences):
    gap = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    evaluation = evaluate(Composition(), sequences, truth=gap)
    # no metric of samples and no baseline compares symbols as numbers
    of_tokens = ["gde", *applicable(BASELINES, "tokens")]
    methods = {(m, k) for m in GEOMETRY for k in of_tokens}
    assert {(s.metric, s.method) for s in evaluation.rows if s.metric in GEOMETRY} == methods
    others = {s.metric for s in evaluation.rows} - {*GEOMETRY}
    assert all("tokens" in METRICS[name].atoms for name in others)
    measured = evaluate(Composition(), sequences)
    assert {s.method for s in measured.rows if s.metric in GEOMETRY} == {*of_tokens, "floor"}
    assert measured.settings["w2"] == "W2 under the Levenshtein distance"
    assert measured.settings["truth"].startswith("exact W2 under the Levenshtein distance")
    # all atoms of a half are compared, so that the measured W2 is that of the halves
    sets = halves(Subject.of(Composition()), sequences, EvaluationConfig(), 0)
    w2 = pairwise_w2(sets.target, torch.from_numpy(measured.pairs.index), distance=levenshtein)
    np.testing.assert_allclose(measured.pairs.w2, w2.numpy())
    with pytest.raises(ValueError, match="baseline mean is not defined for tokens"):
        evaluate(Composition(), sequences, truth=gap, baselines=["mean"])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_a_few_sets_there_are_means_without_intervals(count):
    few = evaluate(MeanModel(), normal_sets(count))
    own = few.row("energy_unbiased")
    assert own.defined
    assert own.interval is None
    assert own.p is None
    assert not len(few.pairs.w2)
    assert f"{count} held-out" in few.table()
    assert "too few for rank correlations" in few.table()
    names = {row.method for row in few.rows}
    assert ("pooled" in names) == (count > 1)
    assert "floor" in names
    again = type(few).from_json(json.loads(json.dumps(few.to_json())))
    assert again.table() == few.table()
