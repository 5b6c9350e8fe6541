"""A model of sets with missing values: fit, use, storage, and what is refused by name."""

import numpy as np
import pandas as pd
import pytest

import distembed as de
from distembed.data.spaces import Counts, Vectors
from distembed.sets.fingerprint import fingerprints

FEATURES = 4


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    parts, who = [], []
    for s in range(24):
        mix = 0.4 * rng.normal(size=(FEATURES, FEATURES)) + np.eye(FEATURES)
        parts.append(rng.normal(size=(60, FEATURES)) @ mix.T + rng.normal(size=FEATURES))
        who += [f"s{s:02d}"] * 60
    x = np.concatenate(parts)
    complete = pd.DataFrame(x, columns=[f"f{j}" for j in range(FEATURES)]).assign(who=who)
    x = np.where(rng.random(x.shape) < 0.3, np.nan, x)
    x[5] = np.nan
    missing = pd.DataFrame(x, columns=[f"f{j}" for j in range(FEATURES)]).assign(who=who)
    return missing, complete


@pytest.fixture(scope="module")
def sets(table):
    return de.read(table[0], by="who", missing="mask")


@pytest.fixture(scope="module")
def model(sets):
    return de.GDE(latent=12).fit(sets, steps=20, progress=False)


def test_nan_is_refused_unless_it_is_masked(table):
    with pytest.raises(ValueError, match=r"holds nan.*missing='mask'"):
        de.read(table[0], by="who")


def test_the_mask_is_where_values_are_nan(table, sets, caplog):
    again = de.read(table[0], by="who", missing="mask")
    assert "dropped 2 of 1440 atoms" in caplog.text or "of 1440 atoms: none" in caplog.text
    assert again.sizes.sum() < 1440
    batch = sets.batch([3])
    own = table[0][table[0].who == "s03"].drop(columns="who").dropna(how="all").to_numpy()
    assert np.array_equal(batch.observed.numpy(), ~np.isnan(own))
    np.testing.assert_array_equal(batch.filled.numpy(), np.nan_to_num(own).astype(np.float32))


def test_files_of_text_hold_nan_and_blank_cells_are_refused_with_the_fix(table, sets, tmp_path):
    path = tmp_path / "cells.csv"
    table[0].to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"is blank in line 2.*write nan.*missing='mask'"):
        de.read(path, by="who", columns="f*", missing="mask")
    table[0].to_csv(path, index=False, na_rep="nan")
    read = de.read(path, by="who", columns="f*", missing="mask")
    assert np.array_equal(read.batch([0]).observed, sets.batch([0]).observed)


def test_infinite_values_are_refused_with_masks(table):
    bad = table[0].copy()
    bad.loc[7, "f1"] = np.inf
    with pytest.raises(ValueError, match="infinite value is not a sample"):
        de.read(bad, by="who", missing="mask")


def test_kinds_without_masks_are_refused_by_name(tmp_path):
    images = np.zeros((6, 1, 8, 8))
    with pytest.raises(ValueError, match="the atoms are images"):
        de.read(images, by=np.repeat(["a", "b"], 3), missing="mask")
    tokens = {"name": "tokens", "alphabet": "ACGT"}
    with pytest.raises(ValueError, match="the atoms are tokens"):
        de.read([["ACG", "T"], ["CC", "G"]], atoms=tokens, missing="mask")
    with pytest.raises(ValueError, match="it is 'refuse'"):
        de.read([np.zeros((3, 2))], missing="impute")


def test_counts_may_be_missing_and_are_checked():
    x = [np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([[0.0, 5.0], [np.nan, 1.0]])]
    sets = de.read(x, atoms="counts", missing="mask")
    assert sets.atoms == Counts("mask")
    with pytest.raises(ValueError, match="whole numbers"):
        de.read([*x, np.array([[0.5, np.nan], [1.0, 2.0]])], atoms="counts", missing="mask")


def test_collections_of_masked_sets(sets):
    part = sets.select([2, 0])
    assert np.array_equal(part.batch([0]).observed, sets.batch([2]).observed)
    pieces = list(sets.chunks(0, 10))
    observed = np.concatenate(
        [p.observed if p.observed is not None else np.ones((10, 4), bool) for p in pieces]
    )
    assert np.array_equal(observed, sets.batch([0]).observed)
    assert de.Sets.from_batch(sets.batch([0, 1])).atoms == Vectors("mask")


def test_a_missing_value_and_a_zero_have_other_fingerprints(sets):
    batch = sets.batch([0, 1])
    zero = de.Sets.from_batch(type(batch)(batch.filled, batch.w, batch.offsets))
    masked = de.Sets.from_batch(batch)
    assert fingerprints(masked, "salt") != fingerprints(zero, "salt")
    assert fingerprints(masked, "salt") == fingerprints(de.Sets.from_batch(batch), "salt")


def test_a_model_embeds_samples_and_measures_latent_distances(model, sets, table):
    embedded = model.embed(sets)
    assert np.isfinite(embedded.z).all()
    assert np.isfinite(embedded.cov).all()
    latent = model.distances(embedded, calibrated=False)
    assert latent.shape == (24, 24)
    with pytest.raises(ValueError, match="W2 is not defined between atoms with missing"):
        model.distances(embedded)
    x = model.sample(embedded.z[0], 4000, rng=0)
    own = table[1][table[1].who == "s00"].drop(columns="who").to_numpy()
    # the mean of 42 measured values has an error of 0.15 deviations
    assert (np.abs(x.mean(0) - own.mean(0)) < 0.6 * own.std(0)).all()


