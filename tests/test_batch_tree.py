"""A batch is a tree of tensors to torch, and can be made of padded sets."""

import pytest
import torch
from torch.utils import _pytree

from distembed.batch import SetBatch
from distembed.encoders import ENCODERS
from distembed.encoders.deepsets import DeepSets
from distembed.nn.portable import portable
from distembed.protocols import PreparedEncoder
from distembed.registry import applicable, build
from distembed.rng import stream


def ragged(d=3, dtype=torch.float64):
    rng = stream("tree")
    sets = [torch.randn(m, d, generator=rng).to(dtype) for m in (4, 9, 1, 6)]
    weights = [torch.rand(len(s), generator=rng).to(dtype) + 0.1 for s in sets]
    return sets, weights


def padded(sets, weights, fill):
    """The same sets with rows of weight zero at the end."""
    m = max(map(len, sets))
    x = torch.full((len(sets), m, *sets[0].shape[1:]), fill, dtype=sets[0].dtype)
    w = torch.zeros(len(sets), m, dtype=sets[0].dtype)
    for b, (atoms, share) in enumerate(zip(sets, weights, strict=True)):
        x[b, : len(atoms)], w[b, : len(atoms)] = atoms, share
    return x, w


# -- padded sets --------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [0.0, 1e3])
@pytest.mark.parametrize("elementary", [False, True])
@pytest.mark.parametrize("name", applicable(ENCODERS, "vectors"))
def test_encoders_embed_padded_sets_as_packed_ones(name, elementary, fill):
    """Atoms of weight zero cannot be seen, whatever they are, by elementary operations too."""
    sets, weights = ragged()
    torch.manual_seed(0)
    encoder = build(ENCODERS, name, "encoder", (3,), 8).double()
    batch = SetBatch.from_list(sets, weights)
    if isinstance(encoder, PreparedEncoder):
        encoder.prepare(batch)
    for p in encoder.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=stream("p", p.numel())).double()
    expected = encoder(batch)
    x, w = padded(sets, weights, fill)
    if elementary:
        with portable():
            z = encoder(SetBatch.from_padded(x, w))
    else:
        z = encoder(SetBatch.from_padded(x, w))
    # elimination and Cholesky differ by eps times the condition number of a set of one atom
    torch.testing.assert_close(z, expected, rtol=1e-9, atol=1e-9)


def test_weights_of_padded_sets_are_relative():
    sets, weights = ragged()
    x, w = padded(sets, weights, 0.0)
    a, b = SetBatch.from_padded(x, w), SetBatch.from_padded(x, 7 * w)
    torch.testing.assert_close(a.w, b.w)
    torch.testing.assert_close(a.mass, torch.ones(4, dtype=torch.float64))
    assert a.sizes.tolist() == [9, 9, 9, 9]
    assert torch.equal(a.owner, SetBatch(a.x, a.w, a.offsets).owner)


def test_dense_rows_of_equal_sizes_are_those_of_the_general_case():
    sets, weights = ragged()
    x, w = padded(sets, weights, 5.0)
    batch = SetBatch.from_padded(x, w)
    h, log_w = batch.dense(batch.x)
    general = SetBatch(batch.x, batch.w, batch.offsets)
    general.__dict__["common_size"] = None
    expected, expected_w = general.dense(batch.x)
    torch.testing.assert_close(h, expected)
    torch.testing.assert_close(log_w, expected_w)


# -- the tree -----------------------------------------------------------------------------------


def test_a_batch_has_its_tensors_as_leaves():
    batch = SetBatch.from_list(*ragged())
    leaves, tree = _pytree.tree_flatten(batch)
    assert [leaf.data_ptr() for leaf in leaves] == [
        t.data_ptr() for t in (batch.filled, batch.w, batch.offsets)
    ]
    again = _pytree.tree_unflatten(leaves, tree)
    assert again.mean(again.x).equal(batch.mean(batch.x))
    assert again.observed is None


def test_missing_values_stay_missing():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    observed = torch.tensor([[True, False], [True, True]])
    batch = SetBatch(x, torch.full((2,), 0.5), torch.tensor([0, 2]), observed)
    again = _pytree.tree_map(torch.clone, batch)
    assert again.observed.equal(observed)
    with pytest.raises(ValueError, match="missing"):
        _ = again.x


def test_a_function_of_leaves_maps_a_batch_inside_a_structure():
    batch = SetBatch.from_list(*ragged())
    tree = _pytree.tree_map(
        lambda t: t.float() if t.is_floating_point() else t, {"batch": batch, "n": torch.ones(2)}
    )
    assert tree["batch"].x.dtype == torch.float32
    assert tree["batch"].offsets.dtype == torch.int64
    assert len(tree["batch"]) == len(batch)


def test_what_was_computed_is_not_taken_along_to_other_tensors():
    batch = SetBatch.from_dense(torch.randn(2, 3, 1))
    assert batch.equal == 3
    w = torch.tensor([0.5, 0.25, 0.25, 1.0, 0.0, 0.0])
    leaves, tree = _pytree.tree_flatten(batch)
    other = _pytree.tree_unflatten([leaves[0], w, leaves[2]], tree)
    assert other.equal is None
    assert other.mean(other.x)[1].equal(batch.x[3])


def test_derivatives_by_a_batch():
    batch = SetBatch.from_list(*ragged())
    grads = torch.func.grad(lambda w: batch.replace(w=w).mean(batch.x).sum(), argnums=0)(batch.w)
    # d mean / d w_i = (x_i - mean) for weights that sum to one
    expected = (batch.x - batch.expand(batch.mean(batch.x))).sum(1)
    torch.testing.assert_close(grads, expected)


@pytest.mark.skipif(torch.__version__ < (2, 13), reason="exports need a newer torch")
def test_torch_export_takes_a_batch():
    torch.manual_seed(0)
    encoder = DeepSets((3,), 4, width=8, depth=1)
    batch = SetBatch.from_dense(torch.randn(2, 5, 3))
    program = torch.export.export(encoder, (batch,))
    other = SetBatch.from_dense(torch.randn(2, 5, 3))
    torch.testing.assert_close(program.module()(other), encoder(other))
