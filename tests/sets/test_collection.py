"""`Sets`: reads what was asked for and no more, from memory, a map or a sparse matrix."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.data.observations import Observations
from distembed.data.spaces import Counts, Tokens, Vectors
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label
from distembed.testing import check_collection

SIZES = [1, 2, 7, 500]


def make(kind="array", weighted=False, tmp_path=None, seed=0):
    """Sets of 1, 2, 7 and 500 atoms; the first feature is the row of the table."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat(np.arange(4), SIZES))
    x = np.c_[np.arange(len(label)), rng.poisson(0.5, (len(label), 2))].astype(np.float32)
    if kind == "sparse":
        x = scipy.sparse.csr_matrix(x)
    elif kind == "map":
        np.save(tmp_path / "x.npy", x)
        x = np.load(tmp_path / "x.npy", mmap_mode="r")
    columns = {"set": label}
    if weighted:
        columns["w"] = rng.random(len(label)) + 0.01
    obs = Observations(x, columns, ("row", "a", "b"))
    sets = by_label(obs, "set", weights="w" if weighted else None, min_size=1)
    order = np.argsort(sets.ids)
    return sets.select(order), x.toarray() if kind == "sparse" else np.asarray(x), label, columns


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["array", "sparse", "map"])
def test_a_batch_holds_the_atoms_and_weights_of_its_sets(kind, weighted, tmp_path):
    sets, x, label, columns = make(kind, weighted, tmp_path)
    assert isinstance(sets, Collection)
    check_collection(sets)
    assert sets.sizes.tolist() == SIZES
    assert sets.weighted == weighted
    batch = sets.batch([3, 0, 2]).checked()
    assert batch.x.dtype == torch.float32
    for b, s in enumerate([3, 0, 2]):
        assert np.array_equal(batch[b].x.numpy(), x[label == s])
        w = columns["w"][label == s] if weighted else np.ones(SIZES[s])
        assert np.allclose(batch[b].w.numpy(), w / w.sum())
    again = pickle.loads(pickle.dumps(sets))
    assert torch.equal(again.batch([3], 9, stream(1)).x, sets.batch([3], 9, stream(1)).x)


@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_are_the_set_in_pieces(weighted):
    sets, *_ = make(weighted=weighted)
    pieces, whole = list(sets.chunks(3, 64)), sets.batch([3])
    assert [len(p.x) for p in pieces] == [64] * 7 + [52]
    assert torch.equal(torch.cat([p.x for p in pieces]), whole.x)
    assert torch.allclose(torch.cat([p.w for p in pieces]), whole.w)


@given(st.integers(1, 600), st.integers(0, 99))
@settings(max_examples=40)
def test_a_draw_is_without_replacement(m, seed):
    sets, x, label, _ = make()
    batch = sets.batch([3, 2, 1], m, stream(seed)).checked()
    assert batch.sizes.tolist() == [min(m, s) for s in (500, 7, 2)]
    rows = batch.x[:, 0].long().numpy()
    assert len(np.unique(rows)) == len(rows)
    assert np.array_equal(label[rows], np.repeat([3, 2, 1], batch.sizes.numpy()))
    assert np.array_equal(batch.x.numpy(), x[rows])


def test_a_draw_from_a_weighted_set_follows_its_weights():
    x = np.array([[0.0], [1.0], [2.0]])
    w = np.array([0.5, 0.2, 0.3])
    sets = Sets(Observations(x), np.arange(3), np.array([0, 3]), np.array(["s"]), w)
    drawn = torch.cat([sets.batch([0] * 2000, 2, stream(k)).x for k in range(5)])
    seen = np.bincount(drawn[:, 0].long().numpy()) / len(drawn)
    assert (np.abs(seen - w) < 5 * np.sqrt(w * (1 - w) / len(drawn))).all()
    kept = sets.batch([0], 3, stream(0))
    assert torch.allclose(kept.w.double(), torch.from_numpy(w))


def test_a_draw_reads_the_drawn_atoms_only():
    class Watched(np.ndarray):
        read = 0

        def take(self, rows, axis):
            Watched.read += np.size(rows)
            return np.asarray(self).take(rows, axis)

    n = 100_000
    table = Observations(np.zeros((n, 1)).view(Watched))
    sets = Sets(table, np.arange(n), np.array([0, n]), np.array(["s"]))
    sets.batch([0], 32, stream(0))
    assert Watched.read == 32


def test_the_kind_of_atoms_decides_their_type():
    sets, *_ = make()
    assert sets.dtype == torch.float32
    double = replace(sets, double=True)
    assert (double.dtype, double.batch([1]).x.dtype) == (torch.float64, torch.float64)
    assert double.batch([1]).w.dtype == torch.float64
    stored = Observations(np.array([[3, 1], [2, 0]], np.uint8))
    tokens = Sets(
        stored, np.arange(2), np.array([0, 2]), np.array(["s"]), atoms=Tokens("ACG")
    ).checked()
    check_collection(tokens)
    assert tokens.dtype == torch.int64
    batch = tokens.batch([0])
    assert (batch.x.tolist(), batch.x.dtype) == ([[3, 1], [2, 0]], torch.int64)
    assert batch.w.dtype == torch.float32
    assert "of shape (2,), tokens)" in repr(tokens)
    with pytest.raises(ValueError, match="tokens, which are torch.int64"):
        replace(tokens, double=True)
    with pytest.raises(ValueError, match="A token is 3; tokens are 1 to 2"):
        replace(tokens, atoms=Tokens("AC")).checked()


