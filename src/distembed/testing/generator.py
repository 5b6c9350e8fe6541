r"""Check the loss and the samples of a generator.

A loss may draw noise for each atom, so that two atoms of half the weight do not have exactly the
loss of one atom. With the same rng two laws are exact: neither the *value* of an atom of weight
zero nor anything in another set changes the loss of a set. That a split atom counts as one is
a law of the mean over the noise, which is tested within 5 standard errors of the difference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.protocols import Generator, generator_traits
from distembed.rng import stream
from distembed.testing.encoder import TOLERANCE, gradient
from distembed.testing.example import (
    Draw,
    example_batch,
    in_mode,
    normal_atoms,
    perturbed,
    reloaded,
)
from distembed.testing.report import (
    Check,
    Report,
    check_shape,
    relative_change,
    requirement,
    verdict,
)

__all__ = ["check_generator"]

_TOLERANCE = TOLERANCE[torch.float32]


def check_generator(
    generator: Generator,
    event_shape: tuple[int, ...],
    latent: int,
    *,
    atoms: Draw | None = None,
    draws: int = 256,
) -> Report:
    """Check the loss, the gradient, the samples and the state of a generator, in float32.

    Args:
        generator: A module, or any object with `loss` and `sample`.
        event_shape: Shape of one atom.
        latent: Dimension of z.
        atoms: Draws the atoms of a set; normal atoms by default.
        draws: Number of draws of the noise that the mean of the loss is taken over.

    Raises:
        LawError: If a law is broken.
        ValueError: If the loss or a sample has another shape than `(B,)` or `(B, n, *event)`.
    """
    draw = atoms or normal_atoms(event_shape)
    batch = example_batch(draw).to(dtype=torch.float32)
    z = torch.randn(len(batch), latent, generator=stream(0, "z"))
    prepared = perturbed(generator, draw, latent)
    subject = in_mode(prepared, torch.float32, train=False)
    with torch.no_grad():
        checks = _loss(subject, batch, z, draw) + _samples(subject, z, event_shape)
        checks.append(_split_in_the_mean(subject, z[:1], draw, draws))
        if isinstance(generator, nn.Module):
            replica = reloaded(generator, subject, torch.float32)
            error = relative_change(replica.loss(batch, z, _rng()), subject.loss(batch, z, _rng()))
            checks.append(Check("state", "loss", error, 0.0))
    if isinstance(generator, nn.Module):
        subject = in_mode(prepared, torch.float32, train=True)
        subject.loss(batch, z.requires_grad_(), _rng()).sum().backward()
        checks.append(gradient(subject, z))
    return verdict(generator, checks)


def _loss(subject: Any, batch: SetBatch, z: Tensor, draw: Draw) -> list[Check]:
    loss = subject.loss(batch, z, _rng())
    check_shape("The loss", loss, (len(batch),))
    other = draw(len(batch.x), stream(0, "other atoms")).to(batch.x.dtype)

    def changed_loss(rows: Tensor, z: Tensor) -> Tensor:
        mask = rows.reshape(-1, *[1] * len(batch.event_shape))
        changed = batch.replace(x=torch.where(mask, other, batch.x))
        value: Tensor = subject.loss(changed, z, _rng())
        return value

    checks = [
        requirement("finite", bool(loss.isfinite().all()), "the loss is not finite"),
        Check("seed", "loss", relative_change(subject.loss(batch, z, _rng()), loss), 0.0),
        Check("zero", "loss", relative_change(changed_loss(batch.w == 0, z), loss), _TOLERANCE),
    ]
    for b in (0, len(batch) - 1):
        others = z.roll(1, 0).index_put((torch.tensor([b]),), z[b])
        error = relative_change(changed_loss(batch.owner != b, others)[b], loss[b])
        checks.append(Check("independence", "loss", error, _TOLERANCE))
    return checks


def _samples(subject: Any, z: Tensor, event_shape: tuple[int, ...]) -> list[Check]:
    fixed = generator_traits(subject).fixed_size
    for n in (1, 3, 17) if fixed is None else (fixed,):
        x = subject.sample(z, n, _rng())
        check_shape("The sample", x, (len(z), n, *event_shape))
    alone = subject.sample(z[:1], n, _rng())
    check_shape("The sample", alone, (1, n, *event_shape))
    other = subject.sample(z, n, stream(0, "other noise"))
    same_type = x.dtype == z.dtype or not x.is_floating_point()
    return [
        requirement("finite", bool(x.isfinite().all()), "the sample is not finite"),
        requirement("dtype", same_type, f"z is {z.dtype} and the sample {x.dtype}"),
        requirement("random", bool((other != x).any()), "another rng draws the same atoms"),
        Check("seed", "sample", relative_change(subject.sample(z, n, _rng()), x), 0.0),
    ]


def _split_in_the_mean(subject: Any, z: Tensor, draw: Draw, draws: int) -> Check:
    """Compare mean losses of a set before and after its first atom is split."""
    x = draw(4, stream(0, "split"))
    if x.is_floating_point():
        x[0] += 5  # far from the others, so that its weight matters
    w = torch.tensor([0.7, 0.1, 0.1, 0.1])
    halved = torch.tensor([0.35, 0.35, 0.1, 0.1, 0.1])
    losses = []
    for atoms, weights in ((x, w), (torch.cat([x[:1], x]), halved)):
        sets = SetBatch.from_list([atoms] * draws, [weights] * draws).to(dtype=z.dtype)
        rng = stream(0, "draws", len(atoms))
        losses.append(subject.loss(sets, z.expand(draws, -1), rng).double())
    one, two = losses
    noise = ((one.var() + two.var()) / draws).sqrt() + _TOLERANCE * one.mean().abs()
    errors = float((one.mean() - two.mean()).abs() / noise)
    detail = f"a split atom moves the mean loss by {errors:.0f} standard errors, allowed 5"
    return Check("weights", "loss", errors, 5.0, detail)


def _rng() -> torch.Generator:
    return stream(0, "noise")
