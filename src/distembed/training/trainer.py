r"""The training loop, for any module with `forward(step) -> (B,)`, the losses of the sets.

Step k draws its sets, its context and target, and its noise from streams named (seed, k): a run is
a pure function of its settings, and a run that was killed continues exactly. Validation scores the
averaged weights on held-out *sets*, always with the same atoms and the same noise; training leaves
the module with the averaged weights of the best validation. Schedules and stops count steps, never
seconds.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from distembed.protocols import Collection
from distembed.training.checkpoint import Checkpoint, run_identity
from distembed.training.config import TrainConfig
from distembed.training.distributed import Ranks
from distembed.training.estimate import estimate
from distembed.training.gradient import BatchGradient
from distembed.training.interrupt import Interrupted, StopRequest, deferred_signals
from distembed.training.log import RunLog
from distembed.training.progress import Progress, Record
from distembed.training.runtime import Runtime
from distembed.training.steps import training_sampler, validation_steps
from distembed.training.validation import Validation
from distembed.training.weights import WeightAverage, frozen_parts, trained_state

__all__ = ["Record", "Trainer"]

_REMEDY = (
    "Look for extreme values among the atoms (a log1p or arcsinh transform helps), or lower the "
    "learning rate."
)
_TIMED_STEPS = 6


class Trainer:
    """Train a module in place and leave it with its best averaged weights.

    Frozen parts of the module (`frozen_parts`) are in evaluation mode throughout.

    Args:
        module: Has `forward(step) -> (B,)`.
        collection: The sets.
        config: Settings of the run.
        indices: The sets to train on; all but `held_out` by default.
        held_out: The sets that validate.
        checkpoint: File to resume from and to save to.
        log: Where records go.

    Example:
        >>> from distembed.data.synthetic.gaussians import Gaussians
        >>> class Location(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.mean = nn.Parameter(torch.zeros(2))
        ...     def forward(self, step):
        ...         return step.target.mean((step.target.x - self.mean).square()).sum(1)
        >>> sets = Gaussians.prior(20, 2, 10, size=50)
        >>> history = Trainer(Location(), sets, TrainConfig(steps=10, warmup=0)).fit()
        >>> history[-1]["step"]
        10
    """

    def __init__(
        self,
        module: nn.Module,
        collection: Collection,
        config: TrainConfig,
        *,
        indices: Sequence[int] | None = None,
        held_out: Sequence[int] = (),
        checkpoint: str | Path | None = None,
        log: RunLog | None = None,
    ) -> None:
        if indices is None:
            indices = sorted(set(range(len(collection))) - set(held_out))
        self.config = config
        self.runtime = Runtime.choose(config.device, config.precision, config.threads)
        self.log = log or RunLog(config.steps, progress=False)
        self.module = module.to(self.runtime.device)
        self.ranks = Ranks.current()
        sampler = training_sampler(collection, config, indices)
        self.gradient = BatchGradient(
            self.module, sampler, config, self.ranks, self.runtime.device
        )
        held_out_steps = validation_steps(collection, config, held_out, self.runtime.device)
        self.validation = Validation(held_out_steps, self.ranks)
        self.average = WeightAverage(module, config.ema)
        self._parameters = list(self.average.parameters.values())
        # fused AdamW is a third faster than the default, on the CPU too
        self.optimizer = torch.optim.AdamW(
            self._parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.best = {name: value.detach().clone() for name, value in trained_state(module).items()}
        self.checkpoint = None
        if checkpoint is not None:
            identity = run_identity(module, collection, config, indices, self.gradient.parts)
            self.checkpoint = Checkpoint(checkpoint, identity)
        self.progress = Progress()
        self._sizes = len(indices), len(held_out)
        self._began = self._saved = 0.0
        self._durations: list[float] = []
        self._stop = StopRequest()

    def fit(self) -> list[Record]:
        """Run the steps that remain.

        Returns:
            A record of the start and of every validation.

        Raises:
            ValueError: If the loss is not finite, or the checkpoint belongs to another run.
            OSError: If the checkpoint cannot be written.
            Interrupted: If the process was asked to stop and the run has a checkpoint, which then
                is written.
        """
        if self.checkpoint is not None and self.ranks.first:
            self.checkpoint.claim()
        signals = deferred_signals(self.checkpoint is not None)
        with self.runtime.active(), self.log, signals as self._stop:
            self._start()
            for k in range(self.progress.step, self.config.steps):
                if self._stops_early():
                    self.log.message(
                        f"stopped at step {k}: no gain in {self.progress.stale} validations"
                    )
                    break
                stop = self.step(k)
                due = (k + 1) % self.config.every == 0 or k + 1 == self.config.steps
                if due:
                    self.validate(k + 1)
                seconds = time.perf_counter() - self._saved
                if due or stop or seconds > self.config.checkpoint_seconds:
                    self.save()
                if stop and self.checkpoint is not None:
                    raise Interrupted(stop, k + 1, self.config.steps, self.checkpoint.path)
            self._finish()
        if self.validation.advice:
            warnings.warn(self.validation.advice, stacklevel=2)
        return self.progress.history

    def step(self, k: int) -> int:
        """Take step k: one of the optimiser, and one of the average.

        Returns:
            The signal that asked any of the processes to stop; 0 for none.
        """
        began = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss, stop = self.gradient.add(k, self._stop)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise ValueError(
                f"The loss at step {k} has no value: a covariance is singular. {_REMEDY}"
            ) from error
        norm = nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        _refuse_infinite(k, loss, float(norm))
        for group in self.optimizer.param_groups:
            group["lr"] = _learning_rate(self.config, k)
        self.optimizer.step()
        self.average.update(k)
        self.progress.losses.append(loss)
        self.progress.step = k + 1
        self.log.step(k + 1)
        self._time(k, time.perf_counter() - began)
        return stop

    def validate(self, step: int) -> None:
        """Score the averaged weights after a number of steps, and keep them if they are best."""
        progress = self.progress
        record: Record = {
            "step": step,
            "lr": _learning_rate(self.config, step - 1) if step else 0.0,
        }
        if progress.losses:
            record["loss"] = float(np.mean(progress.losses))
            progress.losses.clear()
        self.ranks.copy_from_first(self.module.buffers())
        with self._evaluation():
            if self.validation:
                record |= self.validation.score(self.module, step)
            record["seconds"] = time.perf_counter() - self._began
            improved = not self.validation or record["validation"] < progress.best
            if improved:
                for name, value in trained_state(self.module).items():
                    self.best[name].copy_(value)
        if self.validation and improved:
            progress.best = record["validation"]
        progress.stale = 0 if improved else progress.stale + 1
        progress.step, progress.seconds = step, record["seconds"]
        progress.history.append(record)
        self.log.record(record)

    def save(self) -> None:
        """Write the checkpoint, if the run has one and this process is the one that writes."""
        self._saved = time.perf_counter()
        self.progress.seconds = self._saved - self._began
        if self.checkpoint is not None and self.ranks.first:
            self.checkpoint.save(self._tensors(), self.optimizer, asdict(self.progress))

    def _start(self) -> None:
        resumed = self._load()
        training, held_out = self._sizes
        processes = f", {self.ranks.size} processes" if self.ranks.size > 1 else ""
        self.log.message(
            f"{training} sets to train on, {held_out} to validate; {self.runtime}{processes}"
        )
        if resumed:
            self.log.message(f"resumed at step {self.progress.step} of {self.config.steps}")
            self.log.resume(self.progress.step)
        self._saved = time.perf_counter()
        self._began = self._saved - self.progress.seconds
        self._set_training()
        if not self.progress.history:
            self.validate(0)

    def _load(self) -> bool:
        """Restore the checkpoint, if there is one, on all ranks.

        Raises:
            ValueError: If it is damaged or belongs to another run, or some ranks do not see it.
        """
        saved = self.checkpoint.load(self._tensors(), self.optimizer) if self.checkpoint else None
        if saved is not None and self.checkpoint is not None:
            try:
                self.progress = Progress(**saved)
            except TypeError as error:
                raise self.checkpoint.damaged(error) from error
        steps = self.ranks.gather(None if saved is None else self.progress.step)
        if len(set(steps)) > 1:
            raise ValueError(
                f"The processes resume at different steps, {steps} (None: without a checkpoint). "
                "All of them read the checkpoint: name a file that every machine sees."
            )
        return saved is not None

    def _finish(self) -> None:
        history = self.progress.history
        if not self.config.steps:
            self.log.message("steps is 0: nothing is trained, the weights are those of the start")
        elif self.validation and min(history, key=lambda r: r["validation"])["step"] == 0:
            self.log.message(
                "the validation loss never fell below its initial value; the weights are those "
                "before training"
            )
        with torch.no_grad():
            for name, value in trained_state(self.module).items():
                value.copy_(self.best[name])
        self.module.eval()

    def _stops_early(self) -> bool:
        patience = self.config.patience
        return bool(self.validation and patience and self.progress.stale >= patience)

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        """Use the averaged weights, in evaluation mode and without gradients."""
        self.module.eval()
        with torch.no_grad(), self.average.applied():
            yield
        self._set_training()

    def _set_training(self) -> None:
        self.module.train()
        for part in frozen_parts(self.module).values():
            part.eval()

    def _tensors(self) -> dict[str, Tensor]:
        groups = {
            "weights": trained_state(self.module),
            "average": self.average.values,
            "best": self.best,
        }
        return {
            f"{group}.{name}": value
            for group, tensors in groups.items()
            for name, value in tensors.items()
        }

    def _time(self, k: int, seconds: float) -> None:
        """Log an estimate of the remaining time once the first steps have been timed."""
        if len(self._durations) < _TIMED_STEPS:
            self._durations.append(seconds)
            remaining = self.config.steps - (k + 1)
            if len(self._durations) == _TIMED_STEPS and remaining:
                forecast = estimate(self._durations, remaining)
                steps = "1 step remains" if remaining == 1 else f"{remaining} steps remain"
                self.log.message(f"{steps}: {forecast}")


def _learning_rate(config: TrainConfig, k: int) -> float:
    warmup = min(1.0, (k + 1) / max(config.warmup, 1))
    return config.lr * warmup * (1 + math.cos(math.pi * k / config.steps)) / 2


def _refuse_infinite(k: int, loss: float, norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise ValueError(
            f"The loss at step {k} is {loss:.3g}, its gradient's norm {norm:.3g}. {_REMEDY}"
        )
