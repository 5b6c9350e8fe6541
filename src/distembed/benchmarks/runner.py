"""Run a benchmark: choice of tasks, seeds, processes, intervals, and the written result.

A result is `{"bench", "environment", "config", "rows"}`; a row is the mean of one metric of one
method on one task over seeds, with a 95 % interval of Student's t.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch

from distembed.benchmarks import BENCHES
from distembed.benchmarks.bench import Arm, Bench, Scale, Settings, Task, Trial
from distembed.benchmarks.curves import panels
from distembed.benchmarks.finished import FinishedTrials
from distembed.evaluation.result import Score
from distembed.registry import lookup, need
from distembed.training.config import TrainConfig
from distembed.training.estimate import peak_bytes
from distembed.training.runtime import Runtime

__all__ = ["environment", "load", "over_seeds", "run"]

S = TypeVar("S", bound=Settings)
ROW = ("task", "method", "metric", "value", "low", "high", "seeds", "seconds")
"""Keys of a row of a result."""


def load(name: str) -> Bench[Any]:
    """Return a benchmark by its name.

    Raises:
        ValueError: If there is no such benchmark.
    """
    return cast("Bench[Any]", lookup(BENCHES, name, "bench"))


def run(
    bench: Bench[S],
    scale: Scale = "full",
    *,
    seeds: int | None = None,
    tasks: Sequence[str] | None = None,
    jobs: int = 1,
    steps: int | None = None,
    plots: Path | None = None,
    parts: Path | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Measure every task with every seed and return the result.

    Args:
        bench: The benchmark.
        scale: `full` for results, `quick` for a look, `tiny` for tests.
        seeds: Number of seeds; three at full scale and one otherwise if left out.
        tasks: Names or patterns, such as `table5_*`. If left out: all of the scale, but those
            whose data are not on this machine.
        jobs: Processes. If there are several, each has one thread.
        steps: Training steps, in place of those of the settings.
        plots: Folder of figures; none are drawn if left out.
        parts: Folder of finished trials, from which a run that was cut off goes on. None are kept
            if left out, or if there are figures, which every trial draws anew.
        log: Takes lines of progress.

    Raises:
        ValueError: If a task is unknown or cannot run here, or a benchmark that measures time is
            to run in several processes.
        ImportError: If there are several jobs and joblib is not installed.
    """
    if bench.serial and jobs > 1:
        raise ValueError(
            f"The bench {bench.name} measures time, which several processes would disturb. "
            "Leave --jobs out."
        )
    settings = bench.scales[scale]
    if steps is not None:
        settings = _with_steps(settings, steps)
    available, skipped = _choose(bench, tasks, scale)
    for name, reason in skipped.items():
        log(f"{name} is skipped. {reason}")
    count = range(seeds if seeds is not None else 3 if scale == "full" else 1)
    trials = [
        Trial(name, task, settings, seed, plots, log)
        for (name, task), seed in itertools.product(available.items(), count)
    ]
    config = {"scale": scale, **_plain_settings(settings)}
    finished = None
    if parts is not None and plots is None:
        finished = FinishedTrials(parts, {"bench": bench.name, **config})
    with Runtime.choose("cpu", threads=settings.training.threads).active():
        scores = (bench.combine or over_seeds)(_measure(trials, jobs, finished))
        place = environment(jobs)
    if plots is not None and bench.figures is not None:
        for file, draws in bench.figures(scores, settings).items():
            log(f"wrote {panels(plots / file, draws)}")
    return {
        "bench": bench.name,
        "environment": place,
        "config": {**config, **({"skipped": skipped} if skipped else {})},
        "rows": [_row(score) for score in scores],
    }


def _row(score: Score) -> dict[str, Any]:
    """Return the keys of a score that a benchmark fills."""
    row = score.to_json()
    return {name: row[name] for name in ROW}


