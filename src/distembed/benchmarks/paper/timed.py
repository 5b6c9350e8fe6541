"""Training for a number of seconds: tables 2, 5 and 6 compare models at equal seconds."""

from __future__ import annotations

from typing import Any

from distembed.benchmarks.bench import Arm, Trial
from distembed.benchmarks.fitting import FittedModel
from distembed.protocols import Collection

__all__ = ["fit_for"]


def fit_for(
    trial: Trial[Any],
    arm: Arm,
    train: Collection,
    latent: int,
    seconds: float,
    pilot: int = 10,
) -> FittedModel:
    """Train for about so many seconds of wall time, all that is solved before included.

    Schedules count steps, so a pilot measures the seconds of a step, and of what is before them.

    Args:
        trial: The trial, with the settings of the training.
        arm: The model.
        train: Training sets.
        latent: Dimension of the embedding.
        seconds: Seconds; the model has two steps at least. None at all is the pilot alone.
        pilot: Steps of the pilot.
    """
    measured = trial.fit_arm(arm, train, latent, pilot)
    if not seconds:
        return measured
    before = measured.seconds - measured.step_seconds
    steps = max(2, measured.steps_in(max(seconds - before, 0)))
    fitted = trial.fit_arm(arm, train, latent, steps)
    trial.log(f"{trial.name}, {arm.label}: {steps} steps, {fitted.seconds:.0f} s")
    return fitted
