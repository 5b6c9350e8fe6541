"""A causal transformer: what a position sees, and decoding with a cache."""

import pytest
import torch

from distembed.nn.causal import SequenceTransformer
from distembed.nn.rotary import rotary_angles, rotate
from distembed.rng import stream

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def make(causal=True, condition=0, dtype=torch.float64):
    net = SequenceTransformer(16, depth=2, heads=2, condition=condition, causal=causal)
    rng = stream("weights")
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=rng))
    return net.to(dtype)


def positions(rows, count, dtype=torch.float64):
    return torch.randn(rows, count, 16, generator=stream("h"), dtype=dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("pieces", [[1] * 9, [4, 1, 1, 3], [2, 7], [9]], ids=str)
@pytest.mark.parametrize("condition", [0, 3])
def test_decoding_with_a_cache_equals_the_full_pass(dtype, pieces, condition):
    net, h = make(condition=condition, dtype=dtype), positions(3, 9, dtype)
    modulation = net.modulate(torch.randn(3, condition, dtype=dtype)) if condition else None
    cache = net.cache(3, capacity=12)
    parts = [net(part, modulation, cache=cache) for part in h.split(pieces, 1)]
    full = net(h, modulation)
    error = (torch.cat(parts, 1) - full).abs().max() / full.abs().max()
    assert error < TOLERANCE[dtype]
    assert cache.length == 9


def test_rows_that_share_their_start_share_its_cache():
    net, h = make(), positions(6, 8)
    h = torch.cat([h[:2, :5].repeat_interleave(3, 0), h[:, 5:]], 1)
    cache = net.cache(2, capacity=8)
    net(h[::3, :5], cache=cache)
    rest = net(h[:, 5:], cache=cache.repeat(3))
    torch.testing.assert_close(rest, net(h)[:, 5:], atol=1e-12, rtol=0)


def test_a_position_sees_those_up_to_it_and_all_of_them():
    net, h = make(), positions(1, 6).requires_grad_()
    for t in range(6):
        (gradient,) = torch.autograd.grad(net(h)[0, t].square().sum(), h)
        reached = gradient[0].abs().sum(1) > 0
        assert reached.tolist() == [s <= t for s in range(6)]


def test_without_causality_a_position_sees_what_the_mask_shows():
    net, h = make(causal=False), positions(2, 6).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6]).bool()
    (gradient,) = torch.autograd.grad(net(h, mask=mask)[:, 1].square().sum(), h)
    assert torch.equal(gradient.abs().sum(2) > 0, mask)


def test_a_shift_of_all_positions_changes_nothing():
    x = torch.randn(2, 5, 8, generator=stream("x"), dtype=torch.float64)

    def products(start):
        rotated = rotate(x, rotary_angles(start, 5, 8, x))
        return rotated @ rotated.mT

    torch.testing.assert_close(products(0), products(10_000), atol=1e-10, rtol=0)
    assert (products(0) - x @ x.mT).abs().max() > 0.1


def test_a_rotation_keeps_lengths_and_turns_by_its_angle():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(4, 2)
    t = torch.arange(4, dtype=torch.float64)
    expected = torch.stack([t.cos(), t.sin()], 1)
    torch.testing.assert_close(rotate(x, rotary_angles(0, 4, 2, x)), expected)


@pytest.mark.parametrize(
    ("width", "depth", "heads"), [(10, 1, 4), (8, 0, 2), (8, 1, 0), (6, 1, 2)]
)
def test_impossible_sizes_are_refused(width, depth, heads):
    with pytest.raises(ValueError, match=f"width = {width}, depth = {depth}, heads = {heads}"):
        SequenceTransformer(width, depth, heads)
    with pytest.raises(ValueError, match="has 3 channels"):
        rotary_angles(0, 2, 3, torch.zeros(1))


def test_a_transformer_without_a_condition_has_no_modulation():
    with pytest.raises(ValueError, match="build it with condition=C"):
        make().modulate(torch.zeros(2, 3))
