r"""Transport by common noise: an affine map for a Gaussian, the identity between equal embeddings.

With the exact velocity of N(0, s^2) residuals, $dx/d\theta = \cos\theta \sin\theta (s^2 - 1) /
(\cos^2\theta + s^2 \sin^2\theta)\, x$, noise e becomes s e, so that transport between two bases is
known in closed form and the error of the solver can be measured by halving its step.
"""

import pytest
import torch
from generator_fakes import ExactField, Zero, zero_field

from distembed.generators import GENERATORS
from distembed.generators.flow import flow
from distembed.protocols import TransportGenerator
from distembed.registry import build
from distembed.rng import stream

LATENT = 2


def make(field, d, **options):
    """Return a flow with a field, and a base that depends on z."""
    model = flow((d,), LATENT, base_network=True, **options)
    model.field, model.base.network = field, Zero()
    model.base.weight.normal_(0, 0.2, generator=stream("weight"))
    return model


def inputs(d, b=2, n=50):
    rng = stream("inputs")
    x = 2 * torch.randn(b, n, d, generator=rng)
    return x, *torch.randn(2, b, LATENT, generator=rng)


@pytest.mark.parametrize("d", [3, 40], ids=["full", "diagonal"])
def test_a_zero_field_is_the_affine_map_of_two_gaussians(d):
    model, (x, z_from, z_to) = make(zero_field(), d), inputs(d)
    a, b = model.base(z_from), model.base(z_to)
    eye = torch.eye(d)
    c, e = (g.scale if g.scale.ndim == 3 else g.scale[:, :, None] * eye for g in (a, b))
    expected = torch.einsum("bij,bnj->bni", e @ torch.linalg.inv(c), x - a.location[:, None])
    moved = model.transport(x, z_from, z_to, steps=1)
    torch.testing.assert_close(moved, expected + b.location[:, None], rtol=1e-4, atol=1e-4)


def shape(s):
    """The exact velocity of N(0, s^2) residuals."""

    def field(x, angle):
        c, d = angle.cos(), angle.sin()
        return c * d * (s**2 - 1) / (c**2 + s**2 * d**2) * x

    return ExactField(field)


def test_the_solver_is_of_second_order():
    """At half a step the error falls to a quarter: there and back, and between equal z."""
    x, z_from, z_to = inputs(3)
    model = make(shape(0.3), 3)
    exact = make(zero_field(), 3)
    exact.base = model.base

    def errors(steps):
        moved = model.transport(x, z_from, z_to, steps)
        back = model.transport(moved, z_to, z_from, steps)
        same = model.transport(x, z_from, z_from, steps)
        # one deviation for both embeddings: it cancels, and the map is that of the base
        affine = exact.transport(x, z_from, z_to, 1)
        return [float((a - b).abs().max()) for a, b in ((back, x), (same, x), (moved, affine))]

    few, many, finest = errors(8), errors(16), errors(64)
    for coarse, fine, last in zip(few, many, finest, strict=True):
        assert fine < 0.35 * coarse
        assert last < 0.03 * x.std()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("flow", {}),
        ("flow", {"dropout": 0.2, "guidance": 1.5}),
        ("flow", {"sampler": "ancestral"}),
        ("diffusion", {}),
        ("explicit", {"likelihood": "gaussian"}),
        ("explicit", {"likelihood": "flow"}),
    ],
    ids=str,
)
def test_transport_there_and_back(name, options):
    torch.manual_seed(0)
    model = build(GENERATORS, {"name": name, **options}, "generator", (2,), LATENT).eval()
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=stream("weights"))
    x, z_from, z_to = inputs(2)
    assert isinstance(model, TransportGenerator)
    moved = model.transport(x, z_from, z_to, 64)
    assert (moved - x).abs().max() > 0.1
    torch.testing.assert_close(model.transport(moved, z_to, z_from, 64), x, rtol=0, atol=5e-3)
    torch.testing.assert_close(model.transport(x, z_from, z_from, 64), x, rtol=0, atol=5e-3)


def test_transport_moves_draws_to_the_draws_of_the_same_noise():
    model, (_, z_from, z_to) = make(shape(0.5), 3, calls=256), inputs(3)
    a, b = (model.sample(z, 50, stream("noise")) for z in (z_from, z_to))
    moved = model.transport(a, z_from, z_to, 128)
    torch.testing.assert_close(moved, b, rtol=0, atol=1e-3)


def test_generators_without_an_inverse():
    for name in ("vae", "gan", "implicit", "wormhole"):
        model = build(GENERATORS, name, "generator", (2,), LATENT)
        assert not isinstance(model, TransportGenerator)
    mixture = build(GENERATORS, {"name": "explicit", "likelihood": "mixture"}, "g", (2,), LATENT)
    x, z_from, z_to = inputs(2)
    with pytest.raises(TypeError, match="The likelihood mixture has no inverse"):
        mixture.transport(x, z_from, z_to)
