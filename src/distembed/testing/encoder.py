"""Check that an encoder depends on distributions alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.protocols import Encoder
from distembed.rng import stream
from distembed.testing.example import (
    Draw,
    equivalents,
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

__all__ = ["TOLERANCE", "check_encoder", "gradient"]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Largest change of z that a law allows, relative to the largest number in z."""


def check_encoder(
    encoder: Encoder, event_shape: tuple[int, ...], *, atoms: Draw | None = None
) -> Report:
    """Check the five laws of an encoder, its state, and that a gradient reaches every parameter.

    The checks are on copies in float64 in eval mode and in float32 in both modes, on a batch with
    sets of 1, 2, 7 and 500 atoms, duplicates and zero weights. The copies are prepared where the
    encoder has a `prepare`, and their parameters are perturbed a little.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)` with an attribute `latent`.
        event_shape: Shape of one atom.
        atoms: Draws the atoms of a set; normal atoms by default.

    Raises:
        LawError: If a law is broken.
        ValueError: If z has another shape than `(B, latent)`.
    """
    draw = atoms or normal_atoms(event_shape)
    prepared = perturbed(encoder, draw)
    checks: list[Check] = []
    # training is in float32, embedding in both
    for dtype, train in ((torch.float64, False), (torch.float32, True), (torch.float32, False)):
        checks += _laws(encoder, in_mode(prepared, dtype, train), draw, dtype, train)
    subject = in_mode(prepared, torch.float64, train=True)
    if isinstance(subject, nn.Module) and any(p.requires_grad for p in subject.parameters()):
        z = subject(example_batch(draw).to(dtype=torch.float64))
        (z * torch.randn(z.shape, generator=stream(0, "probe"))).sum().backward()
        checks.append(gradient(subject))
    return verdict(encoder, checks)


@torch.no_grad()
def _laws(
    encoder: Encoder, subject: Encoder, draw: Draw, dtype: torch.dtype, train: bool
) -> list[Check]:
    where = f"{dtype}, {'train' if train else 'eval'}".removeprefix("torch.")
    batch = example_batch(draw).to(dtype=dtype)
    z = subject(batch)
    check_shape("z", z, (len(batch), encoder.latent))
    sizes = batch.sizes[~z.isfinite().all(1)].tolist()
    finite = requirement("finite", not sizes, f"z is not finite for sets of {sizes} atoms", where)
    repeat = Check("repeat", where, relative_change(subject(batch), z), 0.0)
    for check in (finite, repeat):  # either would break every other law too, and hide the cause
        if not check.ok:
            return [check]
    varies = relative_change(z[:1].expand_as(z), z) > 1e-6
    reads = requirement("reads", varies, "z is the same for different sets", where)
    checks = [finite, repeat, reads]
    for law, other, rows, sources in equivalents(batch, draw):
        error = relative_change(subject(other)[rows], z[sources])
        checks.append(Check(law, where, error, TOLERANCE[dtype]))
    if isinstance(encoder, nn.Module) and isinstance(subject, nn.Module):
        repeated = reloaded(encoder, subject, dtype)(batch)
        checks.append(Check("state", where, relative_change(repeated, z), 0.0))
    return checks


def gradient(module: nn.Module, z: Tensor | None = None) -> Check:
    """Check that every parameter has a finite gradient, and z if it is an argument."""
    tensors = dict(module.named_parameters()) | ({} if z is None else {"z": z})
    missing = [
        name
        for name, t in tensors.items()
        if t.requires_grad
        and (t.grad is None or not bool(t.grad.isfinite().all()) or not bool(t.grad.any()))
    ]
    return requirement("gradient", not missing, f"no finite gradient reaches {', '.join(missing)}")
