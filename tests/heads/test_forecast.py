"""Forecasts are those of a ridge regression of the change, and their errors those of new pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.heads.forecasts import forecast
from distembed.model.embeddings import Embeddings
from distembed.sets.pairs import Pairs


def table(z, **meta):
    count = len(z)
    ids, ones = np.arange(count).astype(str), np.ones(count)
    columns = {name: np.array(values) for name, values in meta.items()}
    return Embeddings(np.asarray(z, np.float32), ids, ones.astype(int), ones, columns)


def moved(n, latent=3, noise=0.0, seed=0):
    """Pairs of which the second is an affine map of the first, with noise."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, latent)) * rng.uniform(0.5, 2, latent)
    slopes, change = rng.normal(size=(latent, latent)), rng.normal(size=latent)
    after = z @ slopes.T + change + noise * rng.normal(size=(n, latent))
    rows = Pairs(np.arange(n), np.arange(n, 2 * n), np.arange(n).astype(str))
    return np.concatenate([z, after]).astype(np.float32), rows, (slopes, change)


@given(st.integers(0, 50), st.integers(12, 40))
@settings(deadline=None, max_examples=25)
def test_without_penalty_it_is_least_squares(seed, n):
    z, pairs, _ = moved(n, noise=0.5, seed=seed)
    fit = forecast(table(z), pairs, penalties=[0.0])
    x = np.c_[z[:n], np.ones(n)].astype(float)
    solved = np.linalg.lstsq(x, z[n:].astype(float), rcond=None)[0]
    assert np.allclose(fit.predict(table(z[:n])).z, x @ solved, atol=1e-4)


@given(st.integers(0, 50), st.floats(0.01, 10))
@settings(deadline=None, max_examples=25)
def test_the_ridge_solves_its_equations(seed, penalty):
    n = 30
    z, pairs, _ = moved(n, noise=0.5, seed=seed)
    fit = forecast(table(z), pairs, penalties=[penalty])
    x = z[:n].astype(float) - z[:n].astype(float).mean(0)
    change = z[n:].astype(float) - z[:n]
    unit = np.sqrt(np.square(x.std(0)).mean())
    gram = x.T @ x + n * penalty * unit**2 * np.eye(3)
    slopes = np.linalg.solve(gram, x.T @ (change - change.mean(0))).T
    assert np.allclose(fit.slopes, slopes, atol=1e-5)


def test_an_infinite_penalty_is_the_mean_change():
    z, pairs, _ = moved(40, noise=0.5)
    fit = forecast(table(z), pairs, penalties=[np.inf])
    mean = (z[40:].astype(float) - z[:40]).mean(0)
    assert np.allclose(fit.predict(table(z[:40])).z, z[:40] + mean, atol=1e-5)
    assert np.allclose(fit.errors["forecast"], fit.errors["mean_change"])
    change = np.square(z[40:].astype(float) - z[:40]).sum(1)
    assert np.allclose(fit.errors["persistence"], change)


