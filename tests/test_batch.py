"""The laws of SetBatch: exact ones first, then draws within five standard errors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.rng import stream

F64 = torch.float64
FEW = settings(max_examples=40, deadline=None)


@st.composite
def batches(draw, least=1, weighted=None):
    """Sets of 1 to 9 atoms in one or two axes, with duplicates and zero weights."""
    sizes = draw(st.lists(st.integers(least, 9), min_size=1, max_size=5))
    event = draw(st.sampled_from([(1,), (3,), (2, 2)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    xs = [rng.normal(size=(m, *event)).round(draw(st.sampled_from([0, 6]))) for m in sizes]
    if not (draw(st.booleans()) if weighted is None else weighted):
        return SetBatch.from_list(xs)
    ws = [rng.integers(0, 4, size=m).astype(float) for m in sizes]
    for w in ws:
        w[rng.integers(len(w))] += 1
    return SetBatch.from_list(xs, ws)


def example():
    """Sets of 1, 2, 7 and 500 atoms, duplicated atoms and zero weights in one batch."""
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(m, 3)) for m in (1, 2, 7, 500)]
    ws = [np.ones(1), np.array([0.0, 2.0]), rng.random(7), rng.random(500)]
    xs[3][1] = xs[3][0]
    ws[3][::3] = 0
    return SetBatch.from_list(xs, ws), xs, [w / w.sum() for w in ws]


def parts(batch):
    """Atoms and weights of each set, as numpy sees them."""
    ends = batch.offsets.tolist()
    return [(batch.x[i:j], batch.w[i:j]) for i, j in zip(ends, ends[1:], strict=False)]


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def rows_of(batch):
    """Each set as a sorted list of atoms, to compare as multisets."""
    return [sorted(map(tuple, x.flatten(1).tolist())) for x, _ in parts(batch)]


# -- means ----------------------------------------------------------------------------------------


def test_mean_is_numpys():
    batch, xs, ws = example()
    means = batch.mean(batch.x)
    for mean, x, w in zip(means, xs, ws, strict=True):
        np.testing.assert_allclose(mean, np.average(x, axis=0, weights=w), rtol=1e-12)


@FEW
@given(batches())
def test_mean_of_any_batch_is_numpys(batch):
    means = batch.mean(batch.x)
    assert means.shape == (len(batch), *batch.event_shape)
    for mean, (x, w) in zip(means, parts(batch), strict=True):
        np.testing.assert_allclose(mean, np.average(x, axis=0, weights=w), atol=1e-12)


@FEW
@given(batches(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_exact_laws_of_the_mean(batch, k, random):
    mean = batch.mean(batch.x)
    pieces = parts(batch)
    order = [random.sample(range(len(x)), len(x)) for x, _ in pieces]
    permuted = SetBatch.from_list(
        [x[o] for (x, _), o in zip(pieces, order, strict=True)],
        [w[o] for (_, w), o in zip(pieces, order, strict=True)],
    )
    close(permuted.mean(permuted.x), mean)
    copies = SetBatch.from_list(
        [x.repeat_interleave(k, 0) for x, _ in pieces],
        [w.repeat_interleave(k) / k for _, w in pieces],
    )
    close(copies.mean(copies.x), mean)
    split = SetBatch.from_list(
        [torch.cat([x, x[:1]]) for x, _ in pieces],
        [torch.cat([w[:1] / 2, w[1:], w[:1] / 2]) for _, w in pieces],
    )
    close(split.mean(split.x), mean)
    zero = SetBatch.from_list(
        [torch.cat([x, x[:1] + 99]) for x, _ in pieces],
        [torch.cat([w, w[:1] * 0]) for _, w in pieces],
    )
    close(zero.mean(zero.x), mean)
    for b in range(len(batch)):
        close(batch[b].mean(batch[b].x)[0], mean[b])


def test_weights_need_not_be_normalised_for_a_mean():
    batch, _, _ = example()
    close(batch.replace(w=3 * batch.w).mean(batch.x), batch.mean(batch.x))


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_is_differentiable_in_values_and_weights(weighted):
    x = torch.randn(7, 2, dtype=F64)
    w = torch.rand(7, dtype=F64) + 0.1
    batch = SetBatch.from_list([x[:3], x[3:]], [w[:3], w[3:]] if weighted else None)
    inputs = [t.clone().requires_grad_() for t in (batch.x, batch.w)]
    assert torch.autograd.gradcheck(lambda h, w: batch.replace(w=w).mean(h), inputs)


def test_the_fast_path_knows_that_weights_ask_for_a_gradient():
    batch = SetBatch.from_dense(torch.randn(2, 3, 1, dtype=F64))
    assert batch.equal == 3
    w = batch.w.clone().requires_grad_()
    assert batch.replace(w=w).equal is None
    batch.replace(w=w).mean(batch.x).sum().backward()
    # d mean / d w_i = x_i - mean, because the mean divides by the sum
    close(w.grad[:, None], batch.x - batch.expand(batch.mean(batch.x)))


@pytest.mark.parametrize("equal", [True, False])
def test_a_million_single_precision_atoms(equal):
    x = torch.rand(10**6, 1, generator=stream(0, "many")) + 1
    w = torch.ones(10**6) if equal else torch.rand(10**6, generator=stream(0, "weights"))
    batch = SetBatch.from_list([x, x[:10]], [w, w[:10]])
    truth = np.average(x.double().numpy(), axis=0, weights=w.double().numpy())
    mean = batch.mean(batch.x)
    assert mean.dtype == torch.float32
    assert mean[0].item() == pytest.approx(truth.item(), rel=2e-7)
    assert batch[0].mean(x)[0].item() == pytest.approx(truth.item(), rel=2e-7)


@pytest.mark.parametrize(
    ("dtype", "out"),
    [
        (torch.float64, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.int64, torch.float32),
        (torch.bool, torch.float32),
    ],
)
def test_type_of_a_mean(dtype, out):
    for batch in (SetBatch.from_list([[[1], [0]], [[1]]]), SetBatch.from_list([[[1], [0]]])):
        mean = batch.mean(batch.x.to(dtype))
        assert mean.dtype == out
        assert mean[0].item() == 0.5


# -- shape ----------------------------------------------------------------------------------------


@FEW
@given(batches())
def test_expand_and_owner(batch):
    owner = np.repeat(np.arange(len(batch)), batch.sizes.numpy())
    assert batch.owner.tolist() == owner.tolist()
    v = torch.randn(len(batch), 2, 3, dtype=F64)
    assert torch.equal(batch.expand(v), v[batch.owner])
    close(batch.mean(batch.expand(v)), v)


@FEW
@given(batches())
def test_dense(batch):
    h, log_w = batch.dense(batch.x)
    assert h.shape == (len(batch), int(batch.sizes.max()), *batch.event_shape)
    for b, (x, w) in enumerate(parts(batch)):
        assert torch.equal(h[b, : len(x)], x)
        assert (h[b, len(x) :] == 0).all()
        close(log_w[b, : len(x)].exp(), w)
        assert (log_w[b, len(x) :] == -torch.inf).all()
    # attention that adds the log-weights to equal logits is the mean
    pooled = torch.einsum("bm,bm...->b...", log_w.softmax(1), h)
    close(pooled, batch.mean(batch.x))


def test_dense_is_differentiable_where_a_weight_is_zero():
    batch = SetBatch.from_list([torch.randn(3, 2, dtype=F64)], [[0.0, 1.0, 3.0]])
    w = batch.w.clone().requires_grad_()
    h, log_w = batch.replace(w=w).dense(batch.x)
    torch.einsum("bm,bmd->bd", log_w.softmax(1), h).sum().backward()
    assert torch.isfinite(w.grad).all()
    assert w.grad[1:].abs().min() > 0


@pytest.mark.parametrize("weights", [None, [[1, 1], [1, 1]], [[1, 3], [1, 1]]])
def test_equal_is_decided_in_one_place(weights):
    batch = SetBatch.from_list([[[1.0], [2.0]], [[3.0], [4.0]]], weights)
    assert batch.equal == (None if weights and weights[0] == [1, 3] else 2)
    assert SetBatch.from_list([[[1.0]], [[3.0], [4.0]]]).equal is None


@FEW
@given(batches(), st.data())
def test_select_and_concat(batch, data):
    index = data.draw(st.lists(st.integers(0, len(batch) - 1), min_size=1, max_size=6))
    chosen = batch.select(index)
    assert chosen.sizes.tolist() == batch.sizes[index].tolist()
    close(chosen.mean(chosen.x), batch.mean(batch.x)[index])
    both = SetBatch.concat([batch, chosen])
    assert len(both) == len(batch) + len(chosen)
    back = both.select(range(len(batch)))
    for one, other in ((back.x, batch.x), (back.w, batch.w), (back.offsets, batch.offsets)):
        assert torch.equal(one, other)
    assert torch.equal(batch[-1].x, parts(batch)[-1][0])
    with pytest.raises(IndexError):
        batch[len(batch)]


@FEW
@given(batches())
def test_effective_sizes(batch):
    for n, (_, w) in zip(batch.effective_sizes, parts(batch), strict=True):
        assert n.item() == pytest.approx(1 / (w**2).sum().item(), rel=1e-9)


def test_replace_keeps_what_it_may():
    batch, _, _ = example()
    other = batch.replace(x=batch.x[:, :1])
    assert other.event_shape == (1,)
    assert other.w is batch.w
    uneven = SetBatch.from_dense(torch.randn(2, 2, 1))
    assert uneven.equal == 2
    assert uneven.replace(w=torch.tensor([0.1, 0.9, 0.5, 0.5])).equal is None


def test_to_converts_numbers_and_keeps_tokens():
    batch = SetBatch.from_list([[[1], [2]]]).to(dtype=F64)
    assert (batch.x.dtype, batch.w.dtype) == (torch.int64, F64)
    floats = SetBatch.from_list([[[1.0], [2.0]]])
    assert floats.to(dtype=F64).x.dtype == F64
    assert floats.to("cpu") is floats
    assert "2 atoms of shape (1,), float32" in repr(floats)


def test_tokens_stay_integers_and_are_padded_at_the_end():
    """Two sets of sequences up to 3 and 2 tokens, in every operation of a batch."""
    batch = SetBatch.from_list([[[1, 2, 3], [4, 0, 0]], [[3, 1]]])
    assert batch.x.tolist() == [[1, 2, 3], [4, 0, 0], [3, 1, 0]]
    assert (batch.x.dtype, batch.w.dtype) == (torch.int64, torch.float32)
    empty = SetBatch.from_list([torch.zeros(2, 0, dtype=torch.int64)])
    longer = SetBatch.concat([batch, empty, SetBatch.from_list([[[1, 1, 1, 1]]])])
    assert longer.x.tolist()[2:] == [[3, 1, 0, 0], [0] * 4, [0] * 4, [1] * 4]
    context, target = batch.select([0]).split(1, 1, stream(0))
    assert sorted(context.x.tolist() + target.x.tolist()) == [[1, 2, 3], [4, 0, 0]]
    dense, log_w = batch.dense(batch.x)
    assert dense.tolist() == [[[1, 2, 3], [4, 0, 0]], [[3, 1, 0], [0, 0, 0]]]
    assert log_w[1, 1] == -math.inf
    parts = (context, target, batch.subsample(1, stream(0)), batch.keep(batch.w < 0.6), dense)
    assert all(getattr(part, "x", part).dtype == torch.int64 for part in parts)
    with pytest.raises(ValueError, match="event shapes"):
        SetBatch.from_list([[[1, 2]], [[0.5]]])


# -- construction ---------------------------------------------------------------------------------


def test_both_constructors_agree():
    x, w = torch.randn(3, 4, 2), torch.rand(3, 4)
    for weights in (None, w):
        dense = SetBatch.from_dense(x, weights)
        listed = SetBatch.from_list(list(x), None if weights is None else list(weights))
        for a, b in ((dense.x, listed.x), (dense.w, listed.w), (dense.offsets, listed.offsets)):
            torch.testing.assert_close(a, b)
        assert dense.equal == listed.equal == (4 if weights is None else None)


@FEW
@given(batches())
def test_weights_sum_to_one(batch):
    total = torch.zeros(len(batch), dtype=batch.w.dtype).index_add(0, batch.owner, batch.w)
    close(total, torch.ones_like(total))


def test_arrays_may_run_backwards():
    x, w = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 1.0])
    batch = SetBatch.from_list([x[::-1], x[:, ::-1]], [w[::-1], w])
    np.testing.assert_array_equal(batch.x[:3].numpy(), x[::-1])
    np.testing.assert_array_equal(batch.x[3:].numpy(), x[:, ::-1])


@pytest.mark.parametrize(
    ("sets", "weights", "message"),
    [
        ([], None, "no set to pack"),
        ([np.zeros((2, 1)), np.zeros((0, 1))], None, "Set 1 is empty"),
        ([[[1.0], [math.nan]]], None, "Atom 1 of set 0 holds NaN or infinity"),
        ([[[1.0]], [[math.inf]]], None, "Atom 0 of set 1 holds NaN or infinity"),
        ([np.zeros((2, 1)), np.zeros((2, 3))], None, "event shapes"),
        ([1.0], None, "event shapes"),
        ([[[1.0]]], [[-1.0]], "not negative"),
        ([[[1.0]]], [[math.nan]], "finite"),
        ([[[1.0]], [[1.0], [2.0]]], [[1.0], [0.0, 0.0]], "set 1 sum to zero"),
        ([[[1.0]]], [[1.0], [1.0]], "1 sets but 2 weight vectors"),
        ([[[1.0]]], [[1.0, 1.0]], "Set 0 has 1 atoms but 2 weights"),
    ],
)
def test_what_cannot_be_packed(sets, weights, message):
    with pytest.raises(ValueError, match=message):
        SetBatch.from_list(sets, weights)


def test_what_the_constructor_refuses():
    x, w, offsets = torch.zeros(3, 1), torch.full((3,), 1 / 3), torch.tensor([0, 3])
    for bad in ((x, w[:2], offsets), (x, w.long(), offsets), (x, w, offsets.int())):
        with pytest.raises(ValueError, match=r"w|offsets"):
            SetBatch(*bad)
    with pytest.raises(ValueError, match="offsets"):
        SetBatch(x, w, offsets[None])
    with pytest.raises(ValueError, match="from 0 to N"):
        SetBatch(x, w, torch.tensor([0, 2])).checked()
    with pytest.raises(ValueError, match="sum to one"):
        SetBatch(x, 2 * w, offsets).checked()
    with pytest.raises(ValueError, match=r"\(B, m, \*event\)"):
        SetBatch.from_dense(torch.zeros(3))
    with pytest.raises(ValueError, match="no batch"):
        SetBatch.concat([])
    with pytest.raises(ValueError, match="event shapes"):
        SetBatch.concat([SetBatch.from_list([x]), SetBatch.from_list([torch.zeros(1, 2)])])


# -- draws ----------------------------------------------------------------------------------------


def numbered(sizes, weights=None):
    """Sets whose atoms are all different numbers."""
    first = np.concatenate([[0], np.cumsum(sizes)])
    return SetBatch.from_list(
        [np.arange(a, b, dtype=float)[:, None] for a, b in zip(first, first[1:], strict=False)],
        weights,
    )


@FEW
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 12), st.integers(0, 99)
)
def test_subsample_without_replacement(sizes, m, seed):
    batch = numbered(sizes)
    drawn = batch.subsample(m, stream(seed))
    assert drawn.sizes.tolist() == [min(s, m) for s in sizes]
    for few, whole in zip(rows_of(drawn), rows_of(batch), strict=True):
        assert len(set(few)) == len(few)
        assert set(few) <= set(whole)
    close(drawn.w, 1 / drawn.sizes[drawn.owner].double())
    again = batch.subsample(m, stream(seed))
    assert torch.equal(again.x, drawn.x)


@FEW
@given(batches(), st.integers(1, 9), st.integers(0, 99))
def test_subsample_of_anything(batch, m, seed):
    drawn = batch.subsample(m, stream(seed))
    drawn.checked()
    # repeated draws of one atom are one atom, so a weighted set may come out smaller
    assert (drawn.sizes <= batch.sizes.clamp_max(m)).all()
    for b, (few, whole) in enumerate(zip(rows_of(drawn), rows_of(batch), strict=True)):
        assert set(few) <= set(whole)
        if batch.sizes[b] <= m:  # kept as it is
            close(drawn[b].mean(drawn[b].x), batch[b].mean(batch[b].x))


def test_an_atom_of_no_weight_is_never_drawn():
    weights = [[0, 1, 1, 0, 2, 0], [1, 0, 0]]
    batch = numbered((6, 3), weights)
    for seed in range(50):
        for drawn in (batch.subsample(2, stream(seed)), batch.subsample(1, stream(seed))):
            assert set(drawn.x.flatten().tolist()) <= {1, 2, 4, 6}


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4, 0, 5]])
def test_draws_are_unbiased(weights):
    """The mean of a draw is that of the set, within five standard errors over 4000 draws."""
    x = np.array([3.0, -1, 4, 1, -5, 9])[:, None]
    copies, m = 4000, 2
    batch = SetBatch.from_list([x] * copies, None if weights is None else [weights] * copies)
    drawn = batch.subsample(m, stream(0, "unbiased"))
    means = drawn.mean(drawn.x)
    expected = np.average(x[:, 0], weights=weights)
    spread = np.average((x[:, 0] - expected) ** 2, weights=weights)
    # without replacement the variance has the factor (n - m) / (n - 1)
    variance = spread / m * ((6 - m) / 5 if weights is None else 1)
    assert abs(means.mean().item() - expected) < 5 * math.sqrt(variance / copies)
    if weights is None:  # the spread of the draws is right as well; 0.12 is five standard errors
        assert means.var().item() == pytest.approx(variance, rel=0.12)
    else:  # a systematic draw varies less than an independent one
        assert means.var().item() < variance


def test_frequencies_are_the_weights():
    w = np.array([0.05, 0.6, 0.0, 0.35])
    draws = 5000
    batch = numbered([4] * draws, [w] * draws)
    drawn = batch.subsample(1, stream(1, "frequencies")).x.flatten().long() % 4
    share = np.bincount(drawn.numpy(), minlength=4) / draws
    assert (abs(share - w) <= 5 * np.sqrt(w * (1 - w) / draws)).all()


@FEW
@given(
    st.lists(st.integers(2, 15), min_size=1, max_size=5),
    st.integers(1, 10),
    st.integers(1, 10),
    st.booleans(),
    st.integers(0, 99),
)
def test_split_is_disjoint(sizes, context, target, weighted, seed):
    rng = np.random.default_rng(seed)
    weights = [rng.integers(0, 3, size=m) for m in sizes] if weighted else None
    for w in weights or []:
        w[:2] = 1
    batch = numbered(sizes, weights)
    first, second = batch.split(context, target, stream(seed))
    positive = [int((w > 0).sum()) for _, w in parts(batch)]
    for b, n in enumerate(positive):
        one, other = (set(rows_of(part)[b]) for part in (first, second))
        assert not one & other
        assert one | other <= {
            tuple(x.tolist()) for x, w in zip(*parts(batch)[b], strict=True) if w
        }
        drawn = int(first.sizes[b]), int(second.sizes[b])
        if n >= context + target and weighted:  # repeated draws of one atom are one atom
            assert 1 <= drawn[0] <= context
            assert 1 <= drawn[1] <= target
        elif n >= context + target:
            assert drawn == (context, target)
        else:  # all atoms are used, in the proportion that was asked for
            assert int(first.sizes[b] + second.sizes[b]) == n
            assert abs(int(first.sizes[b]) - n * context / (context + target)) <= 1
    first.checked()
    second.checked()
    again, _ = batch.split(context, target, stream(seed))
    assert torch.equal(again.x, first.x)


def test_a_split_keeps_weights_in_proportion():
    batch = numbered([4], [[1, 2, 3, 4]])
    first, second = batch.split(2, 2, stream(0))
    for part in (first, second):
        share = part.x.flatten() + 1  # atom i weighs i + 1
        close(part.w, share / share.sum())


def test_a_split_has_no_favourites():
    """Every atom of a set is as often in the first part."""
    draws, n, context, target = 3000, 7, 2, 3
    first, _ = numbered([n] * draws).split(context, target, stream(2, "favourites"))
    share = np.bincount(first.x.flatten().long().numpy() % n, minlength=n) / draws
    p = context / n
    assert (abs(share - p) < 5 * math.sqrt(p * (1 - p) / draws)).all()


def test_what_cannot_be_drawn():
    batch = numbered([3, 1])
    with pytest.raises(ValueError, match="m = 0"):
        batch.subsample(0, stream(0))
    with pytest.raises(ValueError, match="must be at least 1"):
        batch.split(0, 2, stream(0))
    with pytest.raises(ValueError, match="Set 1 has 1 atom of positive weight"):
        batch.split(1, 1, stream(0))
    with pytest.raises(ValueError, match="Set 0 has 1 atom of positive weight"):
        numbered([3], [[0, 1, 0]]).split(1, 1, stream(0))


def test_gradients_are_the_same_bits_every_time_at_two_threads():
    # ragged, and large enough that torch divides the work
    sizes = torch.arange(200, 220)
    x = torch.randn(int(sizes.sum()), 64, generator=torch.Generator().manual_seed(0))
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    w = torch.repeat_interleave(1 / sizes, sizes)
    results = []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in range(4):
            batch = SetBatch(x, w.clone().requires_grad_(), offsets)
            h = x.clone().requires_grad_()
            centred = h - batch.expand(batch.mean(h))
            values, logits = batch.dense(centred)
            loss = (values.exp() * logits.exp().nan_to_num()[..., None]).sum()
            loss = loss + batch.mean(centred.square()).sqrt().sum()
            results.append(torch.autograd.grad(loss, [h, batch.w]))
    finally:
        torch.set_num_threads(threads)
    for gradients in results[1:]:
        assert all(map(torch.equal, gradients, results[0]))
