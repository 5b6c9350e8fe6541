"""The field on images: sizes, scales and memory; `test_backbone` has the laws of every field."""

import pytest
import torch
from safetensors.torch import load, save

from distembed.batch import SetBatch
from distembed.generators.flow import flow
from distembed.nn.precision import reduced_to
from distembed.nn.unet import UNet, UNetSettings
from distembed.rng import stream
from distembed.testing import check_generator

SHAPES = [(1, 8, 8), (3, 9, 9), (1, 28, 28), (5, 10, 17), (2, 70, 70), (1, 8, 128), (1, 128, 128)]
LATENT = 4


def net(shape=(2, 9, 12), width=16, depth=2, moved=0.2, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        field = UNet(shape, LATENT, width, depth, UNetSettings(**settings)).double()
        with torch.no_grad():  # away from the start, where the field is nearly zero
            for p in field.parameters():
                p.add_(moved * torch.randn_like(p))
    return field


def inputs(shape=(2, 9, 12), b=3, n=4):
    rng = stream("images")
    x = torch.randn(b, n, *shape, generator=rng, dtype=torch.float64).flatten(2)
    z = torch.randn(b, LATENT, generator=rng, dtype=torch.float64)
    return x, z, torch.rand(b, n, generator=rng, dtype=torch.float64)


def over_atoms(rows):
    return rows.unsqueeze(1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_packed_and_dense_atoms_have_the_same_field(shape):
    x, z, t = inputs(shape, 2, 2)
    field, batch = net(shape), SetBatch.from_dense(x)
    packed = field(batch.x, z, t.flatten(), batch.expand)
    dense = field(x, z, t, over_atoms)
    torch.testing.assert_close(packed.view_as(dense), dense, rtol=0, atol=1e-12)
    assert dense.shape == x.shape
    assert dense.isfinite().all()


def test_the_field_of_permuted_atoms_and_sets_is_permuted():
    x, z, t = inputs()
    field, sets, atoms = net(), torch.tensor([2, 0, 1]), torch.tensor([3, 1, 0, 2])
    expected = field(x, z, t, over_atoms)[sets][:, atoms]
    field_of_permuted = field(x[sets][:, atoms], z[sets], t[sets][:, atoms], over_atoms)
    torch.testing.assert_close(field_of_permuted, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_pixel_is_an_input_and_an_output(shape):
    # with the gain off, so that the levels have to carry the last row of an odd side
    x, z, t = inputs(shape, 1, 1)
    field = net(shape)
    torch.nn.init.zeros_(field.gain.weight)
    torch.nn.init.zeros_(field.gain.bias)
    x.requires_grad_()
    out = field(x, z, t, over_atoms)
    (out * torch.randn(out.shape, generator=stream("probe"), dtype=out.dtype)).sum().backward()
    assert (x.grad != 0).all()
    assert (out != 0).all()
    assert out.unique().numel() == out.numel()


def test_the_field_depends_on_distant_pixels():
    shape = (1, 70, 70)
    x, z, t = inputs(shape, 1, 1)
    x.requires_grad_()
    net(shape)(x, z, t, over_atoms)[0, 0, 0].backward()
    assert x.grad[0, 0, -1] != 0


def test_fine_levels_pass_detail():
    x, z, t = inputs()
    field = net()
    for parameters in (field.gain, *field.up):
        torch.nn.init.zeros_(parameters.weight)
        torch.nn.init.zeros_(parameters.bias)
    other = x.clone()
    other[..., 50] += 1
    assert (field(other, z, t, over_atoms) != field(x, z, t, over_atoms)).any()


def test_without_levels_the_field_is_one_gain_a_channel():
    x, z, t = inputs()
    field = net()
    torch.nn.init.zeros_(field.outputs.weight)
    torch.nn.init.zeros_(field.outputs.bias)
    gain = (field(x, z, t, over_atoms) / x).view(3, 4, 2, 9 * 12)
    torch.testing.assert_close(gain, gain[..., :1].expand_as(gain))
    assert gain[..., 0].unique().numel() == 3 * 4 * 2  # of its set, time and channel


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_starts_near_zero(shape):
    x, z, t = inputs(shape)
    assert net(shape, width=128, moved=0)(x, z, t, over_atoms).square().mean() < 0.02**2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 45, 70)], ids=str)
def test_a_gradient_reaches_every_parameter_and_z(shape):
    x, z, t = inputs(shape)
    field = net(shape)
    z.requires_grad_()
    field(x, z, t, over_atoms).square().mean().backward()
    assert (z.grad != 0).all()
    for name, p in field.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.any(), name


def test_evaluation_in_pieces_changes_nothing():
    x, z, t = inputs(b=3, n=7)
    whole = net()(x, z, t, over_atoms)
    for pieces, sizes in ((4, [4, 4, 4, 4, 4, 1]), (0, [1] * 21)):
        field, rows = net(chunk=pieces * net().largest), []
        field.inputs.register_forward_pre_hook(lambda module, h, rows=rows: rows.append(len(h[0])))
        with torch.no_grad():
            torch.testing.assert_close(field(x, z, t, over_atoms), whole, rtol=0, atol=1e-12)
        assert rows == sizes


def test_its_state_is_restored():
    x, z, t = inputs()
    field, fresh = net(), net(moved=0)
    assert not torch.equal(fresh(x, z, t, over_atoms), field(x, z, t, over_atoms))
    fresh.load_state_dict(load(save(field.state_dict())))
    assert torch.equal(fresh(x, z, t, over_atoms), field(x, z, t, over_atoms))


def test_reduced_precision_is_close_and_keeps_the_type():
    x, z, t = (v.float() for v in inputs())
    field = net().float()
    exact = field(x, z, t, over_atoms)
    with reduced_to(torch.bfloat16):
        rough = field(x, z, t, over_atoms)
    assert rough.dtype == torch.float32
    error = (rough - exact).square().mean().sqrt() / exact.std()
    assert 0 < error < 0.05  # bfloat16 rounds to 2^-9; some fifty roundings in a row


@pytest.mark.parametrize("side", [8, 9, 28, 70, 128])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_it_stays_small(side, channels):
    field = UNet((channels, side, side), 32)
    assert 200_000 < sum(p.numel() for p in field.parameters()) < 700_000
    assert field.largest <= 32 * 1024


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64,), r"\(64,\).*Give grey images an axis, x\[:, None\], or choose the mlp"),
        ((28, 28), "Give grey images an axis"),
        ((2, 1, 28, 28), "convolves images"),
        ((1, 7, 28), r"\(1, 7, 28\).*8 to 128.*Pad, crop or resize"),
        ((1, 28, 129), "8 to 128"),
        ((28, 28, 3), "Channels come first"),
        ((0, 28, 28), "8 to 128"),
    ],
)
def test_other_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        UNet(shape, LATENT)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 9, 11)], ids=str)
def test_laws_of_a_flow_with_it(shape):
    model = flow(shape, LATENT, width=32, depth=1, calls=4, backbone="unet")
    check_generator(model, shape, LATENT)