def test_the_sets_of_a_batch():
    floats = Sets.from_batch(SetBatch.from_list([[[0.5]], [[1.0]]]))
    assert (floats.atoms, floats.dtype) == (Vectors(), torch.float32)
    assert Sets.from_batch(SetBatch.from_list([torch.zeros(1, 1).double()])).double
    counts = Sets.from_batch(SetBatch.from_list([[[3, 1]], [[2, 0]]]))
    assert (counts.atoms, counts.dtype) == (Counts(), torch.float32)
    batch = SetBatch.from_list([[[3, 1]], [[2]]])
    tokens = Sets.from_batch(batch, {"name": "tokens", "alphabet": "ACG"})
    assert torch.equal(tokens.batch([0, 1]).x, batch.x)
    assert tokens.dtype == torch.int64
    with pytest.raises(ValueError, match="pad before a token"):
        Sets.from_batch(SetBatch.from_list([[[0, 1]]]), Tokens("ACG"))


def test_selecting_and_metadata():
    sets, *_ = make(weighted=True)
    sets = sets.with_meta({"age": [10, 20, 30, 40]})
    part = sets.select([2, -4])
    assert part.ids.tolist() == ["2", "0"]
    assert part.meta["age"].tolist() == [30, 10]
    assert torch.equal(part.batch([0]).x, sets.batch([2]).x)
    assert torch.equal(part.batch([0]).w, sets.batch([2]).w)
    assert sets.select(sets.meta["age"] > 25).ids.tolist() == ["2", "3"]
    assert "4 sets of 1 to 500 atoms (median 4)" in repr(sets)
    assert "weighted, metadata age" in repr(sets)
    small = sets.select(np.flatnonzero(sets.sizes == 1)[:1])
    assert "Sets(1 set of 1 atom of shape" in repr(small)


def test_selecting_by_id_number_or_mask():
    sets, *_ = make()
    sets = replace(sets, ids=np.array(["10", "p1", "2", "0"]))
    for which, ids in [
        (["0", "10"], ["0", "10"]),
        (np.array(["2"]), ["2"]),
        (np.array(["2", "p1"], object), ["2", "p1"]),
        ("p1", ["p1"]),
        ([0, -1], ["10", "0"]),
        (np.array([2], np.uint8), ["2"]),
        (1, ["p1"]),
        (range(1, 3), ["p1", "2"]),
        (slice(None, None, 2), ["10", "2"]),
        ([True, False, False, True], ["10", "0"]),
        (torch.tensor([3, 1]), ["0", "p1"]),
    ]:
        assert sets.select(which).ids.tolist() == ids
    with pytest.raises(IndexError, match="no set 4: 4 sets are numbered from 0 to 3"):
        sets.select([0, 4])


def test_missing_values_are_named_where_they_are():
    sets, x, label, columns = make()
    row = int(np.flatnonzero(label == 2)[3])
    x = x.copy()
    x[row, 1] = np.nan
    for table in (x, scipy.sparse.csr_matrix(x)):
        broken = replace(sets, observations=Observations(table, {}, ("row", "a", "b")))
        broken.batch([3])
        message = f"Set '2' holds nan in feature 'a', row {row} of"
        with pytest.raises(ValueError, match=message):
            broken.batch([3, 2])
        with pytest.raises(ValueError, match=message):
            broken.checked()
        with pytest.raises(ValueError, match="Set '2' holds nan"):
            list(broken.chunks(2, 2))
        with pytest.raises(ValueError, match="Set '2' holds nan"):
            by_label(Observations(table, columns), "set")
        assert len(broken.select([0, 1, 3]).checked()) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 1, 3, 3, 510])}, "Set '2' is empty"),
        ({"ids": np.array(list("abca"))}, "'a' names more than one"),
        ({"ids": np.array(list("abc"))}, "3 ids"),
        ({"w": np.ones(510)}, "sum to"),
        ({"w": np.full(510, np.nan)}, "finite"),
        ({"meta": {"age": np.arange(3)}}, "'age' has shape"),
    ],
)
def test_records_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(make()[0], **change)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.batch([0], 3), "there is no rng"),
        (lambda s: s.batch([0], 0, stream(0)), "at least one atom"),
        (lambda s: list(s.chunks(0, 0)), "rows = 0"),
        (lambda s: s.select(np.array([True])), "4 sets"),
        (lambda s: s.select([]), "no set"),
        (lambda s: s.select([1, 1]), "more than one set"),
        (lambda s: s.select(["1", "1"]), "more than one set"),
        (lambda s: s.select(["11"]), "no set '11'; close names are: '1'"),
        (lambda s: s.select([1.0]), "of type float64 .* ids .strings., of numbers"),
        (lambda s: s.select([1, "2"]), "sets are chosen with"),
        (lambda s: s.select([[0, 1]]), "shape .1, 2."),
        (lambda s: s.select([None]), "of type object"),
        (lambda s: s.split(0.5, stratify="sex"), "no metadata columns.*data.meta=sex"),
        (lambda s: s.split(0.5, group="sex"), "no metadata columns.*data.metadata=FILE"),
        (lambda s: s.with_meta({"age": [1]}), "one value a set"),
    ],
)
def test_requests_that_make_no_sense_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(make()[0])
