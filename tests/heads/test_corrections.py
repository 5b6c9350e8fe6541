"""Errors in variables: laws at V = 0, closed forms, and what noise does to a head."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from distembed.heads.corrections import CORRECTIONS, Correction
from distembed.heads.estimators import SetClassifier, SetRegressor
from distembed.heads.linear import fit_head
from distembed.heads.rows import Rows
from distembed.model.embeddings import Embeddings

SEEDS = st.integers(0, 2**32 - 1)


def rows_of(rng, count=30, latent=3, noise=0.3):
    z = rng.normal(size=(count, latent)) * [1.0, 2.0, 0.5] + 5
    sizes = rng.integers(2, 50, count).astype(float)
    roots = rng.normal(size=(count, latent, latent))
    cov = noise * roots @ roots.transpose(0, 2, 1) / sizes[:, None, None]
    return Rows(z, cov, sizes, np.zeros(count, bool))


def table_of(rows):
    ids = np.arange(len(rows)).astype(str)
    sizes = rows.sizes.astype(int)
    return Embeddings(rows.z.astype(np.float32), ids, sizes, rows.sizes, cov=rows.cov)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("name", CORRECTIONS)
@given(seed=SEEDS)
def test_without_noise_every_correction_is_the_plain_head(name, classes, seed):
    rng = np.random.default_rng(seed)
    rows = rows_of(rng, noise=0.0)
    y = rows.z[:, 0] + rng.normal(size=len(rows))
    y = y > np.median(y) if classes else y
    plain = fit_head(rows, y, Correction.fit(rows, "none"), 0.1, "class" if classes else "number")
    other = fit_head(rows, y, Correction.fit(rows, name), 0.1, "class" if classes else "number")
    # logistic regression stops at a gradient of 1e-4
    np.testing.assert_allclose(
        plain.predict(rows), other.predict(rows), atol=1e-4 if classes else 1e-9
    )


@given(SEEDS, st.sampled_from([1e-3, 0.1, 10.0]), st.sampled_from(["common", "column"]))
def test_the_marginal_ridge_is_the_closed_form(seed, penalty, unit):
    rng = np.random.default_rng(seed)
    rows = rows_of(rng)
    y = rng.normal(size=len(rows))
    head = fit_head(rows, y, Correction.fit(rows, "marginal", unit), penalty, "number")
    mean, scale = rows.z.mean(0), rows.z.std(0)
    if unit == "common":
        scale = np.full(3, np.sqrt(np.square(scale).mean()))
    x = (rows.z - mean) / scale
    gram = x.T @ x + (rows.cov / np.outer(scale, scale)).sum(0) + len(y) * penalty * np.eye(3)
    slopes = np.linalg.solve(gram, x.T @ (y - y.mean()))
    np.testing.assert_allclose(head.predict(rows), x @ slopes + y.mean(), atol=1e-9)
    np.testing.assert_allclose(head.slopes, slopes / scale, atol=1e-9)


@given(SEEDS)
def test_the_marginal_loss_is_the_mean_over_the_noise(seed):
    # a noise of two points +-r v has the covariance r^2 v v', and the mean over both is exact
    rng = np.random.default_rng(seed)
    z, r, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2)), rng.normal(size=20)
    cov = r[:, :, None] * r[:, None, :]
    rows = Rows(z, cov, np.ones(20), np.zeros(20, bool))
    head = fit_head(rows, y, Correction.fit(rows, "marginal", "column"), 0.1, "number")
    mean, scale = z.mean(0), z.std(0)

    def objective(b):
        losses = [np.square(y - b[2] - ((z + s * r - mean) / scale) @ b[:2]) for s in (-1, 1)]
        return np.mean(losses, 0).sum() + 20 * 0.1 * np.square(b[:2]).sum()

    best = minimize(objective, np.zeros(3), tol=1e-12).x
    np.testing.assert_allclose(head.slopes * scale, best[:2], atol=1e-5)


@given(SEEDS)
def test_the_weighted_ridge_is_the_closed_form(seed):
    rng = np.random.default_rng(seed)
    rows = rows_of(rng)
    y, correction = rng.normal(size=len(rows)), Correction.fit(rows, "weights")
    head = fit_head(rows, y, correction, 0.1, "number")
    w, x = correction.weights, correction.inputs(rows)
    x, y = x - np.average(x, axis=0, weights=w), y - np.average(y, weights=w)
    slopes = np.linalg.solve((x.T * w) @ x + 0.1 * len(y) * np.eye(3), (x.T * w) @ y)
    np.testing.assert_allclose(head.slopes * correction.scale, slopes, atol=1e-9)


@given(SEEDS)
def test_weights_are_reliabilities(seed):
    rows = rows_of(np.random.default_rng(seed))
    weights = Correction.fit(rows, "weights").weights
    noise = np.trace(rows.cov, axis1=1, axis2=2)
    assert ((weights > 0) & (weights < 1)).all()
    assert (np.argsort(weights) == np.argsort(-noise)).all()
    # w / (1 - w) = tr S / tr V
    np.testing.assert_allclose(np.ptp(weights / (1 - weights) * noise), 0, atol=1e-9)


def test_calibrated_inputs_are_posterior_means():
    rng = np.random.default_rng(0)
    rows = rows_of(rng, latent=3)
    one = Rows(rows.z[:, :1], rows.cov[:, :1, :1], rows.sizes, rows.trained)
    correction = Correction.fit(one, "calibrated")
    shared = np.mean(one.cov[:, 0, 0] * one.sizes)
    variance = np.var(one.z, ddof=1) - shared * np.mean(1 / one.sizes)
    # inference.prior: one coordinate, L + 2 = 3 atoms of the mean noise in the noise of each set
    noise = (one.sizes * one.cov[:, 0, 0] + 3 * shared / one.sizes) / (one.sizes + 3)
    mean = one.z.mean() + variance / (variance + noise) * (one.z[:, 0] - one.z.mean())
    x = correction.inputs(one)[:, 0] * correction.scale + correction.centre
    np.testing.assert_allclose(x, mean, atol=1e-9)


@pytest.mark.parametrize("name", CORRECTIONS)
@given(seed=SEEDS)
def test_order_of_sets_does_not_matter(name, seed):
    rng = np.random.default_rng(seed)
    rows = rows_of(rng)
    y, order = rng.normal(size=len(rows)), rng.permutation(len(rows))
    one = fit_head(rows, y, Correction.fit(rows, name), 0.1, "number")
    mixed = rows.select(order)
    two = fit_head(mixed, y[order], Correction.fit(mixed, name), 0.1, "number")
    np.testing.assert_allclose(one.predict(rows), two.predict(rows), atol=1e-8)
    # the prediction of a set does not depend on the others that are predicted with it
    np.testing.assert_allclose(one.predict(rows)[:4], one.predict(rows.select(np.arange(4))))


def test_a_set_without_covariance_has_that_of_a_typical_one():
    rows = rows_of(np.random.default_rng(0))
    cov = rows.cov.copy()
    cov[3] = np.nan
    gap = Rows(rows.z, cov, rows.sizes, rows.trained)
    shared = np.nanmean(cov * rows.sizes[:, None, None], axis=0)
    for name in CORRECTIONS:
        correction = Correction.fit(gap, name)
        np.testing.assert_allclose(correction.covariances(gap)[3], shared / rows.sizes[3])
        assert np.isfinite(correction.inputs(gap)).all()


def test_sets_of_single_atoms_have_no_correction():
    rows = rows_of(np.random.default_rng(0))
    none = Rows(rows.z, np.full_like(rows.cov, np.nan), rows.sizes, rows.trained)
    with pytest.raises(ValueError, match="None of the 30 sets has a covariance"):
        Correction.fit(none, "weights")


def test_an_unknown_correction():
    rows = rows_of(np.random.default_rng(0))
    with pytest.raises(ValueError, match="correction is 'shrink'"):
        SetRegressor(correction="shrink").fit(table_of(rows), rows.z[:, 0])


@pytest.mark.parametrize("penalties", [(), (0.0, 1.0)])
def test_penalties_are_positive(penalties):
    rows = rows_of(np.random.default_rng(0))
    with pytest.raises(ValueError, match="positive numbers"):
        SetClassifier(penalties=penalties).fit(table_of(rows), rows.z[:, 0] > 5)


def noisy_cohort(rng, count):
    """A target that is linear in zeta, with the noise of 1 to 400 atoms in z."""
    sizes = np.exp(rng.uniform(np.log(1), np.log(400), count))
    zeta = rng.normal(size=(count, 1))
    cov = 4.0 / sizes[:, None, None]
    z = zeta + np.sqrt(cov[:, 0]) * rng.normal(size=(count, 1))
    rows = Rows(z, cov, sizes, np.zeros(count, bool))
    return table_of(rows), zeta[:, 0]


def test_calibration_reaches_the_bayes_risk_and_plain_ridge_does_not():
    # E(y | z) = z / (1 + v) has the risk E v / (1 + v); a slope b, the same for all sets, has
    # (1 - b)^2 + b^2 E v, at best E v / (1 + E v)
    rng = np.random.default_rng(0)
    table, y = noisy_cohort(rng, 4000)
    new, target = noisy_cohort(rng, 4000)
    v = new.cov[:, 0, 0]
    bayes, best = np.mean(v / (1 + v)), v.mean() / (1 + v.mean())
    risks = {}
    for name in ("none", "calibrated"):
        head = SetRegressor(correction=name, penalties=(1e-6,)).fit(table, y)
        losses = np.square(head.predict(new) - target)
        risks[name] = losses.mean(), losses.std() / np.sqrt(len(losses))
    assert best - bayes > 10 * risks["none"][1]
    assert abs(risks["calibrated"][0] - bayes) < 5 * risks["calibrated"][1]
    assert abs(risks["none"][0] - best) < 5 * risks["none"][1]
    assert SetRegressor(penalties=(1e-6,)).fit(table, y).choice_.correction == "calibrated"
