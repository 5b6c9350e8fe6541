"""Training for a number of seconds: tables 2, 5 and 6 compare models at equal seconds."""

from __future__ import annotations

import time
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
    """Train for about so many seconds of the processor.

    Schedules count steps, so a pilot measures how long a step takes, and which share of the time
    the process has the processor: other work on the machine does not shorten the training. What is
    solved before and after the steps is not counted.

    Args:
        trial: The trial, with the settings of the training.
        arm: The model.
        train: Training sets.
        latent: Dimension of the embedding.
        seconds: Seconds; zero for the pilot alone.
        pilot: Steps of the pilot.
    """
    began = time.process_time()
    measured = trial.fit_arm(arm, train, latent, pilot)
    share = min(1.0, (time.process_time() - began) / measured.seconds)
    if not seconds:
        return measured
    steps = max(2, measured.steps_in(seconds / share))
    fitted = trial.fit_arm(arm, train, latent, steps)
    trial.log(f"{trial.name}, {arm.label}: {steps} steps, {fitted.seconds:.0f} s")
    return fitted
