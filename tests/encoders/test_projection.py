"""The projection keeps all distances where there is room, and the largest where there is not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.encoders.projection import PrincipalProjection
from distembed.rng import stream


def vectors(n, k, seed=0):
    scales = torch.logspace(0, -2, k, dtype=torch.float64)
    return (
        torch.randn(n, k, generator=stream("projection test", seed), dtype=torch.float64) * scales
    )


def distances(v):
    return torch.cdist(v, v, compute_mode="donot_use_mm_for_euclid_dist")


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 5), st.booleans(), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_distances_are_kept_where_there_is_room(n, k, spare, fitted, seed):
    v = vectors(n, k, seed) + 1e3
    projection = PrincipalProjection(k, k + spare).double()
    if fitted:
        projection.fit(v)
    z = projection(v)
    assert z.shape == (n, k + spare)
    tolerance = 1e-10 if fitted else 1e-6  # random rows come from a float32 QR
    torch.testing.assert_close(distances(z), distances(v), rtol=tolerance, atol=tolerance)
    assert not z[:, k:].any()


@pytest.mark.parametrize("latent", [1, 2, 4])
def test_what_is_lost_is_the_least_there_is(latent):
    v = vectors(100, 6)
    projection = PrincipalProjection(6, latent).double()
    projection.fit(v)
    kept = projection(v).square().sum()
    values = torch.linalg.svdvals(v - v.mean(0)).square()
    torch.testing.assert_close(kept, values[:latent].sum())
    assert (distances(projection(v)) <= distances(v) + 1e-12).all()


def test_a_new_vector_keeps_its_distances_too():
    # fewer vectors than dimensions: axes that the data do not span must still be there
    v = vectors(3, 6)
    projection = PrincipalProjection(6, 6).double()
    projection.fit(v)
    new = torch.cat([v, vectors(4, 6, seed=1)])
    torch.testing.assert_close(distances(projection(new)), distances(new))


def test_order_and_repetition_do_not_turn_it():
    v = vectors(20, 4)
    rows = []
    for data in (v, v.flip(0), v.repeat(2, 1)):
        projection = PrincipalProjection(4, 4).double()
        projection.fit(data)
        rows.append(projection.rows)
    torch.testing.assert_close(rows[0], rows[1])
    torch.testing.assert_close(rows[0], rows[2])


def test_far_vectors_keep_small_differences():
    # centred before it is rounded to float32, where 1e6 has a rounding of 0.06
    v = vectors(10, 3) + 1e6
    projection = PrincipalProjection(3, 3)
    projection.fit(v)
    torch.testing.assert_close(distances(projection(v)).double(), distances(v), rtol=0, atol=0.2)
