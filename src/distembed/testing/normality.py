r"""Measure the sampling distribution of z: its deviation, its normality and its bias in m atoms.

For a smooth functional of an empirical distribution (van der Vaart, 1998, chapter 20)

    z(P_m) = z(P) + Dz(P)[P_m - P] + R_m,    sqrt(m) Dz(P)[P_m - P] -> N(0, E psi psi^T),

so the deviation of z falls as $m^{-1/2}$, z becomes normal, and the bias $\mathbb{E} R_m$ falls as
$m^{-1}$. The bias is smaller than the deviation by a factor $\sqrt{m}$, so the linear term of the
same atoms is subtracted from each z: a control variate. Its mean is exactly zero, because P is a
finite reference whose own atoms are drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.inference.derivative import ATOMS
from distembed.inference.influence import double_copy, influence, predicted_covariance
from distembed.protocols import Encoder
from distembed.rng import stream
from distembed.testing.example import Draw

__all__ = ["Agreement", "Bias", "Slope", "Spread", "agreement", "bias", "spread", "uniform_atoms"]


@dataclass(frozen=True)
class Slope:
    """Estimate an exponent of m, with its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Spread:
    """Describe the distribution of z over sets of one distribution.

    Attributes:
        sizes: Numbers of atoms m.
        deviation: Root of the trace of the covariance of z, for each m.
        slope: Slope of log deviation in log m.
        kolmogorov: Largest Kolmogorov distance of a standardised projection to the normal, for
            each m.
        p_value: P-value of that distance at the largest m, corrected for the number of
            projections (Bonferroni). Mean and deviation are estimated from the same sets, which
            makes it conservative (Lilliefors, 1967): it is too large.
    """

    sizes: tuple[int, ...]
    deviation: tuple[float, ...]
    slope: Slope
    kolmogorov: tuple[float, ...]
    p_value: float


@dataclass(frozen=True)
class Bias:
    """Describe the bias of z: its mean over sets less z of their distribution.

    Attributes:
        sizes: Numbers of atoms m.
        bias: Norm of the bias for each m, its noise subtracted.
        error: Standard error of the norm, for each m.
        slope: Slope of log bias in log m, over sizes where the bias is above three standard
            errors; None where these are fewer than two, as for a linear encoder, which has no
            bias.
    """

    sizes: tuple[int, ...]
    bias: tuple[float, ...]
    error: tuple[float, ...]
    slope: Slope | None


@dataclass(frozen=True)
class Agreement:
    """Compare variances of z, predicted over empirical: of the trace, and of each coordinate."""

    trace: float
    diagonal: tuple[float, ...]


def uniform_atoms(event_shape: tuple[int, ...]) -> Draw:
    """Return a draw of atoms that are uniform on [0, 1] in every feature."""

    def draw(m: int, rng: torch.Generator) -> Tensor:
        return torch.rand(m, *event_shape, generator=rng, dtype=torch.float64)

    return draw


@torch.no_grad()
def spread(
    encoder: Encoder,
    draw: Draw,
    sizes: Sequence[int],
    sets: int,
    *,
    projections: int = 16,
    seed: int = 0,
) -> Spread:
    """Embed many sets of each size and describe the distribution of z.

    Args:
        encoder: An encoder in the mode and type that it is used in.
        draw: Draws m atoms, `(m, *event)`, always of the same distribution.
        sizes: At least two numbers of atoms.
        sets: Sets of each size.
        projections: Number of random directions in which normality is tested.
        seed: Seed of the draws.
    """
    clouds = [
        torch.cat([_embed(encoder, x) for x in _sets(draw, m, sets, stream(seed, "spread", m))])
        for m in sizes
    ]
    covariances = [cloud.T.cov().reshape(cloud.shape[1], -1) for cloud in clouds]
    deviation = [float(cov.trace().sqrt()) for cov in covariances]
    # Var(tr S) = 2 tr(Sigma^2) / (n - 1) for a Wishart S; a logarithm of a root halves it
    errors = [
        float(cov.square().sum().sqrt() / cov.trace() / (2 * (sets - 1)) ** 0.5)
        for cov in covariances
    ]
    distances, p_values = zip(*(_normality(c, projections) for c in clouds), strict=True)
    return Spread(
        tuple(sizes), tuple(deviation), _slope(sizes, deviation, errors), distances, p_values[-1]
    )


