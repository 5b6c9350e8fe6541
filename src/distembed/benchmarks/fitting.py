"""Models that a benchmark trains, with the time of their training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from distembed.model.gde import GDE
from distembed.protocols import Collection, Objective
from distembed.training.config import TrainConfig

__all__ = ["FittedModel", "fit_model"]


@dataclass(frozen=True)
class FittedModel:
    """A trained model.

    Attributes:
        model: The model.
        seconds: Wall time of the whole fit, with what is solved before and after training.
        step_seconds: Wall time of the training steps after the first.
        steps: Number of steps.
    """

    model: GDE
    seconds: float
    step_seconds: float
    steps: int

    @property
    def ms_per_step(self) -> float:
        """Milliseconds of one training step."""
        return 1000 * self.step_seconds / self.steps

    def steps_in(self, step_seconds: float) -> int:
        """Return how many training steps of this model take so long: schedules count steps."""
        return max(1, round(self.steps * step_seconds / self.step_seconds))


def fit_model(
    model: GDE, train: Collection, config: TrainConfig, objectives: Sequence[Objective] = ()
) -> FittedModel:
    """Train a model, in place, and measure the time."""
    began = time.perf_counter()
    history = model.fit(train, config, objectives=objectives, progress=False).history
    seconds = time.perf_counter() - began
    step_seconds = history[-1]["seconds"] - history[0]["seconds"]
    return FittedModel(model, seconds, step_seconds, config.steps)
