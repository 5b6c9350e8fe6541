"""Error bars of a model: what `embed` says of its own certainty, and what is made of it."""

import logging

import numpy as np
import pytest
import torch

import distembed as de
from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.inference.covariance import covariance
from distembed.model.engine import InferenceSettings
from distembed.sets.collection import Sets

PILOT = InferenceSettings().covariance_atoms
QUICK = {"steps": 4, "progress": False, "validation": 0.2}


@pytest.fixture(scope="module")
def fitted():
    return de.GDE(latent=6).fit(Gaussians.prior(60, 2, 40, size=300, seed=1), **QUICK)


def weighted(sizes, seed=0):
    rng = np.random.default_rng(seed)
    atoms = [rng.normal(i, 1 + i / 4, (m, 2)) for i, m in enumerate(sizes)]
    return SetBatch.from_list(atoms, [rng.uniform(0.2, 2, m) for m in sizes])


def test_small_sets_are_read_whole(fitted):
    batch = Gaussians.prior(5, 2, 40, size=PILOT, seed=9).batch(range(5))
    table = fitted.embed(batch)
    expected = covariance(fitted.network.embedder, batch)
    np.testing.assert_allclose(table.cov, expected.cov, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(table.z, expected.z, rtol=1e-4, atol=1e-5)
    assert np.isinf(table.df).all()
    np.testing.assert_allclose(
        table.standard_errors, expected.standard_errors, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.slow
def test_a_pilot_predicts_the_covariance_of_the_whole(fitted, equal):
    rng = np.random.default_rng(3)
    x = [rng.normal(size=(8 * PILOT, 2)) for _ in range(30)]
    w = None if equal else [np.exp(0.5 * a[:, 0]) for a in x]  # atoms far out are heavy
    batch = SetBatch.from_list(x, w)
    traces = np.trace(fitted.embed(batch).cov, axis1=1, axis2=2)
    whole = np.trace(covariance(fitted.network.embedder, batch).cov, axis1=1, axis2=2)
    # each ratio is known to (kappa / PILOT)^1/2 with kappa below 16: 1/4, and 30 of them to 1/22
    assert traces.mean() / whole.mean() == pytest.approx(1, abs=3 * (16 / PILOT / 30) ** 0.5)
    assert traces.std() < whole.mean() / 2


def test_the_order_of_sets_and_their_neighbours_change_nothing_that_matters(fitted):
    batch = weighted([150, 40, 80, 200])
    whole = fitted.embed(batch)
    for b in range(4):
        alone = fitted.embed(batch[b])
        np.testing.assert_allclose(alone.cov[0], whole.cov[b], rtol=1e-3, atol=1e-6)


def test_one_atom_has_no_error(fitted):
    table = fitted.embed([[[0.0, 1.0]], np.random.default_rng(0).normal(size=(120, 2)).tolist()])
    assert np.isnan(table.cov[0]).all()
    assert np.isnan(table.df[0])
    assert np.isnan(table.p_unusual[0])
    assert np.isfinite(table.cov[1]).all()
    assert np.isfinite(fitted.distances(table)).all()  # noise that is not known stays


def test_few_atoms_are_warned_of(fitted, caplog):
    with caplog.at_level(logging.WARNING):
        fitted.embed(weighted([150, 40]))
    assert "1 of 2 sets have fewer than 100 effective atoms" in caplog.text
    assert "single" not in caplog.text
    caplog.clear()
    fitted.embed(weighted([150, 40, 1]))
    assert "1 of 3 sets have fewer than 100 effective atoms" in caplog.text
    assert "1 set has a single atom and no error bar" in caplog.text
    caplog.clear()
    fitted.embed(weighted([1, 1]))
    assert [r.getMessage() for r in caplog.records] == [
        "2 sets have a single atom and no error bar."
    ]
    caplog.clear()
    fitted.embed(weighted([150, 40]), covariance=False)
    fitted.embed(weighted([180]))
    assert not caplog.records


def test_without_covariances_nothing_is_said_of_errors(fitted):
    table = fitted.embed(weighted([30, 40]), covariance=False)
    assert table.cov is None
    assert table.p_unusual is None
    assert table.select([1]).cov is None
    for ask in (lambda: table.standard_errors, lambda: fitted.distance_intervals(table)):
        with pytest.raises(ValueError, match="covariance=True"):
            ask()


def test_rows_keep_their_errors(fitted):
    table = fitted.embed(weighted([130, 140, 150]))
    part = table.select([2, 0])
    assert (part.cov == table.cov[[2, 0]]).all()
    assert (part.df == table.df[[2, 0]]).all()
    assert (part.p_unusual == table.p_unusual[[2, 0]]).all()
    assert (part.trained == table.trained[[2, 0]]).all()


def test_sets_of_the_training_are_marked(fitted, tmp_path):
    sets = Gaussians.prior(60, 2, 40, size=300, seed=1)  # as the fixture's
    assert fitted.embed(sets).trained.all()
    batch = SetBatch.concat([sets.batch([3]), weighted([150]), sets.batch([5])])
    table = fitted.embed(batch)
    assert table.trained.tolist() == [True, False, True]
    assert table.trained.dtype == bool
    loaded = de.GDE.load(fitted.save(tmp_path / "model"))
    assert loaded.embed(batch).trained.tolist() == [True, False, True]
    assert fitted.embed(batch, covariance=False).trained is None


def test_a_table_is_shown_in_a_line(fitted):
    table = fitted.embed(weighted([130, 140, 150]))
    assert repr(table) == "Embeddings(3 sets, L = 6, with covariances)"
    named = de.Embeddings(table.z, table.ids, table.sizes, table.effective_sizes, {"a": table.ids})
    assert repr(named) == "Embeddings(3 sets, L = 6, metadata a)"


def test_a_table_follows_names_but_for_another_order(fitted):
    table = fitted.embed(weighted([130, 140, 150]))
    assert table.follows(["0", "1", "2"])
    assert not table.follows(["0", "2", "1"])
    assert table.follows(["a", "b", "c"])
    assert table.follows(["0", "1"])


def test_columns_are_matched_by_name(fitted):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2)).astype(np.float32)
    labels = np.repeat([f"s{i}" for i in range(6)], 150)

    def read(columns):
        import pandas as pd

        frame = pd.DataFrame(x, columns=["a", "b"])[columns]
        return de.read(frame.assign(set=labels), by="set", columns=columns)

    model = de.GDE(latent=4).fit(read(["a", "b"]), **QUICK)
    np.testing.assert_allclose(
        model.embed(read(["b", "a"])).cov, model.embed(read(["a", "b"])).cov, rtol=1e-4, atol=1e-7
    )


