"""Pools of scanned digits, and the exact W2 of their mixtures."""

import numpy as np
import pytest
import torch

from distembed.data.observations import Observations
from distembed.sets.construct import by_label
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixture_w2 import mixture_w2
from distembed.sets.mixtures import mixtures

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def pools():
    return digit_pools()


def images(pool):
    return pool.batch(range(len(pool))).x.numpy()


def test_every_scan_is_in_one_pool(pools):
    from sklearn.datasets import load_digits

    scans = load_digits()
    train, test = (images(p) for p in pools)
    assert train.shape[1:] == test.shape[1:] == (1, 8, 8)
    assert len(train) + len(test) == len(scans.images) == 1797
    scanned = np.concatenate([train, test])[:, 0].reshape(1797, -1)
    # all scans differ, so that equal sorted rows are the same scans
    assert len(np.unique(scanned, axis=0)) == 1797
    assert (np.unique(scanned, axis=0) == np.unique(scans.data.astype(np.float32), axis=0)).all()


def test_pools_are_the_digits(pools):
    from sklearn.datasets import load_digits

    scans = load_digits()
    of = {image.tobytes(): str(label) for image, label in zip(
        scans.images.astype(np.float32), scans.target, strict=True)}  # fmt: skip
    for pool in pools:
        assert pool.ids.tolist() == list("0123456789")
        for digit in range(10):
            labels = {of[image.numpy().tobytes()] for image in pool.batch([digit]).x}
            assert labels == {str(digit)}
    share = pools[1].sizes / (pools[0].sizes + pools[1].sizes)
    np.testing.assert_allclose(share, 0.4, atol=0.5 / pools[0].sizes.min())


def test_pools_are_a_function_of_the_seed(pools):
    again, other = digit_pools(), digit_pools(seed=1)
    assert (images(again[0]) == images(pools[0])).all()
    assert (
        images(other[1]).shape != images(pools[1]).shape
        or (images(other[1]) != images(pools[1])).any()
    )
    few = digit_pools(test=0.1)[1]
    assert few.sizes.sum() == pytest.approx(180, abs=10)


def same(x):
    return x


def pool_of(**points):
    x = np.concatenate([np.atleast_2d(v) for v in points.values()])
    names = np.repeat(list(points), [len(v) for v in points.values()])
    return by_label(Observations(x, {"part": names}), "part")


def test_w2_of_mixtures_of_two_points():
    # shares p and q at 0, the rest at 1: |p - q| of the mass moves by 1
    pool = pool_of(zero=np.zeros((4, 1)), one=np.ones((2, 1)))
    sets = mixtures(pool, 6, 2, size=(5, 9))
    p = sets.meta["weight_zero"]
    expected = np.sqrt(abs(p[:, None] - p[None]))
    # weights are float32, and the root of a difference keeps half of its digits
    np.testing.assert_allclose(mixture_w2(pool, sets, same), expected, atol=1e-3)


def quantile_w2(a, b):
    """W2 of weighted numbers: sorted mass meets sorted mass."""
    moved, left = 0.0, [sorted(map(list, s)) for s in (a, b)]
    while left[0] and left[1]:
        mass = min(left[0][0][1], left[1][0][1])
        moved += mass * (left[0][0][0] - left[1][0][0]) ** 2
        for side in left:
            side[0][1] -= mass
            if side[0][1] < 1e-12:
                side.pop(0)
    return moved**0.5


def test_w2_is_that_of_the_pools_and_not_of_the_sets():
    pool = pool_of(a=np.array([[0.0], [1.0]]), b=np.array([[4.0], [7.0], [9.0]]),
                   c=np.array([[2.0], [-3.0]]))  # fmt: skip
    sets = mixtures(pool, 5, 2, size=(2, 3))
    w2 = mixture_w2(pool, sets, same)
    atoms = {name: pool.batch([i]).x[:, 0].tolist() for i, name in enumerate(pool.ids)}
    laws = [
        [
            (x, sets.meta[f"weight_{name}"][s] / len(points))
            for name, points in atoms.items()
            for x in points
            if sets.meta[f"weight_{name}"][s] > 0
        ]
        for s in range(5)
    ]
    for i in range(5):
        for j in range(5):
            assert w2[i, j] == pytest.approx(quantile_w2(laws[i], laws[j]), abs=1e-3)
    assert (w2 == w2.T).all()
    assert not w2.diagonal().any()


def test_w2_is_measured_after_the_transform():
    pool = pool_of(zero=np.zeros((2, 1)), one=np.ones((2, 1)))
    sets = mixtures(pool, 4, 2, size=(4, 4))
    plain = mixture_w2(pool, sets, same)
    tripled = mixture_w2(pool, sets, lambda x: 3 * x)
    np.testing.assert_allclose(tripled, 3 * plain, rtol=1e-5, atol=1e-6)


def test_truth_of_real_mixtures(pools):
    sets = mixtures(pools[1], 6, 2, size=(20, 30), rng=0)
    w2 = mixture_w2(pools[1], sets, lambda x: x / 16)
    assert (w2 == w2.T).all()
    assert not w2.diagonal().any()
    off = w2[~np.eye(6, dtype=bool)]
    assert (off > 0).all()
    # a metric: no detour is shorter, up to float32
    assert (w2[:, None] <= w2[:, :, None] + w2[None] + 1e-4).all()
    assert isinstance(w2, np.ndarray)
    assert torch.get_default_dtype() == torch.float32
