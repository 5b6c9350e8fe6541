"""Screens: what is held out, descriptors of perturbations, and forecasts of a linear law."""

from dataclasses import replace

import numpy as np
import pytest
from app_folders import screen

from distembed.apps.perturbseq.data import CONTROL, Screen, hold_out, read_screen, target
from distembed.apps.perturbseq.judge import _squared_pearson
from distembed.apps.perturbseq.predict import forecast_change, means
from distembed.apps.regression import regress
from distembed.apps.run import load

SETTINGS = load("perturbseq").scales["tiny"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    pytest.importorskip("anndata")
    return read_screen(screen(tmp_path_factory.mktemp("screen")), SETTINGS)


def test_with_gene_vectors_whole_genes_are_held_out_of_all_lines(published):
    train, test = hold_out(published, SETTINGS, 0)
    name = published.sets.meta["target"]
    assert not set(name[train]) & set(name[test])
    assert CONTROL in name[train]
    assert len(set(name[test])) == 4
    assert len(test) == 8


def test_without_vectors_a_gene_is_held_out_of_one_context(published):
    plain = replace(published, vectors=None)
    train, test = hold_out(plain, SETTINGS, 0)
    name, context = plain.sets.meta["target"], plain.sets.meta["context"]
    assert set(name[test]) < set(name[train])
    assert len(test) == len(set(name[test])) == 4
    assert not set(zip(name[test], context[test], strict=True)) & set(
        zip(name[train], context[train], strict=True)
    )
    assert (plain.descriptors(train).sum(1) == 1).all()


def test_atoms_are_log_counts_at_one_depth(published):
    x = np.expm1(published.sets.batch([0, 5]).x.numpy())
    np.testing.assert_allclose(x.sum(1), x.sum(1)[0], rtol=1e-5)


def test_the_control_is_that_of_the_context(published):
    meta = published.sets.meta
    assert (meta["target"][published.control] == CONTROL).all()
    assert (meta["context"][published.control] == meta["context"]).all()


@pytest.mark.parametrize("vectors", [True, False])
def test_a_change_that_is_linear_in_the_descriptors_is_forecast(tmp_path, vectors):
    own = read_screen(screen(tmp_path, genes=40, cells=5, width=8), SETTINGS)
    own = own if vectors else Screen(own.sets, None)
    train, test = hold_out(own, replace(SETTINGS, test=0.2), 1)
    rng = np.random.default_rng(0)
    x = own.descriptors(train)
    # one component of vectors, or an effect of each perturbation
    slopes = rng.normal(size=(x.shape[1], 3)) * (np.arange(x.shape[1]) < 1)[:, None]
    slopes = slopes if vectors else rng.normal(size=(x.shape[1], 3))
    base = rng.normal(size=(len(own.sets), 3))
    values = base[own.control] + x @ slopes - x[own.control] @ slopes
    real = values[test] - values[own.control[test]]
    forecast = forecast_change(own, values, train, test)
    # 32 genes hardly determine 27 slopes, so that the penalty keeps some error
    limit = 0.2 if vectors else 0.05
    assert np.square(forecast - real).sum() < limit * np.square(real).sum()


def test_held_out_sets_are_not_used(published):
    train, test = hold_out(published, SETTINGS, 0)
    values = means(published)
    first = forecast_change(published, values, train, test)
    values[test] = np.nan
    np.testing.assert_array_equal(forecast_change(published, values, train, test), first)


def test_the_penalty_of_new_genes_is_chosen_on_genes(published):
    train, test = hold_out(published, SETTINGS, 0)
    target = published.sets.meta["target"]
    own = train[target[train] != CONTROL]
    rng = np.random.default_rng(0)
    # an effect that the contexts of a gene share, and descriptors do not tell
    effect = dict(zip(np.unique(target), rng.normal(size=(9, 5)), strict=True))
    values = np.array([effect[name] * (name != CONTROL) for name in target])
    x = published.descriptors(train)
    forecast = forecast_change(published, values, train, test)
    by_gene, by_set = (
        regress(x[own], values[own], x[test], groups=g) for g in (target[own], None)
    )
    np.testing.assert_array_equal(forecast, by_gene)
    assert np.abs(by_set - by_gene).max() > 0.1


def test_the_published_r2_is_the_mean_of_squared_correlations():
    real = np.array([[1.0, 2.0, 3.0], [1.0, -1.0, 0.0]])
    assert _squared_pearson(5 - 2 * real, real) == pytest.approx(1)
    assert _squared_pearson(np.ones_like(real), real) == 0
    half = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, -2.0]])
    assert _squared_pearson(half, real) == pytest.approx(0.5)


def test_the_label_of_the_bench_is_the_perturbation_in_another_context(tmp_path):
    cohort = target(screen(tmp_path), SETTINGS)
    assert cohort.folds == 2
    assert set(cohort.groups) == {"k562", "rpe1"}
    assert (np.unique(cohort.target, return_counts=True)[1] == 2).all()


def test_what_does_not_fit_is_refused(tmp_path):
    anndata = pytest.importorskip("anndata")
    folder = screen(tmp_path)
    table = anndata.read_h5ad(folder / "replogle.h5ad")
    good = table.copy()
    table.X = table.X + 0.5
    table.write_h5ad(folder / "replogle.h5ad")
    with pytest.raises(ValueError, match="no counts"):
        read_screen(folder, SETTINGS)
    good[good.obs["gene"] != CONTROL].copy().write_h5ad(folder / "replogle.h5ad")
    with pytest.raises(ValueError, match="no cells of the control 'non-targeting'"):
        read_screen(folder, SETTINGS)
    good.obs = good.obs.rename(columns={"cell_type": "celltype"})
    good.write_h5ad(folder / "replogle.h5ad")
    with pytest.raises(ValueError, match="no column 'cell_type'; close names are 'celltype'"):
        read_screen(folder, SETTINGS)
    (folder / "gene_vectors.npz").unlink()
    with pytest.raises(ValueError, match="lacks gene_vectors.npz.*pickle can run code"):
        read_screen(folder, SETTINGS)


def test_vectors_of_other_names_are_refused(tmp_path):
    folder = screen(tmp_path)
    np.savez(folder / "gene_vectors.npz", names=np.array(["X"]), vectors=np.ones((1, 3)))
    with pytest.raises(ValueError, match="names none of the perturbed genes"):
        read_screen(folder, SETTINGS)
    np.savez(folder / "gene_vectors.npz", names=np.array(["X", "Y"]), vectors=np.ones((1, 3)))
    with pytest.raises(ValueError, match="2 names and vectors of shape"):
        read_screen(folder, SETTINGS)
