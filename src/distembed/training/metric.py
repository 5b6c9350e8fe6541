r"""Train the correction of an encoder on measured W2, before the joint training.

A pair of sets has the debiased squared W2

    y = (W^2(a_i, a_j) + W^2(b_i, b_j)) / 2 - (W^2(a_i, b_i) + W^2(a_j, b_j)) / 2

between random halves a and b of their atoms: zero on average for two samples of one distribution.
A step divides the sets of some pairs anew and encodes the halves by themselves,

    q    = <z_i^a - z_j^a, z_i^b - z_j^b>,
    loss = mean of (q - y)^2 / (max(y, 0) + y_0 / 5) / y_0,      y_0 the mean of y.

The halves have no atom in common, so their sampling errors are independent
and q estimates the squared distance of the embeddings of the distributions: nothing rewards noise.
The weights are those of values whose variance grows with their size, as that of a measured W2^2
does. A correction costs

    penalty * mean |z - z_0|^2 / (L u^2),

u^2 the mean variance of a coordinate of the start z_0, because a few thousand noisy pairs decide
less than a network has parameters. Where pairs of held-out sets show no gain, none is made. A gain
is judged after the one factor that fits these pairs best, since a calibration sets the unit of
latent distances anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.training.weights import WeightAverage

__all__ = [
    "CorrectedEncoder",
    "MetricGain",
    "MetricScore",
    "MetricSettings",
    "MetricTraining",
    "TooFewPairsError",
    "W2Pairs",
]


class TooFewPairsError(ValueError):
    """The sets have too few pairs whose W2 teaches anything; the message says why."""


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
        fewest_sets: With fewer sets of enough atoms, training or held out, there is no training.
        fewest_atoms: Smaller sets are left out.
        sets: Number of sets that are paired, at most.
        numbers: Coordinates of the measured atoms together, at most.
        measured: Atoms of each half of a set between which W2 is measured, at most.
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

    fewest_sets: int = 8
    fewest_atoms: int = 16
    sets: int = 1024
    numbers: int = 2**25
    measured: int = 64
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
class W2Pairs:
    """Debiased squared W2 of pairs of sets of a collection.

    Attributes:
        rows: Positions of the two sets in the collection, `(P, 2)`.
        w2_squared: Squared W2 of the pairs, `(P,)`; single estimates may be negative.
    """

    rows: NDArray[np.int64]
    w2_squared: NDArray[np.float64]


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
        to_ground: Brings atoms to the space in which the encoder and W2 live.
        collection: The sets.
        seed: Decides pairs, atoms and halves.
        settings: Sizes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        to_ground: Callable[[SetBatch], SetBatch],
        collection: Collection,
        seed: int,
        settings: MetricSettings = MetricSettings(),
    ) -> None:
        self.encoder, self.to_ground, self.collection = encoder, to_ground, collection
        self.seed, self.settings = seed, settings

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
        pairs = self.measure(training, min(settings.pairs, steps * size))
        validation = self.measure(held_out, min(settings.held_out_pairs, steps * size))
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
    def measure(self, candidates: NDArray[np.int64], count: int) -> W2Pairs:
        """Measure the debiased squared W2 of random pairs of some sets.

        Raises:
            TooFewPairsError: If too few are large enough.
        """
        settings, rng = self.settings, stream(self.seed, "metric pairs", len(candidates))
        large = candidates[self.collection.sizes[candidates] >= settings.fewest_atoms]
        if len(large) < settings.fewest_sets:
            raise TooFewPairsError(
                f"{len(large)} sets have {settings.fewest_atoms} atoms or more, and W2 is learned "
                f"from at least {settings.fewest_sets}."
            )
        fit = settings.numbers // (2 * settings.measured * self._width(large))
        limit = max(settings.fewest_sets, min(settings.sets, fit, 2 * count))
        rows = large[torch.randperm(len(large), generator=rng)[:limit].numpy()]
        sets, own = len(rows), torch.arange(len(rows))
        halves = self._halves(rows.tolist(), settings.measured, rng)
        first = torch.arange(count) % sets
        pairs = torch.stack(
            [first, (first + torch.randint(1, sets, (count,), generator=rng)) % sets], 1
        )
        between = pairwise_w2(halves, torch.cat([pairs, pairs + sets])).double().square()
        within = pairwise_w2(halves, torch.stack([own, own + sets], 1)).double().square()
        w2_squared = between.view(2, -1).mean(0) - within[pairs].mean(1)
        return W2Pairs(rows[pairs.numpy()], w2_squared.cpu().numpy())

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
        halves = self._halves(pairs.rows[some].flatten().tolist(), self.settings.encoded, rng)
        assert isinstance(self.encoder, CorrectedEncoder)
        start, correction = self.encoder.parts(halves)
        z = (start + correction).float().view(2, len(some), 2, -1)
        a, b = (z[:, :, 0] - z[:, :, 1]).unbind()
        return (a * b).sum(1), correction.square().mean() / self.encoder.unit.square()

    def _weight(self, y: Tensor, unit: float) -> Tensor:
        """Return the weights of pairs with these squared W2."""
        return 1 / (y.clamp_min(0) + self.settings.level * unit)

    def _width(self, sets: NDArray[np.int64]) -> int:
        """Return the number of coordinates of an atom in the ground space."""
        atom = self.collection.batch([int(sets[0])], 1, stream(0, "width"))
        return self.to_ground(atom).x.numel()

    def _step_pairs(self, training: NDArray[np.int64]) -> int:
        """Return the number of pairs of a step, by the width of atoms."""
        settings = self.settings
        fit = settings.step_numbers // (4 * settings.encoded * self._width(training))
        return min(settings.step_pairs, max(4, fit))

    def _halves(self, rows: list[int], atoms: int, rng: torch.Generator) -> SetBatch:
        """Draw two disjoint parts of some sets in the ground space: first those of all sets."""
        sets = self.collection.batch(rows, 2 * atoms, rng)
        return self.to_ground(SetBatch.concat(list(sets.split(atoms, atoms, rng))))
