"""Time of a training step: the trainer beside a loop that is written by hand.

Both take the same steps of the same network. The loop has its batches in advance, and does what no
training can do without: loss, gradient, clipping, optimiser. What the trainer adds to it is the
draw of the batch, the average of the weights, checks and records.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from distembed.benchmarks.timing import median_ratio, paired_times
from distembed.evaluation.result import Score
from distembed.model.fit import prepare
from distembed.model.spec import Spec
from distembed.protocols import Collection, Step
from distembed.training.config import TrainConfig
from distembed.training.steps import training_step
from distembed.training.trainer import Trainer
from distembed.training.validation import mean_loss

__all__ = ["PlainLoop", "step_scores"]


class PlainLoop:
    """Train a module on given steps, in the fewest lines that do.

    Args:
        module: Has `forward(step) -> (B,)`.
        config: Its learning rate, weight decay and clipping.
        steps: Taken in turn.
    """

    def __init__(self, module: nn.Module, config: TrainConfig, steps: Sequence[Step]) -> None:
        self.module, self.config, self.steps = module, config, iter(steps)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def step(self) -> None:
        """Take the next step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.module(next(self.steps)).mean().backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self.optimizer.step()


def step_scores(sets: Collection, config: TrainConfig, repeats: int) -> Iterator[Score]:
    """Time steps of the default model, one of the trainer and one of the loop in turn.

    Args:
        sets: Training sets.
        config: Settings of the training.
        repeats: Steps of each, after one that allocates.
    """
    network = Spec().resolved(sets).build(sets.event_shape, config.seed)
    prepare(network, sets, np.arange(len(sets)), config)
    trainer = Trainer(network, sets, config)
    module = copy.deepcopy(trainer.module)
    module.train()
    trainer.module.train()

    def draw(k: int) -> Step:
        return training_step(trainer.gradient.sampler, k, trainer.runtime.device)

    numbers = iter(range(repeats + 1))
    with trainer.runtime.active():
        loop = PlainLoop(module, config, [draw(k) for k in range(repeats + 1)])
        # a batch keeps what was computed of it, so the loss alone takes batches of its own
        batches = iter([draw(k) for k in range(repeats + 1)])
        times = paired_times(
            {
                "gde": lambda: trainer.step(next(numbers)),
                "plain_loop": loop.step,
                "draw": lambda: draw(0),
                "loss": lambda: mean_loss(module, next(batches)),
            },
            repeats,
        )
    for method in ("gde", "plain_loop"):
        yield Score("ms_per_step", method, 1000 * statistics.median(times[method]))
    yield Score("step_over_plain", "gde", median_ratio(times["gde"], times["plain_loop"]))
    yield Score("share_of_draw", "gde", median_ratio(times["draw"], times["gde"]))
    yield Score("share_of_loss", "gde", median_ratio(times["loss"], times["gde"]))
