"""Models that are fitted for a bench, and what their training took."""

from __future__ import annotations

from dataclasses import dataclass

from distembed.model.gde import GDE
from distembed.protocols import Collection, Objective
from distembed.training.config import TrainConfig

__all__ = ["Timed", "fit_timed"]


@dataclass(frozen=True)
class Timed:
    """A fitted model, the seconds of its training steps, and their number."""

    model: GDE
    seconds: float
    steps: int

    def steps_in(self, seconds: float) -> int:
        """Return how many steps of this model take so long: schedules count steps."""
        return max(1, round(self.steps * seconds / self.seconds))


def fit_timed(
    model: GDE,
    train: Collection,
    config: TrainConfig,
    steps: int,
    objectives: tuple[Objective, ...] = (),
) -> Timed:
    """Fit for a number of steps, a fifth of them warm-up, and time what comes after the first."""
    settings = config.model_copy(update={"steps": steps, "warmup": steps // 5})
    history = model.fit(train, settings, objectives=objectives, progress=False).history
    return Timed(model, history[-1]["seconds"] - history[0]["seconds"], steps)