def _with_steps(settings: S, steps: int) -> S:
    training = settings.training
    update = {"steps": steps, "warmup": min(training.warmup, steps // 5)}
    changed: Any = cast(Any, settings)
    result: S = dataclasses.replace(changed, training=training.model_copy(update=update))
    return result


def _choose(
    bench: Bench[S], names: Sequence[str] | None, scale: Scale
) -> tuple[dict[str, Task[S]], dict[str, str]]:
    """Return the tasks to run, and the reasons of those that are skipped."""
    if unknown := [name for name in names or () if not fnmatch.filter(bench.tasks, name)]:
        raise ValueError(
            f"The bench {bench.name} has no task {unknown[0]!r}; its tasks are: "
            f"{', '.join(bench.tasks)}."
        )
    patterns = names or bench.shortened.get(scale, ("*",))
    chosen = [
        task for task in bench.tasks if any(fnmatch.fnmatchcase(task, name) for name in patterns)
    ]
    reasons = {name: bench.tasks[name].missing() for name in chosen}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    if names and skipped:
        name, reason = next(iter(skipped.items()))
        raise ValueError(f"The task {name} cannot run. {reason}")
    return {name: bench.tasks[name] for name in reasons if name not in skipped}, skipped


def _measure(
    trials: Sequence[Trial[S]], jobs: int, finished: FinishedTrials | None
) -> list[list[Score]]:
    def measure(number: int, trial: Trial[S]) -> list[Score]:
        label = f"[{number}/{len(trials)}] {trial.name}, seed {trial.seed}"
        if finished is not None and (read := finished.read(trial.name, trial.seed)) is not None:
            trial.log(f"{label}: finished before, in {finished.folder}")
            return read
        trial.log(label)
        began = time.perf_counter()
        scores = [
            dataclasses.replace(score, task=score.task or trial.name)
            for score in trial.task.measure(trial)
        ]
        trial.log(f"{label}: {time.perf_counter() - began:.0f} s")
        if finished is not None:
            finished.write(trial.name, trial.seed, scores)
        return scores

    if jobs == 1:
        return [measure(number, trial) for number, trial in enumerate(trials, 1)]
    joblib = need("joblib", "sklearn")
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        calls = (joblib.delayed(measure)(number, trial) for number, trial in enumerate(trials, 1))
        results: list[list[Score]] = joblib.Parallel(jobs)(calls)
        return results


def over_seeds(trials: Iterable[Iterable[Score]]) -> list[Score]:
    """Average the scores of single seeds, with an interval for the mean.

    Args:
        trials: The scores of each trial. Those of one task, method and metric are averaged.

    Returns:
        Scores task by task, in the order in which they came.
    """
    cells: dict[str, dict[tuple[str, str], list[Score]]] = {}
    for scores in trials:
        for score in scores:
            key = (score.method, score.metric)
            cells.setdefault(score.task, {}).setdefault(key, []).append(score)
    return [_mean(scores) for task in cells.values() for scores in task.values()]


def _mean(scores: Sequence[Score]) -> Score:
    values = [score.value for score in scores]
    seconds = [score.seconds for score in scores if score.seconds is not None]
    low, high = _interval(values)
    return dataclasses.replace(
        scores[0],
        value=float(np.mean(values)),
        low=low,
        high=high,
        seeds=len(values),
        seconds=float(np.mean(seconds)) if seconds else None,
    )


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of Student's t for the mean over seeds; NaN for a single seed."""
    if len(values) < 2:
        return math.nan, math.nan
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def environment(jobs: int = 1) -> dict[str, Any]:
    """Return the machine, the version of torch, and the peak memory of the process.

    Args:
        jobs: Processes that share the work: each has one thread, and memory of its own.
    """
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "cores": os.cpu_count(),
        **({"threads": torch.get_num_threads()} if jobs == 1 else {"jobs": jobs, "threads": 1}),
        "torch": torch.__version__,
        **({"peak_mb": round(peak_bytes() / 2**20)} if jobs == 1 else {}),
    }


def _plain_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as plain values, those of training beside the others."""
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(cast(Any, settings))}
    training: dict[str, Any] = _plain(fields.pop("training"))
    return {name: _plain(value) for name, value in fields.items()} | training


def _plain(value: Any) -> Any:
    """Return what `json` can write."""
    if isinstance(value, TrainConfig):
        return value.model_dump(mode="json", exclude={"seed"})
    if isinstance(value, Arm):
        return _plain(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list) and value and all(isinstance(v, Arm) for v in value):
        return {arm.label: _plain(arm) for arm in value}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, str | int | float) else type(value).__name__