def test_intervals_hold_the_distance(fitted):
    table = fitted.embed(Gaussians.prior(6, 2, 40, size=300, seed=5))
    latent = fitted.distance_intervals(table, calibrated=False)
    denoised = fitted.distances(table, calibrated=False, denoise="unbiased")[np.triu_indices(6, 1)]
    assert (latent.low <= denoised + 1e-6).all()
    assert (denoised <= latent.high).all()
    w2 = fitted.distance_intervals(table)
    assert w2.ground == "model"
    assert (
        w2.high - w2.low > fitted.calibration(latent.high) - fitted.calibration(latent.low)
    ).all()
    part = fitted.distance_intervals(table, [[1, 0], [4, 5]], calibrated=False)
    np.testing.assert_allclose(part.low, latent.low[[0, 14]])
    wide = fitted.distance_intervals(table, level=0.99, calibrated=False)
    assert (wide.high > latent.high).all()


def test_intervals_without_a_calibration_are_refused():
    small = [np.random.default_rng(i).normal(i, 1, (10, 2)) for i in range(5)]
    model = de.GDE(latent=4).fit(small, **QUICK)
    table = model.embed(small)
    with pytest.raises(ValueError, match="calibrated=False"):
        model.distance_intervals(table)
    assert np.isfinite(model.distance_intervals(table, calibrated=False).high).all()


