r"""Train the correction of an encoder on measured W2, before the joint training.

Pairs of sets have a debiased squared W2, y, measured once (`distembed.training.w2_pairs`). A step
divides the sets of some pairs anew into halves a and b, and encodes the halves by themselves,

    q    = <z_i^a - z_j^a, z_i^b - z_j^b>,
    loss = mean of (q - y)^2 / (max(y, 0) + y_0 / 5) / y_0,      y_0 the mean of y.

The halves have no atom in common, so their sampling errors are independent and q estimates the
squared distance of the embeddings of the distributions: nothing rewards noise. The weights are
those of values whose variance grows with their size, as that of a W2^2. A correction costs

    penalty * mean |z - z_0|^2 / (L u^2),

u^2 the mean variance of a coordinate of the start z_0, because a few thousand noisy pairs decide
less than a network has parameters. Where pairs of held-out sets show no gain, none is made. A gain
is judged after the one factor that fits these pairs best, since a calibration sets the unit of
latent distances anyway.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.rng import stream
from distembed.training.w2_pairs import HalvedSets, TooFewPairsError, W2Pairs
from distembed.training.weights import WeightAverage

__all__ = [
    "CorrectedEncoder",
    "MetricGain",
    "MetricScore",
    "MetricSettings",
    "MetricTraining",
]


@runtime_checkable
class CorrectedEncoder(Protocol):
    """An encoder that is the sum of a start and of a correction."""

    unit: Tensor
    """Root of the mean variance of a coordinate of the start, over training sets."""

    def parts(self, batch: SetBatch) -> tuple[Tensor, Tensor]:
        """Return the start and the correction, `(B, L)` each."""


@dataclass(frozen=True)
class MetricSettings:
    """Settings of the training on W2.

    Attributes:
        pairs: Pairs of training sets, at most, and no more than the steps draw.
        held_out_pairs: The same of held-out sets.
        encoded: Atoms of each half of a set that are encoded, at most.
        step_pairs: Pairs of a step, at most: fewer, at least four, where atoms are wide.
        step_numbers: Coordinates of the atoms of a step, at most, above four pairs.
        level: Share of the mean squared W2 that is added to it in the weight of a pair.
        penalty: Weight of the size of a correction.
        every: Steps between validations.
        warmup: Steps over which the learning rate rises.
        ema: Largest decay of the weight average.
    """

    pairs: int = 10_000
    held_out_pairs: int = 200
    encoded: int = 128
    step_pairs: int = 16
    step_numbers: int = 2**20
    level: float = 0.2
    penalty: float = 0.3
    every: int = 100
    warmup: int = 50
    ema: float = 0.99


@dataclass(frozen=True)
class MetricScore:
    """Agreement of latent distances with measured W2 on pairs of held-out sets.

    Attributes:
        loss: The weighted error of squared distances, in the unit that fits best.
        rank_correlation: That of squared latent distances with squared W2; both have noise.
    """

    loss: float
    rank_correlation: float


@dataclass(frozen=True)
class MetricGain:
    """Scores on pairs of held-out sets before and after the training.

    Attributes:
        before: That of the start.
        after: That of the best correction; the same if none was better.
        steps: Steps that were taken.
    """

    before: MetricScore
    after: MetricScore
    steps: int

    def __bool__(self) -> bool:
        return self.after.loss < self.before.loss

    def __str__(self) -> str:
        if self:
            share = 1 - self.after.loss / self.before.loss
            ranks = [f"{score.rank_correlation:.3f}" for score in (self.before, self.after)]
            return (
                f"{self.steps} steps on measured W2: the error of distances of held-out sets fell "
                f"by {share:.0%}, and their rank correlation went from {ranks[0]} to {ranks[1]}"
            )
        return (
            f"{self.steps} steps on measured W2: no gain on held-out sets, so distances are those "
            "of the closed form"
        )


class MetricTraining:
    """Measure W2 on pairs of sets, and train a corrected encoder on it.

    Args:
        encoder: A `CorrectedEncoder` with trained parameters.
        sets: The sets, in the space in which the encoder and W2 live.
        seed: Decides pairs, atoms and halves.
        settings: Sizes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        sets: HalvedSets,
        seed: int,
        settings: MetricSettings = MetricSettings(),
    ) -> None:
        self.encoder, self.sets, self.seed, self.settings = encoder, sets, seed, settings

    def fit(
        self, training: NDArray[np.int64], held_out: NDArray[np.int64], steps: int, lr: float
    ) -> MetricGain:
        """Train in place, and leave the averaged weights that are best on held-out sets.

        Args:
            training: The sets whose pairs are trained on.
            held_out: The sets whose pairs validate.
            steps: Steps of the optimiser.
            lr: Largest learning rate.

        Raises:
            TooFewPairsError: If too few sets are large enough, or no two differ.
            ValueError: If a loss is not finite.
        """
        settings, size = self.settings, self._step_pairs(training)
        pairs, validation = (
            self.sets.measure(
                rows, min(most, steps * size), stream(self.seed, "metric pairs", len(rows)), role
            )
            for rows, most, role in (
                (training, settings.pairs, "training"),
                (held_out, settings.held_out_pairs, "validation"),
            )
        )
        unit = float(pairs.w2_squared.clip(0).mean())
        if not unit > 0:
            raise TooFewPairsError("The sets are no further apart than samples of one of them.")
        average = WeightAverage(self.encoder, settings.ema)
        parameters = list(average.parameters.values())
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=1e-4, fused=True)
        best = [p.detach().clone() for p in parameters]
        before = after = self._validate(validation, unit)
        self.encoder.train()
        for k in range(steps):
            rng = stream(self.seed, "metric", k)
            some = torch.randint(len(pairs.rows), (size,), generator=rng).numpy()
            error, penalty = self._loss(pairs, some, unit, rng)
            optimizer.zero_grad(set_to_none=True)
            (error + settings.penalty * penalty).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            warm = min(1.0, (k + 1) / settings.warmup)
            optimizer.param_groups[0]["lr"] = lr * warm * (1 + math.cos(math.pi * k / steps)) / 2
            optimizer.step()
            average.update(k)
            if (k + 1) % settings.every == 0 or k + 1 == steps:
                with average.applied():
                    score = self._validate(validation, unit)
                    if score.loss < after.loss:
                        after, best = score, [p.detach().clone() for p in parameters]
                self.encoder.train()
        with torch.no_grad():
            for parameter, value in zip(parameters, best, strict=True):
                parameter.copy_(value)
        self.encoder.eval()
        return MetricGain(before, after, steps)

    @torch.no_grad()
    def _validate(self, pairs: W2Pairs, unit: float) -> MetricScore:
        """Score all pairs, with the same halves at each call.

        Raises:
            ValueError: If an embedding is not finite.
        """
        from scipy.stats import spearmanr

        self.encoder.eval()
        parts = np.array_split(np.arange(len(pairs.rows)), max(1, len(pairs.rows) // 32))
        halves = (stream(self.seed, "metric validation", k) for k in range(len(parts)))
        squared = [self._squared(pairs, *part)[0] for part in zip(parts, halves, strict=True)]
        q, y = torch.cat(squared).double(), torch.from_numpy(pairs.w2_squared)
        if not q.isfinite().all():
            raise ValueError(
                "A distance of held-out sets is not finite in the training on measured W2. Look "
                "for extreme values among the atoms, or fit with metric_steps=0."
            )
        weight = self._weight(y, unit)
        factor = (weight * q * y).sum() / (weight * q.square()).sum().clamp_min(1e-300)
        loss = (weight * (factor.clamp_min(0) * q - y).square()).mean() / unit
        ranks = spearmanr(q, y).statistic if len(q) > 2 else math.nan
        return MetricScore(float(loss), float(ranks))

    def _loss(
        self, pairs: W2Pairs, some: NDArray[np.int64], unit: float, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the mean weighted error of some pairs, and the mean size of the corrections."""
        q, size = self._squared(pairs, some, rng)
        y = torch.from_numpy(pairs.w2_squared[some]).to(q)
        return (self._weight(y, unit) * (q - y).square()).mean() / unit, size

    def _squared(
        self, pairs: W2Pairs, some: NDArray[np.int64], rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return unbiased squared latent distances, and the mean size of the corrections."""
        halves = self.sets.draw(pairs.rows[some].flatten().tolist(), self.settings.encoded, rng)
        assert isinstance(self.encoder, CorrectedEncoder)
        start, correction = self.encoder.parts(halves)
        z = (start + correction).float().view(2, len(some), 2, -1)
        a, b = (z[:, :, 0] - z[:, :, 1]).unbind()
        return (a * b).sum(1), correction.square().mean() / self.encoder.unit.square()

    def _weight(self, y: Tensor, unit: float) -> Tensor:
        """Return the weights of pairs with these squared W2."""
        return 1 / (y.clamp_min(0) + self.settings.level * unit)

    def _step_pairs(self, training: NDArray[np.int64]) -> int:
        """Return the number of pairs of a step, by the width of atoms."""
        settings = self.settings
        fit = settings.step_numbers // (4 * settings.encoded * self.sets.width(training))
        return min(settings.step_pairs, max(4, fit))
