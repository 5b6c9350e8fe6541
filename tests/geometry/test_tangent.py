"""Tangent PCA: exact cases, laws, and the noise that it leaves out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.data.synthetic.gaussians import Gaussians
from distembed.geometry.tangent import tangent_pca

seeds = st.integers(0, 2**32 - 1)


def cohort(seed, sets=12, latent=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(sets, latent)) * [5.0, 2.0, 1.0, 0.3] + 3


@given(seeds)
def test_all_axes_rebuild_the_embeddings(seed):
    z = cohort(seed)
    pca = tangent_pca(z, components=4)
    np.testing.assert_allclose(pca.mean + pca.scores @ pca.axes, z, atol=1e-9)
    np.testing.assert_allclose(pca.axes @ pca.axes.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(pca.variances, pca.scores.var(0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(pca.shares.sum(), 1, rtol=1e-12)


@given(seeds)
def test_order_moves_nothing_and_a_shift_moves_the_mean_alone(seed):
    z = cohort(seed)
    rng = np.random.default_rng(seed)
    order, shift = rng.permutation(len(z)), rng.normal(size=4)
    one, other = tangent_pca(z), tangent_pca(z[order] + shift)
    np.testing.assert_allclose(other.mean, one.mean + shift, atol=1e-9)
    np.testing.assert_allclose(abs(other.axes), abs(one.axes), atol=1e-9)
    np.testing.assert_allclose(other.variances, one.variances, rtol=1e-9)
    np.testing.assert_allclose(abs(other.scores), abs(one.scores[order]), atol=1e-6)


@given(seeds)
def test_a_turn_of_the_space_turns_the_axes(seed):
    z = cohort(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))[0]
    one, other = tangent_pca(z), tangent_pca(z @ turn.T)
    np.testing.assert_allclose(other.variances, one.variances, rtol=1e-9)
    np.testing.assert_allclose(abs((other.axes @ turn) @ one.axes.T), np.eye(2), atol=1e-6)


def test_whole_weights_are_copies_up_to_the_divisor():
    z, counts = cohort(1, 5), np.array([1, 2, 1, 3, 1])
    weighted = tangent_pca(z, weights=counts)
    copies = tangent_pca(np.repeat(z, counts, 0))
    np.testing.assert_allclose(weighted.mean, copies.mean, atol=1e-6)
    np.testing.assert_allclose(weighted.shares, copies.shares, rtol=1e-6)
    np.testing.assert_allclose(weighted.axes, copies.axes, atol=1e-6)


def test_the_noise_of_sampling_is_left_out():
    """Variance 4 on one axis under noise of 9 on another: the noisy axis comes first without V."""
    rng, sets = np.random.default_rng(0), 4000
    noise = np.diag([0.0, 9.0, 0.0])
    z = rng.normal(size=(sets, 3)) * [2.0, 3.0, 0.1]
    assert abs(tangent_pca(z, 1).axes[0, 1]) > 0.99
    pca = tangent_pca(z, 1, covariances=np.broadcast_to(noise, (sets, 3, 3)))
    assert abs(pca.axes[0, 0]) > 0.99
    # a variance of S normal numbers has the relative standard error sqrt(2 / S)
    assert abs(pca.variances[0] - 4) < 4 * 4 * np.sqrt(2 / sets)
    np.testing.assert_allclose(pca.errors[:, 0], 3 * abs(pca.axes[0, 1]), rtol=1e-6)


def test_two_sets_of_any_weights():
    """The scatter is w1 w2 d^2, its noise w1 w2 (V1 + V2), and the divisor 2 w1 w2."""
    pca = tangent_pca([[0.0], [4.0]], 1, covariances=[[[1.0]], [[5.0]]], weights=[0.8, 0.2])
    np.testing.assert_allclose(pca.variances, (4**2 - 1 - 5) / 2, rtol=1e-12)


def test_axes_of_gaussians_of_one_shape_are_those_of_their_means_in_w2():
    """W2 of translated Gaussians is the distance of means, of which tangent PCA keeps all."""
    rng = np.random.default_rng(2)
    means = rng.normal(size=(20, 2)) * [4.0, 1.0]
    sets = Gaussians(means, np.tile(np.eye(2), (20, 1, 1)))
    i, j = np.triu_indices(20, 1)
    scores = tangent_pca(means).scores
    np.testing.assert_allclose(
        np.linalg.norm(scores[i] - scores[j], axis=1), sets.w2(i, j), rtol=1e-6
    )


def test_positions_on_an_axis():
    pca = tangent_pca(cohort(3), 2)
    line = pca.along(1, [-2, 0, 2])
    np.testing.assert_allclose(line[1], pca.mean, rtol=1e-6)
    step = (line[2] - line[0]) / 4
    np.testing.assert_allclose(np.linalg.norm(step), np.sqrt(pca.variances[1]), rtol=1e-5)
    with pytest.raises(ValueError, match="no axis 2"):
        pca.along(2, [0])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([[[1.0, 2.0]]], {}, "two sets or more"),
        ([np.eye(3), 0], {}, "one axis or more"),
        ([np.eye(3)], {"covariances": np.ones((3, 2, 2))}, r"expected \(3, 3, 3\)"),
        ([np.eye(3)], {"covariances": np.full((3, 3, 3), np.nan)}, "of 3 sets 3 have none"),
        ([np.eye(3)], {"covariances": np.tile(9 * np.eye(3), (3, 1, 1))}, "noise of their sampl"),
        ([np.ones((3, 3))], {}, "do not vary"),
        ([np.eye(3)], {"weights": [1, 0, 0]}, "on one set"),
        ([np.eye(3)], {"weights": [1, -1, 1]}, "not negative"),
        ([np.eye(3)], {"weights": [0, 0, 0]}, "not all zero"),
    ],
)
def test_what_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        tangent_pca(*arguments, **options)


def test_errors_of_covariances_with_rounded_eigenvalues_are_numbers():
    z = np.array([[0.0, 0.0], [2.0, 0.1], [4.0, -0.1]])
    cov = np.tile(np.diag([1e-3, -1e-12]), (3, 1, 1))
    errors = tangent_pca(z, covariances=cov).errors
    assert errors is not None
    assert np.isfinite(errors).all()
