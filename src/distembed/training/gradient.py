"""The gradient of a batch, in one piece or in parts, in one process or in many.

The loss of a batch is the mean over its B sets. Divided into P parts, part p of B_p sets
contributes B_p / B times its own mean, and the gradients of the parts add up. One process takes
the parts one after another, in the memory of one part. R processes share them out; their gradients
are averaged, and so each of them takes R times its contribution. The result is a function of P,
and of R up to the rounding of sums.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from distembed.sets.sampler import Sampler
from distembed.training.config import TrainConfig
from distembed.training.distributed import Ranks
from distembed.training.interrupt import SIGNALS, StopRequest
from distembed.training.steps import training_step
from distembed.training.validation import mean_loss

__all__ = ["BatchGradient", "number_of_parts"]


class BatchGradient:
    """Add the gradient of the batch of a step to the parameters of a module.

    Args:
        module: Has `forward(step) -> (B,)`.
        sampler: Draws the batches.
        config: Settings of the run.
        ranks: The processes that share out a batch; the module becomes that of rank 0.
        device: Where the module is.

    Raises:
        ValueError: If a part would have no set, or a process no part.
    """

    def __init__(
        self,
        module: nn.Module,
        sampler: Sampler,
        config: TrainConfig,
        ranks: Ranks,
        device: torch.device,
    ) -> None:
        self.parts = number_of_parts(config, sampler.sets, ranks)
        self.sampler, self.ranks, self.device = sampler, ranks, device
        self.replica = DistributedDataParallel(module) if ranks.size > 1 else module

    def add(self, k: int, request: StopRequest) -> tuple[float, int]:
        """Add the gradient of step k.

        Args:
            k: The step.
            request: Whether this process is asked to stop.

        Returns:
            The loss of the batch, and a signal that asked any process to stop; 0 for none.
        """
        loss = 0.0
        own = self.ranks.share(range(self.parts))
        for part in own:
            with self._exchange(part == own[-1]):
                loss += self._add_part(k, part)
        if self.ranks.size == 1:
            return loss, request.number
        flags = (request.number == number for number in SIGNALS)
        total = self.ranks.sum(np.array([loss, *flags], float))
        asked = zip(SIGNALS, total[1:], strict=True)
        return float(total[0]), next((int(number) for number, count in asked if count), 0)

    def _add_part(self, k: int, part: int) -> float:
        """Add the gradient of a part, and return what it contributes to the loss."""
        step = training_step(self.sampler, k, self.device, part, self.parts)
        loss = mean_loss(self.replica, step) * (len(step.index) / self.sampler.sets)
        (loss * self.ranks.size).backward()
        return float(loss.detach())

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        """Average the gradients over ranks behind the last part of a rank, not behind each."""
        if last or not isinstance(self.replica, DistributedDataParallel):
            return nullcontext()
        quiet: AbstractContextManager[None] = self.replica.no_sync()
        return quiet


def number_of_parts(config: TrainConfig, sets: int, ranks: Ranks) -> int:
    """Return the number of parts of a batch.

    Args:
        config: Settings of the run.
        sets: Sets of a batch.
        ranks: The processes that share the parts out.

    Raises:
        ValueError: If a part would have no set, or a process no part.

    Example:
        >>> number_of_parts(TrainConfig(), 32, Ranks(0, 4))
        4
    """
    parts = ranks.size if config.parts == "auto" else config.parts
    if not ranks.size <= parts <= sets:
        raise ValueError(
            f"A batch of {sets} sets is divided into {parts} parts and shared out to {ranks.size} "
            "processes; each part needs a set and each process a part. Raise `batch`, or lower "
            "`parts` or the number of processes."
        )
    return parts