@torch.no_grad()
def bias(
    encoder: Encoder, reference: SetBatch, sizes: Sequence[int], sets: int, *, seed: int = 0
) -> Bias:
    """Estimate the bias of z over sets whose atoms are drawn, with replacement, from one set.

    Args:
        encoder: An encoder; a copy works in float64.
        reference: A batch of one set of equal weights, which is the distribution.
        sizes: Numbers of atoms.
        sets: Sets of each size.
        seed: Seed of the draws.

    Raises:
        ValueError: If z is not a smooth function of the weights.
    """
    exact, reference = double_copy(encoder), reference.to(dtype=torch.float64)
    (psi,), z = influence(encoder, reference), exact(reference)
    floor = 1e-12 * float(z.abs().max())  # the rounding error
    size, error = [], []

    def draw(m: int, rng: torch.Generator) -> Tensor:
        return torch.randint(len(psi), (m,), generator=rng)

    for m in sizes:
        remainder = torch.cat([
            _embed(exact, reference.x[rows]) - z - psi[rows].mean(1)
            for rows in _sets(draw, m, sets, stream(seed, "bias", m))
        ])  # fmt: skip
        noise = remainder.var(0).sum() / sets
        square = float(remainder.mean(0).square().sum() - noise)
        size.append(max(square, 0.0) ** 0.5)
        error.append(max(float(noise.sqrt()), floor))
    rows = [k for k in range(len(size)) if size[k] > 3 * error[k]]
    slope = None
    if len(rows) > 1:
        values = [size[k] for k in rows]
        slope = _slope([sizes[k] for k in rows], values, [error[k] / size[k] for k in rows])
    return Bias(tuple(sizes), tuple(size), tuple(error), slope)


@torch.no_grad()
def agreement(
    encoder: Encoder, draw: Draw, m: int, sets: int, *, predictions: int = 100, seed: int = 0
) -> Agreement:
    """Compare the covariance that single sets predict with the covariance over many sets.

    Args:
        encoder: An encoder.
        draw: Draws m atoms, always of the same distribution.
        m: Number of atoms of a set.
        sets: Sets that the empirical covariance is taken over.
        predictions: Sets whose predictions are averaged; a single one errs by several per cent.
        seed: Seed of the draws.

    Raises:
        ValueError: If z is not a smooth function of the weights.
    """
    rng = stream(seed, "agreement", m)
    predicted = torch.cat([
        predicted_covariance(encoder, SetBatch.from_dense(x)).diagonal(dim1=1, dim2=2)
        for x in _sets(draw, m, predictions, rng)
    ]).mean(0)  # fmt: skip
    empirical = torch.cat([_embed(encoder, x) for x in _sets(draw, m, sets, rng)]).var(0)
    varying = empirical > 1e-9 * empirical.max()
    ratios = predicted[varying] / empirical[varying]
    return Agreement(float(predicted.sum() / empirical.sum()), tuple(ratios.tolist()))


def _sets(draw: Draw, m: int, sets: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Draw sets of m atoms, in batches that bound the memory, `(B, m, *event)`."""
    size = max(1, ATOMS // m)
    for start in range(0, sets, size):
        count = min(size, sets - start)
        yield draw(count * m, rng).unflatten(0, (count, m))


def _embed(encoder: Encoder, x: Tensor) -> Tensor:
    parameters = encoder.parameters() if isinstance(encoder, nn.Module) else ()
    dtype = next((p.dtype for p in parameters), x.dtype)
    return encoder(SetBatch.from_dense(x).to(dtype=dtype)).double()


def _normality(cloud: Tensor, projections: int) -> tuple[float, float]:
    """Return the largest Kolmogorov distance over projections, and its corrected p-value."""
    from scipy.stats import kstest

    directions = torch.randn(
        cloud.shape[1], projections, generator=stream("directions"), dtype=torch.float64
    )
    # so that no coordinate dominates by its scale
    scale = cloud.std(0)
    unit = torch.where(scale > 0, (cloud - cloud.mean(0)) / scale, 0.0)
    line = unit @ directions
    line = line / line.std(0)
    tests = [kstest(column.numpy(), "norm") for column in line.unbind(1)]
    worst = min(tests, key=lambda test: float(test.pvalue))
    return float(worst.statistic), min(1.0, projections * float(worst.pvalue))


def _slope(sizes: Sequence[int], values: Sequence[float], errors: Sequence[float]) -> Slope:
    """Fit log values in log m by least squares; the errors are those of the logarithms."""
    x, y, e = (torch.tensor(v, dtype=torch.float64) for v in (sizes, values, errors))
    x = x.log() - x.log().mean()
    pull = x / x.square().sum()
    return Slope(float(pull @ y.log()), float((pull * e).norm()))
