"""Whether an encoder sees distributions and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.protocols import Encoder
from distembed.rng import stream
from distembed.testing.example import Draw, example, moved, plain, restored, twins
from distembed.testing.report import Check, Report, change, fact, same_shape, verdict

__all__ = ["TOLERANCE", "check_encoder", "gradient"]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Largest change of z that a law allows, relative to the largest number in z."""


def check_encoder(
    encoder: Encoder, event_shape: tuple[int, ...], *, atoms: Draw | None = None
) -> Report:
    """Check the five laws of an encoder, its state, and that a gradient reaches every parameter.

    It works on copies in float64 and float32, in train and in eval mode, on a batch with sets of
    1, 2, 7 and 500 atoms, duplicates and zero weights. Where the encoder has a `prepare` it is
    called first, and parameters are moved a little from where they start.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)` with an attribute `latent`.
        event_shape: Shape of one atom.
        atoms: How to draw the atoms of a set, where they are not plain numbers.

    Raises:
        LawError: If a law is broken.
        ValueError: If z has another shape than `(B, latent)`.
    """
    draw = atoms or plain(event_shape)
    checks: list[Check] = []
    for dtype in TOLERANCE:
        for train in (True, False):
            checks += _laws(encoder, moved(encoder, draw, dtype, train), draw, dtype, train)
    subject = moved(encoder, draw, torch.float64, train=True)
    if isinstance(subject, nn.Module) and any(p.requires_grad for p in subject.parameters()):
        z = subject(example(draw).to(dtype=torch.float64))
        (z * torch.randn(z.shape, generator=stream(0, "probe"))).sum().backward()
        checks.append(gradient(subject))
    return verdict(encoder, checks)


@torch.no_grad()
def _laws(
    encoder: Encoder, subject: Encoder, draw: Draw, dtype: torch.dtype, train: bool
) -> list[Check]:
    where = f"{dtype}, {'train' if train else 'eval'}".removeprefix("torch.")
    batch = example(draw).to(dtype=dtype)
    z = subject(batch)
    same_shape("z", z, (len(batch), encoder.latent))
    bad = batch.sizes[~z.isfinite().all(1)].tolist()
    finite = fact("finite", not bad, f"z is not finite for sets of {bad} atoms", where)
    repeat = Check("repeat", where, change(subject(batch), z), 0.0)
    for first in (finite, repeat):  # either would break every other law too, and hide the cause
        if not first.ok:
            return [first]
    varies = change(z[:1].expand_as(z), z) > 1e-6
    reads = fact("reads", varies, "z is the same for different sets", where)
    checks = [finite, repeat, reads]
    for law, twin, rows, of in twins(batch, draw):
        checks.append(Check(law, where, change(subject(twin)[rows], z[of]), TOLERANCE[dtype]))
    if isinstance(encoder, nn.Module) and isinstance(subject, nn.Module):
        again = restored(encoder, subject, dtype)(batch)
        checks.append(Check("state", where, change(again, z), 0.0))
    return checks


def gradient(module: nn.Module, z: Tensor | None = None) -> Check:
    """Check that a finite gradient has reached every parameter, and z where it is given."""
    tensors = dict(module.named_parameters()) | ({} if z is None else {"z": z})
    missing = [
        name
        for name, t in tensors.items()
        if t.requires_grad
        and (t.grad is None or not bool(t.grad.isfinite().all()) or not bool(t.grad.any()))
    ]
    return fact("gradient", not missing, f"no finite gradient reaches {', '.join(missing)}")
