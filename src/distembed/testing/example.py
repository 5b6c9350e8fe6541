r"""Batches that are hard on encoders, and the same distributions written in other ways.

A set is $\sum_i w_i \delta_{x_i}$ and nothing else, so whatever sees distributions obeys five
exact laws:

- *permute*: the order of the atoms does not matter;
- *replicate*: each atom k times with weight w / k is the same distribution;
- *split*: so is one atom taken apart into two of half the weight;
- *zero*: so is a set with one more atom of weight zero;
- *independence*: what is said of a set does not depend on the other sets of the batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.rng import stream

__all__ = ["Draw", "Twin", "example", "moved", "plain", "restored", "twins"]

Draw = Callable[[int, torch.Generator], Tensor]
"""Draws so many atoms of a new set, `(m, *event)`; for events that are not plain numbers."""


class Twin(NamedTuple):
    """A batch whose sets `rows` are the same distributions as the sets `of` of another batch."""

    law: str
    batch: SetBatch
    rows: list[int]
    of: list[int]


def plain(event_shape: tuple[int, ...]) -> Draw:
    """Normal atoms around a location and at a scale of their set."""

    def draw(m: int, rng: torch.Generator) -> Tensor:
        shift, scale = torch.randn(2, *event_shape, generator=rng, dtype=torch.float64)
        noise = torch.randn(m, *event_shape, generator=rng, dtype=torch.float64)
        atoms: Tensor = shift + noise * (scale / 2).exp()
        return atoms

    return draw


def example(draw: Draw, sizes: Sequence[int] = (1, 2, 7, 500), key: str = "example") -> SetBatch:
    """Sets with duplicated atoms, unequal weights and zero weights, where there is room."""
    rng = stream(0, key)
    atoms, weights = [], []
    for m in sizes:
        x, w = draw(m, rng), torch.ones(m, dtype=torch.float64)
        if m > 2:
            x[1] = x[0]
            w = torch.rand(m, generator=rng, dtype=torch.float64) + 0.1
            w[2::5] = 0
        atoms.append(x)
        weights.append(w)
    return SetBatch.from_list(atoms, weights)


def twins(batch: SetBatch, draw: Draw) -> Iterator[Twin]:
    """Write the sets of a batch in other ways, one or two for each of the five laws."""
    rng = stream(0, "twins")
    x, w, owner = batch.x, batch.w, batch.owner
    sets = torch.arange(len(batch))
    every = sets.tolist()

    order = torch.randperm(len(x), generator=rng)
    yield Twin("permute", _packed(x[order], w[order], owner[order]), every, every)

    times = (sets % 3 + 2)[owner]  # another k in each set, or BatchNorm would not notice
    rows = torch.arange(len(x)).repeat_interleave(times)
    yield Twin("replicate", _packed(x[rows], (w / times)[rows], owner[rows]), every, every)

    first = batch.offsets[:-1]
    rows = torch.cat([torch.arange(len(x)), first])
    halved = w.index_put((first,), w[first] / 2)
    yield Twin("split", _packed(x[rows], halved[rows], owner[rows]), every, every)

    more = torch.cat([draw(1, rng) for _ in every]).to(x.dtype)
    nothing = w.new_zeros(len(batch))
    added = _packed(torch.cat([x, more]), torch.cat([w, nothing]), torch.cat([owner, sets]))
    yield Twin("zero", added, every, every)

    strangers = example(draw, (3, 40, 700), "strangers").to(dtype=w.dtype)
    together = SetBatch.concat([strangers, batch, strangers])
    yield Twin("independence", together, (sets + 3).tolist(), every)
    # equal sizes and weights, which take the fast path
    yield Twin("independence", batch.select([1, 1]), [0, 1], [1, 1])


def moved(subject: object, draw: Draw, dtype: torch.dtype, train: bool, latent: int = 0) -> Any:
    """Return a prepared copy, its parameters away from where they start.

    A layer that starts at zero obeys any law and blocks any gradient.
    """
    twin: Any = copy.deepcopy(subject)
    if callable(getattr(twin, "prepare", None)):
        batch = example(draw, [32] * (64 if latent else 24), "prepare").to(dtype=torch.float32)
        rng = stream(0, "prepare z")
        twin.prepare(batch, *([torch.randn(64, latent, generator=rng)] if latent else []))
    if isinstance(twin, nn.Module):
        rng = stream(0, "move")
        with torch.no_grad():
            for p in twin.parameters():
                p.add_(0.05 * torch.randn(p.shape, generator=rng))
        twin.to(dtype).train(train)
    return twin


def restored(original: nn.Module, subject: nn.Module, dtype: torch.dtype) -> Any:
    """Return a copy of the original that is given the state of `subject`."""
    twin = copy.deepcopy(original).to(dtype).train(subject.training)
    twin.load_state_dict(subject.state_dict())
    return twin


def _packed(x: Tensor, w: Tensor, owner: Tensor) -> SetBatch:
    order = owner.argsort(stable=True)
    sizes = owner.bincount()
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return SetBatch(x[order], w[order], offsets)
