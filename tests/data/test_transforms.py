"""Steps: exact inverses where they have one, weighted fits, and a state that can be loaded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from distembed.data.transforms import TRANSFORMS
from distembed.data.transforms.chain import Chain
from distembed.data.transforms.pca import PCA
from distembed.data.transforms.pointwise import Arcsinh, Log1p
from distembed.data.transforms.standardise import Standardise

floats = st.floats(-1e6, 1e6, width=64)
counts = st.integers(0, 10_000).map(float)


def atoms(elements, d=3):
    shape = st.tuples(st.integers(1, 12), st.just(d))
    return shape.flatmap(lambda s: arrays(np.float64, s, elements=elements)).map(torch.from_numpy)


def weighted(x, seed=0):
    return torch.rand(len(x), generator=torch.Generator().manual_seed(seed)).double() + 0.1


def close(a, b, scale=1.0):
    assert torch.allclose(a, b, rtol=1e-10, atol=1e-10 * max(scale, 1.0)), (a - b).abs().max()


@given(atoms(floats))
def test_standardise_inverts_and_keeps_constants(x):
    for over in ("feature", "all"):
        step = Standardise(over).fit(x, weighted(x))
        close(step.inverse(step.forward(x)), x, float(x.abs().max()))
    constant = x.amin(0) == x.amax(0)
    step = Standardise().fit(x, weighted(x))
    garbage = step.inverse(torch.full_like(x, 7.0))
    assert torch.equal(garbage[:, constant], x[:, constant])
    assert not step.forward(x + 1)[:, constant].any()


@given(atoms(floats), st.floats(0.01, 100))
def test_arcsinh_inverts(x, cofactor):
    step = Arcsinh(cofactor).fit(x, weighted(x))
    close(step.inverse(step.forward(x)), x, float(x.abs().max()))


@given(atoms(counts))
def test_log1p_inverts_and_with_a_scale_returns_shares(x):
    w = weighted(x)
    step = Log1p().fit(x, w)
    close(step.inverse(step.forward(x)), x)
    back = Log1p(1e4).fit(x, w)
    back = back.inverse(back.forward(x))
    total = x.sum(1, keepdim=True)
    close(back, torch.where(total > 0, 1e4 * x / total.clamp_min(1), 0), 1e4)


@given(atoms(floats, d=4), st.integers(1, 4))
@settings(max_examples=50)
def test_pca_is_an_orthogonal_projection(x, k):
    k = min(k, len(x))
    step = PCA(k).fit(x, weighted(x))
    scale = float(x.abs().max())
    close(step.axes @ step.axes.mT, torch.eye(k, dtype=torch.float64))
    y = step.forward(x)
    assert y.shape == (len(x), k)
    close(step.forward(step.inverse(y)), y, scale)
    if k == 4:
        close(step.inverse(y), x, scale)


def test_weighted_fits_are_those_of_repeated_atoms():
    x = torch.randn(6, 3, dtype=torch.float64)
    times = torch.tensor([1, 2, 3, 1, 0, 4])
    repeated = x.repeat_interleave(times, 0)
    for make in (Standardise, lambda: Standardise("all"), lambda: PCA(2)):
        a, b = make().fit(x, times.double() * 5), make().fit(repeated, torch.ones(len(repeated)))
        for name, buffer in a.state_dict().items():
            close(buffer, b.state_dict()[name])


def test_standardise_gives_mean_zero_and_deviation_one():
    x = torch.randn(500, 2, 3) * 4 + 100
    w = weighted(x).float()
    y = Standardise().fit(x, w).forward(x).double()
    p = (w / w.sum()).double()
    mean = torch.tensordot(p, y, 1)
    assert mean.abs().max() < 1e-5
    assert (torch.tensordot(p, (y - mean) ** 2, 1) - 1).abs().max() < 1e-5
    z = Standardise("all").fit(x, w).forward(x)
    assert abs(float((p[:, None, None] * z).sum()) / 6) < 1e-5


@pytest.mark.parametrize("features", [40, 2100])
def test_pca_finds_the_leading_subspace(features):
    """Both branches agree with the singular vectors of the centred atoms."""
    rng = torch.Generator().manual_seed(0)
    scale = torch.tensor([9.0, 6.0, 4.0] + [0.1] * 17, dtype=torch.float64)
    mixing = torch.linalg.qr(torch.randn(features, 20, generator=rng, dtype=torch.float64)).Q
    x = torch.randn(60, 20, generator=rng, dtype=torch.float64) * scale @ mixing.mT
    step = PCA(3).fit(x, torch.ones(60))
    exact = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:3]
    close((step.axes * exact).sum(1).abs(), torch.ones(3, dtype=torch.float64))
    assert bool((step.axes.gather(1, step.axes.abs().argmax(1, keepdim=True)) > 0).all())


def test_steps_take_any_leading_axes_and_images():
    x = torch.rand(10, 2, 3, 3, dtype=torch.float64)
    w = torch.ones(10)
    for step in (Log1p(), Arcsinh(), Standardise(), Standardise("all"), PCA(4)):
        step.fit(x, w)
        stacked = step.forward(x.reshape(2, 5, 2, 3, 3))
        close(stacked.flatten(0, 1), step.forward(x))
        assert stacked.shape[2:] == step.event_shape((2, 3, 3))
        assert step.inverse(stacked).shape == (2, 5, 2, 3, 3)


def test_a_chain_composes_and_is_restored_from_options_and_state():
    x = torch.rand(40, 5, dtype=torch.float64) * 30
    spec = [{"name": "log1p", "scale": 100.0}, "standardise", {"name": "pca", "components": 2}]
    chain = Chain.build(spec).fit(x, torch.ones(40))
    first, second, third = chain.transforms
    close(chain.forward(x), third.forward(second.forward(first.forward(x))))
    assert chain.event_shape((5,)) == (2,)
    other = Chain.build(**chain.options)
    assert other.options == chain.options
    other.load_state_dict(chain.state_dict())
    assert torch.equal(other.inverse(other.forward(x)), chain.inverse(chain.forward(x)))
    assert torch.equal(Chain().fit(x, torch.ones(40)).forward(x), x)


def test_every_member_of_the_family_has_options_that_rebuild_it():
    for name in TRANSFORMS:
        spec = [{"name": name} | ({"components": 2} if name == "pca" else {})]
        chain = Chain.build(spec)
        assert Chain.build(**chain.options).options == chain.options


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Log1p().fit(torch.tensor([[-0.5]]), torch.ones(1)), "arcsinh"),
        (lambda: Log1p(0.0), "positive"),
        (lambda: Log1p(10.0).forward(torch.ones(3)), "sum over features"),
        (lambda: Arcsinh(-1.0), "cofactor"),
        (lambda: Standardise("rows"), "'feature' or 'all'"),
        (lambda: Standardise().forward(torch.ones(1, 2)), "not fitted"),
        (lambda: PCA(2).inverse(torch.ones(1, 2)), "not fitted"),
        (lambda: PCA(0), "at least one"),
        (lambda: PCA(5).fit(torch.ones(9, 3), torch.ones(9)), "3 features"),
        (lambda: Standardise().fit(torch.ones(3, 1), -torch.ones(3)), "weight >= 0"),
        (lambda: Standardise().fit(torch.ones(3, 1), torch.zeros(3)), "not all zero"),
        (lambda: Chain.build(["log2p"]), "There is no transform 'log2p'"),
        (lambda: Chain.build([{"name": "pca", "component": 3}]), "it takes: components"),
        (lambda: Chain.build([{"scale": 3}]), "has no name"),
    ],
)
def test_errors_say_what_is_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["log1p", "arcsinh", "standardise", "pca"])
def test_integers_are_computed_as_floats(name):
    x = torch.tensor([[0, 1, 2], [3, 5, 1], [9, 1, 4], [2, 2, 2]])
    chain = Chain.build([{"name": name} | ({"components": 2} if name == "pca" else {})])
    y = chain.fit(x, torch.ones(4)).forward(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, chain.forward(x.float()))
