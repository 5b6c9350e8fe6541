r"""Build batches that are hard on encoders, and other ways to write the same distributions.

A set is $\sum_i w_i \delta_{x_i}$ and nothing else, so a function of distributions obeys five
exact laws:

- *permute*: the order of the atoms does not matter;
- *replicate*: each atom k times with weight w / k is the same distribution;
- *split*: so is a set one atom of which is split into two of half the weight;
- *zero*: so is a set with another atom of weight zero;
- *independence*: the value of a set does not depend on the other sets of the batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.protocols import PreparedEncoder, PreparedGenerator
from distembed.rng import stream

__all__ = [
    "Draw",
    "Equivalent",
    "equivalents",
    "example_batch",
    "in_mode",
    "normal_atoms",
    "perturbed",
    "reloaded",
]

Draw = Callable[[int, torch.Generator], Tensor]
"""Draws m atoms of a new set, `(m, *event)`, with a generator."""


class Equivalent(NamedTuple):
    """A batch whose sets `rows` are the same distributions as the sets `sources` of another."""

    law: str
    batch: SetBatch
    rows: list[int]
    sources: list[int]


def normal_atoms(event_shape: tuple[int, ...]) -> Draw:
    """Return a draw of normal atoms, with a location and a scale of each set."""

    def draw(m: int, rng: torch.Generator) -> Tensor:
        shift, scale = torch.randn(2, *event_shape, generator=rng, dtype=torch.float64)
        noise = torch.randn(m, *event_shape, generator=rng, dtype=torch.float64)
        atoms: Tensor = shift + noise * (scale / 2).exp()
        return atoms

    return draw


def example_batch(
    draw: Draw, sizes: Sequence[int] = (1, 2, 7, 500), key: str = "example"
) -> SetBatch:
    """Draw sets with duplicated atoms, unequal weights and zero weights, in float64."""
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


def equivalents(batch: SetBatch, draw: Draw) -> Iterator[Equivalent]:
    """Write the sets of a batch in other ways, one or two for each of the five laws."""
    rng = stream(0, "twins")
    x, w, owner = batch.x, batch.w, batch.owner
    sets = torch.arange(len(batch))
    every = sets.tolist()

    order = torch.randperm(len(x), generator=rng)
    yield Equivalent("permute", _packed(x[order], w[order], owner[order]), every, every)

    times = (sets % 3 + 2)[owner]  # another k in each set, or BatchNorm would not change
    rows = torch.arange(len(x)).repeat_interleave(times)
    replicated = _packed(x[rows], (w / times)[rows], owner[rows])
    yield Equivalent("replicate", replicated, every, every)

    first = batch.offsets[:-1]
    rows = torch.cat([torch.arange(len(x)), first])
    halved = w.index_put((first,), w[first] / 2)
    yield Equivalent("split", _packed(x[rows], halved[rows], owner[rows]), every, every)

    atoms = torch.cat([x, *(draw(1, rng).to(x.dtype) for _ in every)])
    weights = torch.cat([w, w.new_zeros(len(batch))])
    extended = _packed(atoms, weights, torch.cat([owner, sets]))
    yield Equivalent("zero", extended, every, every)

    others = example_batch(draw, (3, 40, 90), "strangers").to(dtype=w.dtype)
    joined = SetBatch.concat([others, batch, others])
    yield Equivalent("independence", joined, (sets + 3).tolist(), every)
    # equal sizes and weights, which take the fast path
    yield Equivalent("independence", batch.select([1, 1]), [0, 1], [1, 1])


def perturbed(subject: object, draw: Draw, latent: int = 0) -> Any:
    """Return a prepared copy with perturbed parameters.

    A layer that is zero at the start obeys any law and blocks any gradient.

    Args:
        subject: An encoder or a generator.
        draw: Draws the atoms that the copy is prepared on.
        latent: Dimension of z for a generator; 0 for an encoder.
    """
    replica: Any = copy.deepcopy(subject)
    sets = 64 if latent else 24
    batch = example_batch(draw, [32] * sets, "prepare").to(dtype=torch.float32)
    if latent and isinstance(replica, PreparedGenerator):
        replica.prepare(batch, torch.randn(sets, latent, generator=stream(0, "prepare z")))
    elif isinstance(replica, PreparedEncoder):
        replica.prepare(batch)
    if isinstance(replica, nn.Module):
        rng = stream(0, "move")
        with torch.no_grad():
            for p in replica.parameters():
                p.add_(0.05 * torch.randn(p.shape, generator=rng))
    return replica


def in_mode(subject: Any, dtype: torch.dtype, train: bool) -> Any:
    """Return a copy of a dtype in train or in eval mode, or what is no module itself."""
    if not isinstance(subject, nn.Module):
        return subject
    return copy.deepcopy(subject).to(dtype).train(train)


def reloaded(original: nn.Module, subject: nn.Module, dtype: torch.dtype) -> Any:
    """Return a copy of the original with the state of `subject`."""
    replica = copy.deepcopy(original).to(dtype).train(subject.training)
    replica.load_state_dict(subject.state_dict())
    return replica


def _packed(x: Tensor, w: Tensor, owner: Tensor) -> SetBatch:
    order = owner.argsort(stable=True)
    sizes = owner.bincount()
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return SetBatch(x[order], w[order], offsets)