def test_masked_sets_are_embedded_near_the_complete_ones(model, sets, table):
    """Of the spread of embeddings, and of what the mean of a feature in their place makes."""
    complete = de.read(table[1], by="who")
    mean = table[0].fillna(table[0].drop(columns="who").mean())
    z, whole, imputed = (
        model.embed(s, covariance=False).z for s in (sets, complete, de.read(mean, by="who"))
    )
    change = np.linalg.norm(z - whole, axis=1).mean()
    assert change < 0.6 * np.linalg.norm(imputed - whole, axis=1).mean()


def test_a_model_is_stored_with_its_masks(model, sets, tmp_path):
    stored = de.load(model.save(tmp_path / "model"))
    assert stored.atoms == Vectors("mask")
    z = model.embed(sets, covariance=False).z
    np.testing.assert_array_equal(stored.embed(sets, covariance=False).z, z)


def test_a_list_of_arrays_is_read_as_the_model_was(model, sets, table):
    own = table[0][table[0].who == "s03"].drop(columns="who").to_numpy()
    z = model.embed([own], covariance=False).z[0]
    np.testing.assert_allclose(z, model.embed(sets.select(["s03"]), False).z[0], atol=1e-5)


@pytest.mark.parametrize("name", ["flow", pytest.param("diffusion", marks=pytest.mark.slow)])
def test_a_flow_is_trained_on_measured_features_and_stored(name, sets, table, tmp_path):
    model = de.GDE(latent=12, generator=name).fit(sets, steps=5, progress=False)
    numbers = [v for record in model.history for v in record.values() if isinstance(v, float)]
    assert numbers
    assert np.isfinite(numbers).all()
    stored = de.load(model.save(tmp_path / "model"))
    z = stored.embed(sets, covariance=False).z[0]
    x = stored.sample(z, 500, rng=0)
    np.testing.assert_array_equal(x, model.sample(z, 500, rng=0))
    own = table[1][table[1].who == "s00"].drop(columns="who").to_numpy()
    # as of the Gaussian above: the flow starts from it
    assert (np.abs(x.mean(0) - own.mean(0)) < 0.6 * own.std(0)).all()


def test_features_of_another_order_are_matched(model, sets, table):
    swapped = de.read(table[0], by="who", columns=["f2", "f0", "f3", "f1"], missing="mask")
    np.testing.assert_allclose(
        model.embed(swapped, False).z, model.embed(sets, False).z, atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "vae"}, "generator VAE is not defined"),
        ({"generator": {"name": "flow", "scale": "scores"}}, "reads complete atoms"),
        ({"generator": {"name": "explicit", "likelihood": "mixture"}}, "generator Explicit"),
        ({"encoder": "induced"}, "encoder .* is not defined"),
        ({"encoder": {"name": "residual", "start": "moments"}}, "encoder Residual"),
        ({"transform": [{"name": "pca", "components": 2}]}, "transform PCA mixes"),
        ({"transform": [{"name": "log1p", "scale": 10.0}]}, "divides atoms by their sums"),
    ],
    ids=str,
)
def test_parts_without_masks_are_refused_by_name(sets, options, message):
    with pytest.raises(ValueError, match=message):
        de.GDE(**options).fit(sets, steps=1, progress=False)


def test_what_reads_complete_atoms_is_refused(model, sets, table):
    for use in (
        lambda: model.exact_top_k(sets, k=1),
        lambda: model.log_prob(sets),
        lambda: model.transport(
            table[0].drop(columns="who")[:9].to_numpy(), *model.embed(sets).z[:2]
        ),
    ):
        with pytest.raises((ValueError, TypeError), match="missing"):
            use()
    with pytest.raises(ValueError, match="missing"):
        de.evaluate(de.GDE(latent=8).fit(sets.select(range(12)), steps=2, progress=False),
                    sets.select(range(12, 24)))  # fmt: skip


def test_a_model_of_complete_atoms_takes_no_masks(sets, table):
    complete = de.read(table[1], by="who").select(range(8))
    model = de.GDE(latent=8).fit(complete, steps=2, progress=False)
    for given in (sets, sets.batch([0])):
        with pytest.raises(ValueError, match="fitted to complete atoms"):
            model.embed(given)


def test_a_feature_that_was_never_measured_is_refused_by_name(table):
    empty = table[0].assign(f1=np.nan)
    sets = de.read(empty, by="who", columns="f*", missing="mask")
    with pytest.raises(ValueError, match=r"1 features have no value.*f1"):
        de.GDE(latent=8).fit(sets, steps=1, progress=False)


def test_pairs_that_a_set_never_has_are_said(table, caplog):
    half = table[0].copy()
    half.loc[half.who < "s12", "f3"] = np.nan
    caplog.set_level("INFO")
    sets = de.read(half, by="who", missing="mask")
    de.GDE(latent=8).fit(sets, steps=1, progress=False)
    assert "have no atom with both" in caplog.text
    assert "distances stay latent" in caplog.text