def test_a_median_is_answered_by_a_jackknife(caplog):
    sets = Gaussians.prior(30, 2, 40, size=200, seed=1)
    model = de.GDE({"name": "deepsets", "pooling": "median", "width": 8}, latent=4).fit(
        sets, **QUICK
    )
    table = model.embed(Gaussians.prior(3, 2, 40, size=200, seed=2))
    assert table.df == pytest.approx(19, rel=0.01)  # 20 blocks
    assert (np.linalg.eigvalsh(table.cov) > -1e-6).all()
    with caplog.at_level(logging.WARNING):
        model.embed(weighted([12, 12, 12]))
    assert [r.getMessage() for r in caplog.records if "outside" not in r.getMessage()] == [
        "3 of 3 sets have too few atoms for an error bar."
    ]


# -- the population ------------------------------------------------------------------------------


def test_sets_of_another_family_are_flagged(fitted):
    usual = fitted.embed(Gaussians.prior(40, 2, 40, size=300, seed=7)).p_unusual
    far = Gaussians(np.full((3, 2), 60.0), np.tile(np.eye(2), (3, 1, 1)), size=300)
    assert (fitted.embed(far).p_unusual < 0.05).all()
    # at most 2 alpha is proved: 4 of 40 expected, and 11 have probability below 0.001
    assert (usual < 0.05).sum() <= 10


def test_noise_makes_no_set_unusual(fitted):
    family = Gaussians.prior(60, 2, 40, size=300, seed=8)
    batch = family.batch(range(60), 12, torch.Generator().manual_seed(0))
    assert (fitted.embed(batch).p_unusual < 0.05).sum() <= 12


def test_a_population_is_saved_with_the_model(fitted, tmp_path):
    other = de.GDE.load(fitted.save(tmp_path / "model"))
    sets = Gaussians.prior(4, 2, 40, size=300, seed=5)
    a, b = fitted.embed(sets), other.embed(sets)
    assert (a.p_unusual == b.p_unusual).all()
    assert (a.cov == b.cov).all()
    assert other.calibration == fitted.calibration
    drawn = other.population.sample(5, 0)
    assert other.sample(drawn, 3).shape == (5, 3, 2)


def test_too_few_sets_are_no_population(tmp_path):
    sets = [np.random.default_rng(i).normal(i, 1, (60, 2)) for i in range(8)]
    model = de.GDE(latent=4).fit(sets, **QUICK)
    assert model.population is None
    assert model.embed(sets).p_unusual is None
    assert de.GDE.load(model.save(tmp_path / "model")).population is None


def test_a_large_set_is_read_in_part(fitted, monkeypatch):
    monkeypatch.setattr(fitted, "inference", InferenceSettings(stream_from=500))
    sets = Sets.from_batch(weighted([3000, 150]))
    table = fitted.embed(sets)
    monkeypatch.undo()
    expected = fitted.embed(sets)
    np.testing.assert_allclose(table.z, expected.z, atol=1e-4)
    traces = [np.trace(t.cov, axis1=1, axis2=2) for t in (table, expected)]
    # two pilots of 256 atoms, with kappa below 16: 1/4 each
    assert traces[0][0] / traces[1][0] == pytest.approx(1, abs=3 * (2 * 16 / PILOT) ** 0.5)


def test_weighted_sets_are_read_a_few_at_a_time(fitted, monkeypatch):
    sets, read = Sets.from_batch(weighted([900] * 12)), []
    batch = Sets.batch

    def counted(self, indices, *arguments, **named):
        result = batch(self, indices, *arguments, **named)
        read.append(len(result.x))
        return result

    expected = fitted.embed(sets)
    monkeypatch.setattr(fitted, "inference", InferenceSettings(covariance_pass=2000))
    monkeypatch.setattr(Sets, "batch", counted)
    np.testing.assert_allclose(fitted.embed(sets).z, expected.z, atol=1e-5)
    *_, fingerprinted = read  # in pieces of their own, of any size
    assert fingerprinted == 12 * 900
    assert max(read[-7:-1]) <= 2 * 2000  # and not the 10,800 of a group counted by its pilots


def test_a_single_set_of_one_atom_is_embedded(fitted):
    table = fitted.embed([[[0.5, 0.5]]])
    assert np.isfinite(table.z).all()
    assert np.isnan(table.p_unusual).all()
