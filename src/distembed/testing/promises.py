"""What `distembed check encoder` measures, one row a promise.

An untrained copy is prepared, moved a little from where it starts, and shown uniform atoms: for
these a maximum has a limit that is known to be exponential. Each allowance is the target plus
three standard errors of what was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from distembed.batch import SetBatch
from distembed.encoders.streaming import embed_chunks
from distembed.inference.influence import is_smooth
from distembed.protocols import encoder_traits
from distembed.rng import stream
from distembed.testing.encoder import check_encoder
from distembed.testing.example import Draw, moved
from distembed.testing.normality import agreement, bias, spread, uniform
from distembed.testing.report import Check, LawError, change, fact

__all__ = ["Effort", "Outcome", "promises"]


@dataclass(frozen=True)
class Effort:
    """How much is drawn: sets of each size, sets for a covariance, atoms of the largest sets."""

    sets: int
    many: int
    largest: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of atoms, from 30 to the largest at equal ratios."""
        steps = max(2, round(2 * math.log10(self.largest / 30)))
        return tuple(round(30 * (self.largest / 30) ** (k / steps)) for k in range(steps + 1))


@dataclass(frozen=True)
class Outcome:
    """One line of the table, and the check behind it."""

    check: Check
    found: str
    wanted: str


def promises(encoder: Any, shape: tuple[int, ...], effort: Effort) -> Iterator[Outcome]:
    """Measure the laws, the spread of z, its derivative by the weights, and streaming."""
    try:
        laws = check_encoder(encoder, shape).checks
    except LawError as error:
        laws = error.report.checks
    yield from _law_rows(laws)
    if {c.law for c in laws if not c.ok} & {"finite", "repeat", "reads"}:
        return  # nothing that is measured on such a z means anything
    draw = uniform(shape)
    subject = moved(encoder, draw, torch.float32, train=False)
    yield from _spread_rows(subject, draw, effort)
    if not all(c.ok for c in laws):
        return  # what is no function of the weights has no derivative by them
    yield from _smooth_rows(subject, draw, effort)
    yield from _stream_rows(subject, draw)


def _law_rows(checks: Sequence[Check]) -> Iterator[Outcome]:
    """One row a law, of the check that comes nearest to its allowance, or exceeds it most."""
    for law in dict.fromkeys(c.law for c in checks):
        worst = max(
            (c for c in checks if c.law == law),
            key=lambda c: (not c.ok, c.error / (c.allowed or 1)),
        )
        yes_or_no = worst.detail or law in ("repeat", "state")
        found = ("holds" if worst.ok else "broken") if yes_or_no else f"{worst.error:.1e}"
        yield Outcome(worst, found, "holds" if yes_or_no else f"<= {worst.allowed:.0e}")


def _spread_rows(encoder: Any, draw: Draw, effort: Effort) -> Iterator[Outcome]:
    seen = spread(encoder, draw, effort.sizes, effort.sets)
    promised = encoder_traits(encoder).normal
    slope, p = seen.slope, seen.p_value
    allowed = 0.03 + 3 * slope.error
    detail = (
        f"the deviation of z falls as m^{slope.value:.3f}, not as m^-0.5; a sum grows with m, and "
        "a maximum has an extreme-value limit"
    )
    far = Check("root m", "", abs(slope.value + 0.5) if promised else 0.0, allowed, detail)
    wanted = f"-0.500 +- {allowed:.3f}" if promised else "not promised"
    yield Outcome(far, f"{slope.value:.3f}", wanted)
    largest = seen.sizes[-1]
    detail = (
        f"z of {largest} atoms is not normal, p = {p:.1e}; usual cause: a maximum, or a minimum"
    )
    normal = fact("normal", not promised or p > 0.01, detail)
    found = f"{seen.kolmogorov[-1]:.3f}, p = {p:.2g}"
    yield Outcome(normal, found, f"p > 0.01 at m = {largest}" if promised else "not promised")


def _smooth_rows(encoder: Any, draw: Draw, effort: Effort) -> Iterator[Outcome]:
    if not is_smooth(encoder):
        yield Outcome(fact("smooth", True, ""), "says no", "holds")
        return
    m = min(effort.largest, 1000)
    reference = SetBatch.from_dense(draw(1000 + m, stream(0, "reference")).unsqueeze(0))
    sizes = [size for size in effort.sizes if size <= m]
    try:
        seen = bias(encoder, reference, sizes, effort.sets)
        found = agreement(encoder, draw, m, effort.many, predicted=50)
    except ValueError as error:
        yield Outcome(fact("smooth", False, str(error).rstrip(".")), "no derivative", "holds")
        return
    slope = seen.slope
    allowed = 0.2 + 3 * (slope.error if slope else 0.0)
    detail = f"the bias of z falls as m^{slope.value:.2f}, not as m^-1" if slope else ""
    far = Check("bias", "", abs(slope.value + 1) if slope else 0.0, allowed, detail)
    yield Outcome(far, f"{slope.value:.2f}" if slope else "none seen", f"-1.00 +- {allowed:.2f}")
    noise = 3 * (2 / effort.many) ** 0.5 * 1.1  # the predictions are noisy too, but less
    for law, ratio, allowed in (
        ("variance", found.trace, 0.03 + noise / 2),
        ("variances", max(found.diagonal, key=lambda r: abs(r - 1)), 0.10 + noise),
    ):
        detail = (
            f"the derivative by the weights predicts {ratio:.2f} times the variance of z over "
            "sets; an encoder with a median inside has to say `smooth = False`"
        )
        off = Check(law, "", abs(ratio - 1), allowed, detail)
        yield Outcome(off, f"{ratio:.3f}", f"1.000 +- {allowed:.3f}")


def _stream_rows(encoder: Any, draw: Draw) -> Iterator[Outcome]:
    passes = encoder_traits(encoder).passes
    if passes is None:
        yield Outcome(fact("stream", True, ""), "says no", "holds")
        return
    whole = SetBatch.from_dense(draw(500, stream(0, "stream")).unsqueeze(0)).to(
        dtype=torch.float32
    )
    bounds = [0, 100, 350, 500]
    chunks = [
        SetBatch(whole.x[i:j], whole.w[i:j], torch.tensor([0, j - i]))
        for i, j in zip(bounds, bounds[1:], strict=False)
    ]
    with torch.no_grad():
        error = change(embed_chunks(encoder, lambda: chunks), encoder(whole))
    check = Check("stream", "", error, 1e-5)
    yield Outcome(check, f"{error:.1e}", f"<= 1e-05 in {passes} pass{'es' * (passes > 1)}")
