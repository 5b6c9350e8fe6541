"""The sampler: a pure function of (seed, k), disjoint parts, and every set equally often."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.data.observations import Observations
from distembed.data.synthetic.gaussians import Gaussians
from distembed.sets.construct import by_label
from distembed.sets.sampler import Sampler


def collection(sizes, weighted=False):
    label = np.repeat(np.arange(len(sizes)), sizes)
    x = np.arange(float(len(label)))[:, None]
    w = np.random.default_rng(0).random(len(label)) + 0.1
    return by_label(
        Observations(x, {"set": label, "w": w}), "set", weights="w" if weighted else None
    )


@given(
    st.lists(st.integers(2, 60), min_size=1, max_size=6),
    st.integers(1, 9),
    st.tuples(st.integers(1, 20), st.integers(0, 40)),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 20),
)
@settings(max_examples=60)
def test_parts_are_disjoint_and_belong_to_their_sets(sizes, batch, context, target, weighted, k):
    sets = collection(sizes, weighted)
    low, high = context[0], context[0] + context[1]
    sampler = Sampler(sets, batch=batch, context=(low, high), target=target, seed=1)
    a, b, index = sampler.step(k)
    assert len(a) == len(b) == len(index) == batch
    label = np.repeat(np.arange(len(sizes)), sizes)
    for s in range(batch):
        seen = [part[s].x[:, 0].long().tolist() for part in (a, b)]
        assert not set(seen[0]) & set(seen[1])
        assert set(label[seen[0] + seen[1]]) == {int(index[s])}
        assert 1 <= len(seen[0]) <= high
        assert 1 <= len(seen[1]) <= target
    a.checked(), b.checked()


def test_a_step_is_a_pure_function_of_seed_and_number():
    sets = collection([30] * 12)
    make = lambda seed: Sampler(sets, batch=5, context=(2, 20), target=4, seed=seed)  # noqa: E731
    one, two = make(0), pickle.loads(pickle.dumps(make(0)))
    later = [two.step(k) for k in (7, 3)]
    for k, there in zip((7, 3), later, strict=True):
        here = one.step(k)
        assert torch.equal(here[0].x, there[0].x)
        assert torch.equal(here[1].x, there[1].x)
        assert torch.equal(here[2], there[2])
    assert not torch.equal(one.step(3)[2], make(1).step(3)[2])
    assert not torch.equal(one.step(3)[2], one.step(4)[2])


@pytest.mark.parametrize("batch", [3, 7, 20])
def test_every_set_comes_equally_often(batch):
    sampler = Sampler(collection([5] * 7), batch=batch, context=(2, 2), target=2)
    index = torch.cat([sampler.step(k)[2] for k in range(7)])
    assert torch.bincount(index).tolist() == [batch] * 7
    assert sorted(index[:7].tolist()) == list(range(7)) == sorted(index[7:14].tolist())


def test_only_the_chosen_sets_are_read():
    sizes = [5, 1, 5, 5]
    label = np.repeat(np.arange(4), sizes)
    sets = by_label(Observations(np.zeros((16, 1)), {"set": label}), "set", min_size=1)
    sampler = Sampler(sets, batch=4, context=(2, 2), target=2, indices=[3, 0])
    assert torch.bincount(sampler.step(0)[2]).tolist() == [2, 0, 0, 2]
    with pytest.raises(ValueError, match="1 set has a single atom, the first being '1'"):
        Sampler(sets, batch=4, context=(2, 2), target=2)


def test_context_sizes_are_log_uniform_over_the_whole_range():
    sampler = Sampler(Gaussians([[0.0]], [[[1.0]]]), batch=1, context=(2, 7), target=1)
    sizes = np.array([len(sampler.step(k)[0].x) for k in range(800)])
    assert set(sizes) == set(range(2, 8))
    # [2, 4) and [4, 8) are a factor of two each
    assert abs((sizes < 4).mean() - 0.5) < 5 * 0.5 / 800**0.5


def test_atoms_of_a_weighted_set_keep_their_weights():
    sampler = Sampler(collection([6], weighted=True), batch=1, context=(9, 9), target=9)
    a, b, _ = sampler.step(0)
    w = collection([6], weighted=True).w
    for part in (a, b):
        own = w[part.x[:, 0].long().numpy()]
        assert np.allclose(part.w.numpy(), own / own.sum(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "at least 1"),
        ({"target": 0}, "at least 1"),
        ({"context": (5, 4)}, "range"),
        ({"indices": []}, "no set"),
    ],
)
def test_impossible_samplers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampler(collection([5]), **({"batch": 1, "context": (2, 3), "target": 1} | options))
