"""Batches with missing values: every operation carries the mask, and x is refused."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.rng import stream


def masked():
    """Values that name their row; a value is missing where row + column is a multiple of 3."""
    x = torch.arange(20.0).unsqueeze(1).expand(20, 2).clone()
    observed = (torch.arange(20).unsqueeze(1) + torch.arange(2)) % 3 != 0
    w = torch.arange(1.0, 21.0)
    offsets = torch.tensor([0, 8, 20])
    return SetBatch(torch.where(observed, x, torch.nan), w, offsets, observed)._normalised()


def assert_carried(batch):
    """Check the mask of each atom against the one that its row has."""
    assert batch.observed is not None
    row = batch.filled.amax(1).round().long()
    expected = (row.unsqueeze(1) + torch.arange(2)) % 3 != 0
    # row 0 has a missing first and a measured second value, both zero
    assert torch.equal(batch.observed, expected)
    assert not batch.filled[~batch.observed].any()


OPERATIONS = {
    "select": lambda b: b.select([1, 0, 1]),
    "item": lambda b: b[1],
    "keep": lambda b: b.keep(torch.arange(20) % 2 == 0),
    "replace": lambda b: b.replace(w=torch.ones(20)),
    "concat": lambda b: SetBatch.concat([b, b]),
    "subsample": lambda b: b.subsample(5, stream("draw")),
    "subsample equal": lambda b: b.replace(w=1 / b.sizes[b.owner]).subsample(5, stream("draw")),
    "context": lambda b: b.split(4, 4, stream("split"))[0],
    "target": lambda b: b.split(4, 4, stream("split"))[1],
    "to": lambda b: b.to(dtype=torch.float64),
    "checked": lambda b: b.checked(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_carry_the_mask(name):
    assert_carried(OPERATIONS[name](masked()))


def test_sets_without_and_with_a_mask_are_concatenated():
    plain = SetBatch.from_list([[[7.0, 7.0]]])
    both = SetBatch.concat([plain, masked()])
    assert both.observed[0].all()
    assert torch.equal(both.observed[1:], masked().observed)


def test_columns_are_chosen_with_their_masks():
    swapped = masked().columns([1, 0])
    assert torch.equal(swapped.observed, masked().observed[:, [1, 0]])
    assert torch.equal(swapped.filled, masked().filled[:, [1, 0]])


def test_complete_atoms_are_refused_and_what_is_defined_is_named():
    for name in ("x", "flat", "flat64"):
        with pytest.raises(ValueError, match=r"missing.*fit, embed.*Impute"):
            getattr(masked(), name)
    assert masked().with_nan.isnan().equal(~masked().observed)
    assert "missing values" in repr(masked())


def test_w2_refuses_masks():
    with pytest.raises(ValueError, match="missing"):
        pairwise_w2(masked(), torch.tensor([[0, 1]]))


def test_no_mask_costs_nothing():
    plain = SetBatch.from_list([[[7.0, 7.0]]])
    assert plain.observed is None
    assert plain.x is plain.filled
    assert plain.without_empty() is plain


@pytest.mark.parametrize(
    "observed", [torch.ones(20, dtype=torch.bool), torch.ones(20, 2)], ids=["shape", "type"]
)
def test_masks_of_another_shape_or_type_are_refused(observed):
    with pytest.raises(ValueError, match="observed has shape"):
        SetBatch(torch.zeros(20, 2), torch.ones(20), torch.tensor([0, 20]), observed)


def test_a_value_that_was_measured_must_be_finite():
    observed = torch.tensor([[True, False], [True, True]])
    x = torch.tensor([[0.0, torch.nan], [torch.nan, 0.0]])
    batch = SetBatch(x, torch.full((2,), 0.5), torch.tensor([0, 2]), observed)
    with pytest.raises(ValueError, match="Atom 1 of set 0"):
        batch.checked()
