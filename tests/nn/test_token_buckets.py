"""Sequences are divided by their length so that few pads are left, and features do not change."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.encoders.composed import Composed
from distembed.nn.tokens import length_buckets

lengths = st.lists(st.integers(0, 60), min_size=1, max_size=40)


def sequences(sizes):
    t = torch.arange(max([1, *sizes]))
    return (t < torch.tensor(sizes)[:, None]).long()


@given(lengths, st.integers(1, 50), st.integers(1, 6))
def test_parts_hold_every_row_once_and_few_pads(sizes, most, fewest):
    x = sequences(sizes)
    parts = length_buckets(x, most, fewest=fewest)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(sizes)))
    length = (x > 0).sum(1)
    longest = [0]
    for part in parts:
        own = length[part]
        assert 0 < len(part) <= most
        assert own.min() >= longest[-1]  # parts are in the order of their lengths
        longest.append(int(own.max()))
        if len(part) > fewest:
            assert own.max() <= 1.25 * max(1, own.min())
            pads = int(own.max()) * len(own) - int(own.sum())
            assert pads <= 0.2 * int(own.max()) * len(own) or own.max() == 1


@pytest.mark.parametrize("point", ["conv1d", "transformer"])
def test_features_do_not_depend_on_the_division(point):
    rng = torch.Generator().manual_seed(0)
    x = (
        torch.randint(1, 5, (700, 30), generator=rng)
        * sequences(torch.randint(0, 31, (700,), generator=rng).tolist() + [30])[:-1]
    )
    batch = SetBatch.from_list([x[:300], x[300:]])
    encoder = Composed((30,), 4, point=point, sets="deepsets", vocab=4).double().eval()
    shapes = []
    encoder.point.register_forward_hook(lambda _, inputs, out: shapes.append(inputs[0].shape))
    encoder.tokens_at_once = 10**9
    whole = encoder(batch)
    assert len(shapes) == 1
    encoder.tokens_at_once = 0
    torch.testing.assert_close(encoder(batch), whole, rtol=0, atol=1e-12)
    assert len(shapes) > 2
