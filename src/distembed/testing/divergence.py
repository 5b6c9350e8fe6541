"""Check that a divergence depends on distributions alone."""

from __future__ import annotations

import torch

from distembed.batch import SetBatch
from distembed.protocols import Divergence
from distembed.testing.example import Draw, equivalents, example_batch, normal_atoms
from distembed.testing.report import (
    Check,
    Report,
    check_shape,
    relative_change,
    requirement,
    verdict,
)

__all__ = ["check_divergence"]


@torch.no_grad()
def check_divergence(
    divergence: Divergence,
    event_shape: tuple[int, ...],
    *,
    symmetric: bool = True,
    atoms: Draw | None = None,
    tolerance: float = 1e-6,
) -> Report:
    """Check that a divergence is positive, zero on itself, symmetric, and obeys the five laws.

    The checks are in float64, between sets of different sizes with duplicates and zero weights.

    Args:
        divergence: Any callable `(SetBatch, SetBatch) -> (B,)`.
        event_shape: Shape of one atom.
        symmetric: Whether it should be symmetric; if not, the laws are checked in the first
            argument alone.
        atoms: Draws the atoms of a set; normal atoms by default.
        tolerance: Largest relative change that a law allows. A distance is the root of a number
            with a relative error of 1e-16, so it cannot be much below 1e-8.

    Raises:
        LawError: If a law is broken.
        ValueError: If the result has another shape than `(B,)`.
    """
    draw = atoms or normal_atoms(event_shape)
    a = example_batch(draw, (1, 2, 7, 60)).to(dtype=torch.float64)
    b = example_batch(draw, (3, 1, 5, 40), "other").to(dtype=torch.float64)
    d = divergence(a, b)
    check_shape("The divergence", d, (len(a),))
    zero = float(divergence(a, a).abs().max() / d.max())
    checks = [
        requirement(
            "positive", bool((d > 0).all()), f"the divergence of different sets is {d.min():.3g}"
        ),
        Check("itself", "", zero, tolerance),
    ]
    if symmetric:
        checks.append(Check("symmetric", "", relative_change(divergence(b, a), d), tolerance))
    for law, other, rows, sources in equivalents(a, draw):
        partner = _facing(b, rows, sources, len(other))
        error = relative_change(divergence(other, partner)[rows], d[sources])
        checks.append(Check(law, "first argument", error, tolerance))
        if symmetric:
            error = relative_change(divergence(partner, other)[rows], d[sources])
            checks.append(Check(law, "second argument", error, tolerance))
    return verdict(divergence, checks)


def _facing(b: SetBatch, rows: list[int], sources: list[int], length: int) -> SetBatch:
    """Put the sets `sources` of b at the places `rows` of a batch of arbitrary sets."""
    index = [0] * length
    for row, i in zip(rows, sources, strict=True):
        index[row] = i
    return b.select(index)
