"""From scores of single seeds to the rows of a bench: means, intervals, and where it ran."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from distembed.registry import need

__all__ = [
    "SECONDS",
    "Score",
    "by_size",
    "chosen_from",
    "environment",
    "measured_rows",
    "rows_over_seeds",
]

T = TypeVar("T")
Score = tuple[str, str, float]
"""Method, metric, value."""
SECONDS = ("gde", "seconds")
"""Method and metric of what fitting took: a column of its own and no row."""


def chosen_from(every: Mapping[str, T], names: Sequence[str] | None) -> dict[str, T]:
    """Return the tasks of a bench that are named, or all.

    Raises:
        ValueError: If there is no such task.
    """
    names = list(names or every)
    if unknown := [name for name in names if name not in every]:
        raise ValueError(f"There is no task {unknown[0]!r}; there are: {', '.join(every)}.")
    return {name: every[name] for name in names}


def measured_rows(
    tasks: Mapping[str, T],
    seeds: int,
    measure: Callable[[str, T, int], Iterable[Score]],
    log: Callable[[str], None],
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Measure every task with every seed, and return the rows of a bench.

    Args:
        tasks: What there is to measure, by name.
        seeds: Number of seeds.
        measure: Yields the scores of a task and a seed; `SECONDS` among them, if it fits a model.
        log: Called with lines of progress.
        jobs: Processes; with more than one, each has one thread, so that none waits for another.

    Raises:
        ImportError: If there are several jobs and joblib is not installed.
    """

    def measured(name: str, seed: int) -> list[Score]:
        log(f"{name}, seed {seed}")
        began = time.perf_counter()
        scores = list(measure(name, tasks[name], seed))
        log(f"{name}, seed {seed}: {time.perf_counter() - began:.0f} s")
        return scores

    runs = [(name, seed) for name in tasks for seed in range(seeds)]
    if jobs == 1:
        found = [measured(*run) for run in runs]
    else:
        joblib = need("joblib", "sklearn")
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            found = joblib.Parallel(jobs)(joblib.delayed(measured)(*run) for run in runs)
    cells: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in tasks}
    for (name, _), scores in zip(runs, found, strict=True):
        for method, metric, value in scores:
            cells[name].setdefault((method, metric), []).append(value)
    return [
        row
        for name, values in cells.items()
        for row in rows_over_seeds(name, values, values.pop(SECONDS, []))
    ]


def rows_over_seeds(
    task: str, scores: Mapping[tuple[str, str], Sequence[float]], seconds: Sequence[float]
) -> list[dict[str, Any]]:
    """Return one row for each (method, metric), with an interval for the mean over seeds.

    Args:
        task: Name of the task.
        scores: The value of every seed, by method and metric.
        seconds: What fitting took, one a seed; nothing where nothing was fitted.
    """
    return [
        {
            "task": task,
            "method": method,
            "metric": metric,
            "value": float(np.mean(values)),
            **dict(zip(("low", "high"), _interval(values), strict=True)),
            "seeds": len(values),
            "seconds": float(np.mean(seconds)) if seconds and method == "gde" else None,
        }
        for (method, metric), values in scores.items()
    ]


def by_size(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give every size of a set a task of its own, so that its numbers stand in one row of a table.

    Example:
        >>> by_size([{"task": "digits", "metric": "z_m50"}, {"task": "digits", "metric": "ms"}])
        [{'task': 'digits_m50', 'metric': 'z'}, {'task': 'digits', 'metric': 'ms'}]
    """
    found = []
    for row in rows:
        metric, _, size = row["metric"].rpartition("_m")
        own = {"task": f"{row['task']}_m{size}", "metric": metric} if size.isdigit() else {}
        found.append({**row, **own})
    return found


def environment(jobs: int = 1) -> dict[str, Any]:
    """Return where a bench ran, and the most memory its process has held so far.

    Args:
        jobs: Processes that shared the work: each has one thread, and memory of its own.
    """
    import torch

    from distembed.training.estimate import peak_bytes

    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "cores": os.cpu_count(),
        **({"threads": torch.get_num_threads()} if jobs == 1 else {"jobs": jobs, "threads": 1}),
        "torch": torch.__version__,
        **({"peak_mb": round(peak_bytes() / 2**20)} if jobs == 1 else {}),
    }


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """A 95 % interval of Student's t; None for a single seed."""
    if len(values) < 2:
        return None, None
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)
