"""Whether a divergence compares distributions and nothing else."""

from __future__ import annotations

import torch

from distembed.batch import SetBatch
from distembed.protocols import Divergence
from distembed.testing.example import Draw, example, plain, twins
from distembed.testing.report import Check, Report, change, fact, same_shape, verdict

__all__ = ["check_divergence"]

_ALLOWED = 1e-6  # a distance is the root of a number that is good to 1e-16


@torch.no_grad()
def check_divergence(
    divergence: Divergence,
    event_shape: tuple[int, ...],
    *,
    symmetric: bool = True,
    atoms: Draw | None = None,
) -> Report:
    """Check that a divergence is positive, zero on itself, symmetric, and obeys the five laws.

    In float64, between sets of different sizes with duplicates and zero weights.

    Args:
        divergence: Any callable `(SetBatch, SetBatch) -> (B,)`.
        event_shape: Shape of one atom.
        symmetric: Whether it should be; if not, the laws are asked of the first argument only.
        atoms: How to draw the atoms of a set, where they are not plain numbers.

    Raises:
        LawError: If a promise is broken.
        ValueError: If the result has another shape than `(B,)`.
    """
    draw = atoms or plain(event_shape)
    a = example(draw, (1, 2, 7, 60)).to(dtype=torch.float64)
    b = example(draw, (3, 1, 5, 40), "other").to(dtype=torch.float64)
    d = divergence(a, b)
    same_shape("The divergence", d, (len(a),))
    zero = float(divergence(a, a).abs().max() / d.max())
    checks = [
        fact("positive", bool((d > 0).all()), f"different sets are at {d.min():.3g}"),
        Check("itself", "", zero, _ALLOWED),
    ]
    if symmetric:
        checks.append(Check("symmetric", "", change(divergence(b, a), d), _ALLOWED))
    for law, twin, rows, of in twins(a, draw):
        partner = _facing(b, rows, of, len(twin))
        error = change(divergence(twin, partner)[rows], d[of])
        checks.append(Check(law, "first argument", error, _ALLOWED))
        if symmetric:
            error = change(divergence(partner, twin)[rows], d[of])
            checks.append(Check(law, "second argument", error, _ALLOWED))
    return verdict(divergence, checks)


def _facing(b: SetBatch, rows: list[int], of: list[int], length: int) -> SetBatch:
    """Sets of b in the places `rows`, to face their twins; any set faces a stranger."""
    index = [0] * length
    for row, i in zip(rows, of, strict=True):
        index[row] = i
    return b.select(index)
