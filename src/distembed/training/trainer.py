r"""The training loop, for any module that has `loss(step) -> (B,)`.

Step k draws its sets, its context and target, and its noise from streams named (seed, k): a run is
a pure function of its settings, and one that was killed goes on as if it had not been. Validation
scores the averaged weights on held-out *sets*, with the same atoms and the same noise every time;
the best average is what training leaves behind. Everything counts steps, nothing counts seconds.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distembed.protocols import Collection, Step
from distembed.rng import stream
from distembed.sets.sampler import Sampler
from distembed.training.checkpoint import Checkpoint
from distembed.training.config import TrainConfig
from distembed.training.estimate import estimate
from distembed.training.health import Conditional, health
from distembed.training.log import RunLog
from distembed.training.runtime import Runtime
from distembed.training.steps import training_step, validation_steps

__all__ = ["Record", "train"]

Record = dict[str, float]
"""Step, loss, lr and seconds; where sets are held out, validation, z_signal and z_used."""


@dataclass
class _State:
    """What a checkpoint remembers beside tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    stale: int = 0
    history: list[Record] = field(default_factory=list)


def train(
    module: nn.Module,
    collection: Collection,
    config: TrainConfig,
    *,
    indices: Sequence[int] | None = None,
    held_out: Sequence[int] = (),
    checkpoint: str | Path | None = None,
    log: RunLog | None = None,
) -> list[Record]:
    """Train a module in place and leave it with the best averaged weights.

    Args:
        module: Has `loss(step) -> (B,)`.
        collection: The sets.
        config: How to train.
        indices: The sets to train on; all but `held_out` where left out.
        held_out: The sets that validate.
        checkpoint: File to resume from and to save to.
        log: Where records go.

    Returns:
        A record of the start and of every validation.

    Raises:
        ValueError: If the loss is not finite, or the checkpoint belongs to another run.
    """
    runtime = Runtime.choose(config.device, config.precision, config.threads)
    log = log or RunLog(config.steps, progress=False)
    if indices is None:
        indices = sorted(set(range(len(collection))) - set(held_out))
    sampler = Sampler(
        collection,
        batch=min(config.batch, len(indices)),
        context=config.context,
        target=config.target,
        seed=config.seed,
        indices=indices,
    )
    module.to(runtime.device).train()
    parameters: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
    # fused AdamW is a third faster than the default, on the CPU too
    optimizer = torch.optim.AdamW(
        parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    average = copy.deepcopy(module).eval().requires_grad_(False)
    averaged: list[Tensor] = [
        a
        for a, p in zip(average.parameters(), module.parameters(), strict=True)
        if p.requires_grad
    ]
    best = {name: value.clone() for name, value in average.state_dict().items()}
    tensors = {
        f"{kind}.{name}": value
        for kind, part in (
            ("weights", module.state_dict()),
            ("average", average.state_dict()),
            ("best", best),
        )
        for name, value in part.items()
    }
    identity = _identity(module, collection, config, indices)
    file = Checkpoint(checkpoint, identity) if checkpoint is not None else None

    def loss_of(k: int) -> Tensor:
        return _loss(module, training_step(sampler, k, runtime.device))

    with runtime.active(), log:
        found = file.load(tensors, optimizer) if file else None
        state = _State(**found) if found else _State()
        log.say(f"{len(indices)} sets to train on, {len(held_out)} to validate; {runtime}")
        if found:
            log.say(f"resumed at step {state.step} of {config.steps}")
        else:
            log.say(f"{config.steps} steps: {estimate(module, loss_of, config.steps)}")
        fixed = validation_steps(collection, config, held_out, runtime.device)
        began = time.perf_counter() - state.seconds
        losses: list[Tensor] = []
        advice: list[str | None] = []

        def look(step: int, lr: float) -> None:
            """Validate, remember the best and save."""
            record: Record = {"step": step, "lr": lr}
            if losses:
                record["loss"] = float(torch.stack(losses).mean())
            if fixed:
                for held in fixed:  # or the second validation would draw other noise
                    held.rng.manual_seed(held.rng.initial_seed())
                with torch.no_grad():
                    scores = [_loss(average, held) for held in fixed]
                record["validation"] = float(torch.stack(scores).mean())
                if not math.isfinite(record["validation"]):
                    raise ValueError(
                        f"The validation loss at step {step} is {record['validation']:.3g}. Look "
                        "for extreme values among the atoms (a log1p or arcsinh transform helps)."
                    )
                if isinstance(average, Conditional) and (
                    state_of_z := health(average, fixed[::3])
                ):
                    record |= {"z_signal": state_of_z.z_signal, "z_used": state_of_z.z_used}
                    advice.append(state_of_z.advice())
            record["seconds"] = time.perf_counter() - began
            better = not fixed or record["validation"] < state.best
            state.best = record["validation"] if fixed and better else state.best
            state.stale = 0 if better else state.stale + 1
            state.step, state.seconds = step, record["seconds"]
            state.history.append(record)
            losses.clear()
            log.record(record)
            if better:
                for name, value in average.state_dict().items():
                    best[name].copy_(value)
            if file and step:
                file.save(tensors, optimizer, asdict(state))

        if not state.history:
            look(0, 0.0)
        for k in range(state.step, config.steps):
            if fixed and config.patience and state.stale >= config.patience:
                log.say(f"stopped at step {k}: no gain in {state.stale} validations")
                break
            lr = _learning_rate(config, k)
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = loss_of(k)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            _refuse_infinite(k, loss, nn.utils.clip_grad_norm_(parameters, config.clip))
            optimizer.step()
            # an average that starts at once would remember the first weights for too long
            with torch.no_grad():
                torch._foreach_lerp_(averaged, parameters, 1 - min(config.ema, (1 + k) / (10 + k)))
            losses.append(loss.detach())
            log.step(k + 1)
            if (k + 1) % config.every == 0 or k + 1 == config.steps:
                look(k + 1, lr)
        if fixed and min(state.history, key=lambda record: record["validation"])["step"] == 0:
            log.say("no validation was better than that of step 0: the model is as untrained")
    if advice and (last := advice[-1]):
        warnings.warn(last, stacklevel=2)
    module.load_state_dict(best)
    module.eval()
    return state.history


def _loss(module: nn.Module, step: Step) -> Tensor:
    losses: Tensor = module.loss(step)  # type: ignore[operator]
    return losses.float().mean()


def _learning_rate(config: TrainConfig, k: int) -> float:
    warm = min(1.0, (k + 1) / max(config.warmup, 1))
    return config.lr * warm * (1 + math.cos(math.pi * k / config.steps)) / 2


def _refuse_infinite(k: int, loss: Tensor, norm: Tensor) -> None:
    value = float(loss.detach())
    if not (math.isfinite(value) and math.isfinite(float(norm))):
        raise ValueError(
            f"The loss at step {k} is {value:.3g}, its gradient's norm {float(norm):.3g}. "
            "Look for extreme values among the atoms (a log1p or arcsinh transform helps), or "
            "lower the learning rate."
        )


def _identity(
    module: nn.Module, collection: Collection, config: TrainConfig, indices: Sequence[int]
) -> dict[str, Any]:
    """What decides the numbers of a run: settings, parts and data."""
    few = collection.batch(list(indices[:8]), 64, stream("identity"))
    shapes = sorted((name, tuple(p.shape)) for name, p in module.state_dict().items())
    data = few.x.double().numpy().tobytes() + few.w.double().numpy().tobytes()
    return {
        **config.model_dump(mode="json", exclude={"device", "threads"}),
        "model": hashlib.blake2b(repr(shapes).encode(), digest_size=8).hexdigest(),
        "number of sets": len(collection),
        "number of atoms": int(np.sum(collection.sizes)),
        "data": hashlib.blake2b(data, digest_size=8).hexdigest(),
    }
