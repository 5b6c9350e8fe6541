"""Measure an encoder for `distembed check encoder`, one row of a table for each check.

An untrained copy is prepared, perturbed a little, and applied to uniform atoms, for which the
limit of a maximum is exponential. Each allowance is the target plus three standard errors of the
draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from distembed.batch import SetBatch
from distembed.encoders.streaming import StreamedEncoder, embed_chunks
from distembed.protocols import Encoder, encoder_traits
from distembed.rng import stream
from distembed.testing.encoder import check_encoder
from distembed.testing.example import Draw, in_mode, perturbed
from distembed.testing.normality import Slope, agreement, bias, spread, uniform_atoms
from distembed.testing.report import Check, LawError, relative_change, requirement

__all__ = ["CheckRow", "Effort", "encoder_checks"]


@dataclass(frozen=True)
class Effort:
    """Choose the numbers of draws.

    Attributes:
        sets: Sets of each size.
        covariance_sets: Sets that the empirical covariance is taken over.
        largest: Atoms of the largest sets.
    """

    sets: int
    covariance_sets: int
    largest: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of atoms, from 30 to the largest at equal ratios."""
        steps = max(2, round(2 * math.log10(self.largest / 30)))
        return tuple(round(30 * (self.largest / 30) ** (k / steps)) for k in range(steps + 1))


@dataclass(frozen=True)
class CheckRow:
    """One row of the table: a check, its measured value and the expected value as text."""

    check: Check
    value: str
    expected: str


def encoder_checks(
    encoder: Encoder, event_shape: tuple[int, ...], effort: Effort
) -> Iterator[CheckRow]:
    """Measure the laws, the spread of z, its derivative by the weights, and streaming."""
    try:
        laws = check_encoder(encoder, event_shape).checks
    except LawError as error:
        laws = error.report.checks
    yield from _law_rows(laws)
    if {c.law for c in laws if not c.ok} & {"finite", "repeat", "reads"}:
        return  # no measurement of such a z is meaningful
    draw = uniform_atoms(event_shape)
    subject = in_mode(perturbed(encoder, draw), torch.float32, train=False)
    yield from _spread_rows(subject, draw, effort)
    if not all(c.ok for c in laws):
        return  # a z that does not depend on the weights alone has no derivative by them
    yield from _derivative_rows(subject, draw, effort)
    yield _stream_row(subject, draw)


def _law_rows(checks: Sequence[Check]) -> Iterator[CheckRow]:
    """Show, for each law, the check that is nearest to its allowance, or exceeds it most."""
    for law in dict.fromkeys(c.law for c in checks):
        worst = max(
            (c for c in checks if c.law == law),
            key=lambda c: (not c.ok, c.error / (c.allowed or 1)),
        )
        if worst.detail or law in ("repeat", "state"):
            yield CheckRow(worst, "holds" if worst.ok else "broken", "holds")
        else:
            yield CheckRow(worst, f"{worst.error:.1e}", f"<= {worst.allowed:.0e}")


def _spread_rows(encoder: Encoder, draw: Draw, effort: Effort) -> Iterator[CheckRow]:
    result = spread(encoder, draw, effort.sizes, effort.sets)
    slope, p, largest = result.slope, result.p_value, result.sizes[-1]
    allowed = 0.03 + 3 * slope.error
    normal = encoder_traits(encoder).normal
    rate = Check(
        "root m",
        "",
        abs(slope.value + 0.5) if normal else 0.0,
        allowed,
        f"the deviation of z falls as m^{slope.value:.3f}, not as m^-0.5; a sum grows with m, and "
        "a maximum has an extreme-value limit",
    )
    limit = requirement(
        "normal",
        not normal or p > 0.01,
        f"z of {largest} atoms is not normal, p = {p:.1e}; usual cause: a maximum, or a minimum",
    )
    expected = (f"-0.500 +- {allowed:.3f}", f"p > 0.01 at m = {largest}")
    if not normal:
        expected = ("not promised", "not promised")
    yield CheckRow(rate, f"{slope.value:.3f}", expected[0])
    yield CheckRow(limit, f"{result.kolmogorov[-1]:.3f}, p = {p:.2g}", expected[1])


def _derivative_rows(encoder: Encoder, draw: Draw, effort: Effort) -> Iterator[CheckRow]:
    if not encoder_traits(encoder).smooth:
        yield CheckRow(requirement("smooth", True, ""), "not smooth", "holds")
        return
    m = min(effort.largest, 1000)
    reference = SetBatch.from_dense(draw(1000 + m, stream(0, "reference")).unsqueeze(0))
    sizes = [size for size in effort.sizes if size <= m]
    try:
        slope = bias(encoder, reference, sizes, effort.sets).slope
        ratios = agreement(encoder, draw, m, effort.covariance_sets, predictions=50)
    except ValueError as error:
        check = requirement("smooth", False, str(error).rstrip("."))
        yield CheckRow(check, "no derivative", "holds")
        return
    yield _bias_row(slope)
    # the predictions have errors too, but smaller ones
    noise = 3 * (2 / effort.covariance_sets) ** 0.5 * 1.1
    worst = max(ratios.diagonal, key=lambda ratio: abs(ratio - 1))
    yield _variance_row("variance", ratios.trace, 0.03 + noise / 2)
    yield _variance_row("variances", worst, 0.10 + noise)


def _bias_row(slope: Slope | None) -> CheckRow:
    """Compare the rate of the bias with m^-1; an encoder without bias has no rate."""
    if slope is None:
        return CheckRow(Check("bias", "", 0.0, 0.2), "no bias", "-1.00 +- 0.20")
    allowed = 0.2 + 3 * slope.error
    detail = f"the bias of z falls as m^{slope.value:.2f}, not as m^-1"
    check = Check("bias", "", abs(slope.value + 1), allowed, detail)
    return CheckRow(check, f"{slope.value:.2f}", f"-1.00 +- {allowed:.2f}")


def _variance_row(law: str, ratio: float, allowed: float) -> CheckRow:
    detail = (
        f"the derivative by the weights predicts {ratio:.2f} times the variance of z over sets; "
        "an encoder with a median inside has the trait `smooth=False`"
    )
    check = Check(law, "", abs(ratio - 1), allowed, detail)
    return CheckRow(check, f"{ratio:.3f}", f"1.000 +- {allowed:.3f}")


def _stream_row(encoder: Encoder, draw: Draw) -> CheckRow:
    passes = encoder_traits(encoder).passes
    if passes is None:
        return CheckRow(requirement("stream", True, ""), "not streamed", "holds")
    if not isinstance(encoder, StreamedEncoder):
        detail = f"traits.passes is {passes}, but there is no method `stages`"
        return CheckRow(requirement("stream", False, detail), "no stages", "holds")
    whole = SetBatch.from_dense(draw(500, stream(0, "stream")).unsqueeze(0)).to(
        dtype=torch.float32
    )
    bounds = [0, 100, 350, 500]
    chunks = [
        SetBatch(whole.x[i:j], whole.w[i:j], torch.tensor([0, j - i]))
        for i, j in zip(bounds, bounds[1:], strict=False)
    ]
    with torch.no_grad():
        error = relative_change(embed_chunks(encoder, lambda: chunks), encoder(whole))
    check = Check("stream", "", error, 1e-5)
    return CheckRow(check, f"{error:.1e}", f"<= 1e-05 in {passes} pass{'es' * (passes > 1)}")
