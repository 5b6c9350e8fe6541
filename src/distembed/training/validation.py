"""Validation: the loss on held-out sets, with the same atoms and the same noise every time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from distembed.protocols import Step
from distembed.training.distributed import Ranks
from distembed.training.health import Conditional, health

__all__ = ["Validation", "mean_loss"]


def mean_loss(module: nn.Module, step: Step) -> Tensor:
    """Average the losses of the sets of a step, in float32."""
    losses: Tensor = module(step)
    return losses.float().mean()


class Validation:
    """Score a module on fixed steps of held-out sets.

    Args:
        steps: The steps; without any, nothing is scored.
        ranks: The processes that share out the steps.

    Attributes:
        advice: The usual fixes where the embedding carries no signal; None where it does.
    """

    def __init__(self, steps: Sequence[Step], ranks: Ranks | None = None) -> None:
        self.steps, self.ranks = steps, ranks or Ranks()
        self.advice: str | None = None

    def __bool__(self) -> bool:
        return bool(self.steps)

    def score(self, module: nn.Module, number: int) -> dict[str, float]:
        """Return the validation loss after a number of steps, and the health of z if it has one.

        The health is measured by rank 0 alone.

        Raises:
            ValueError: If the loss is not finite.
        """
        for step in self.steps:  # the same noise in every validation
            step.rng.manual_seed(step.rng.initial_seed())
        losses = np.zeros(len(self.steps), np.float32)
        for i in self.ranks.share(range(len(self.steps))):
            losses[i] = float(mean_loss(module, self.steps[i]))
        loss = float(torch.from_numpy(self.ranks.sum(losses)).mean())
        if not math.isfinite(loss):
            raise ValueError(
                f"The validation loss at step {number} is {loss:.3g}. Look for extreme values "
                "among the atoms (a log1p or arcsinh transform helps)."
            )
        scores = {"validation": loss}
        if self.ranks.first and isinstance(module, Conditional):
            result = health(module, self.steps[::3])
            if result is not None:
                scores |= {"z_signal": result.z_signal, "z_used": result.z_used}
                self.advice = result.advice()
        return scores