@given(st.integers(0, 50))
@settings(deadline=None, max_examples=15)
def test_origin_unit_and_rotation_of_z_do_not_matter(seed):
    z, pairs, _ = moved(30, noise=0.3, seed=seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    other = (2.5 * z.astype(float) @ turn + 7).astype(np.float32)
    one, two = (forecast(table(x), pairs) for x in (z, other))
    assert one.penalty == two.penalty
    expected = 2.5 * one.predict(table(z[:5])).z @ turn + 7
    assert np.allclose(two.predict(table(other[:5])).z, expected, atol=1e-3)
    assert np.allclose(two.cov, 2.5**2 * turn.T @ one.cov @ turn, atol=1e-3)


def test_outer_folds_do_not_see_their_groups():
    """A group whose change is its own cannot be forecast from the others."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 8)
    z = np.eye(10)[group] + 0.01 * rng.normal(size=(80, 10))
    after = z + 3 * rng.normal(size=(10, 10))[group]
    rows = np.concatenate([z, after])
    index = np.arange(80)
    grouped = forecast(table(rows), Pairs(index, index + 80, group.astype(str)))
    alone = forecast(table(rows), Pairs(index, index + 80, index.astype(str)))
    assert alone.scores["forecast"].value < 0.1 * alone.scores["mean_change"].value
    assert grouped.scores["forecast"].value > 0.9 * grouped.scores["mean_change"].value


def test_errors_are_those_of_new_pairs():
    z, pairs, (slopes, change) = moved(400, noise=0.7, seed=3)
    fit = forecast(table(z), pairs)
    # the mean of 400 squares has a relative deviation of sqrt(2 / 400) = 0.07; plus 4 / 400 fitted
    assert np.allclose(np.diag(fit.cov), 0.7**2, rtol=5 * 0.07 + 0.02)
    assert fit.scores["forecast"].value < min(
        fit.scores[name].low for name in ("persistence", "mean_change")
    )
    new = np.random.default_rng(9).normal(size=(2000, 3)).astype(np.float32)
    after = new @ slopes.T + change + 0.7 * np.random.default_rng(8).normal(size=(2000, 3))
    predicted = fit.predict(table(new))
    q = np.einsum("si,ij,sj->s", after - predicted.z, np.linalg.inv(fit.cov), after - predicted.z)
    assert q.mean() == pytest.approx(3, rel=5 * (0.07 / np.sqrt(3) + np.sqrt(2 / 6000)) + 0.04)
    assert np.allclose(predicted.cov[5], fit.cov, atol=1e-6)
    draws = fit.draw(predicted.select([0]), 20_000, rng=0)[:, 0]
    spread = np.cov(draws.T)
    bound = 5 * np.sqrt(2 / 20_000) * np.diag(fit.cov).max()
    assert np.allclose(spread, fit.cov, atol=bound)
    assert np.allclose(draws.mean(0), predicted.z[0], atol=5 * np.sqrt(0.7 / 20_000) + 1e-3)


def test_covariates_are_used_and_named():
    rng = np.random.default_rng(1)
    n = 60
    drug = np.array(["a", "b", "c"])[np.arange(n) % 3]
    dose = rng.uniform(0, 1, n)
    z = rng.normal(size=(n, 2))
    effect = {"a": [2.0, 0], "b": [0, 3.0], "c": [0, 0]}
    after = z + np.array([effect[d] for d in drug]) + np.outer(dose, [1, -1])
    meta = {"drug": np.concatenate([["none"] * n, drug]), "dose": np.concatenate([0 * dose, dose])}
    sets = table(np.concatenate([z, after]), **meta)
    pairs = Pairs(np.arange(n), np.arange(n, 2 * n), np.arange(n).astype(str))
    plain = forecast(sets, pairs)
    known = forecast(sets, pairs, ["drug", "dose"])
    assert known.scores["forecast"].value < 0.01 * plain.scores["forecast"].value
    new = known.predict(table([[0.0, 0.0]]), {"drug": ["b"], "dose": [0.5]})
    assert np.allclose(new.z, [[0.5, 2.5]], atol=0.05)
    with pytest.raises(ValueError, match="has the covariates drug, dose, and given are none"):
        known.predict(table([[0.0, 0.0]]))
    with pytest.raises(ValueError, match="The covariate 'drug' is 'd', and the forecast was"):
        known.predict(table([[0.0, 0.0]]), {"drug": ["d"], "dose": [0.5]})
    with pytest.raises(ValueError, match="no metadata column 'day'"):
        forecast(sets, pairs, ["day"])


def test_what_cannot_be_fitted_is_refused():
    z, pairs, _ = moved(8)
    with pytest.raises(ValueError, match="folds = 5 for 4 groups of pairs"):
        forecast(table(z), Pairs(pairs.before, pairs.after, np.array(list("aabbccdd"))))
    with pytest.raises(ValueError, match="penalties = "):
        forecast(table(z), pairs, penalties=[-1.0])
    with pytest.raises(ValueError, match="have dimension 2, and the forecast was fitted to 3"):
        forecast(table(z), pairs, folds=2).predict(table(z[:, :2]))
    z[3, 1] = np.nan
    with pytest.raises(ValueError, match="An embedding or a covariate of a pair is missing"):
        forecast(table(z), pairs)
