"""Times of runs that are compared, taken in turn: a slow moment of the machine hits all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

__all__ = ["median_ratio", "paired_times", "seconds_of"]


def seconds_of(run: Callable[[], object]) -> float:
    """Return the seconds that a run takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def paired_times(
    runs: dict[str, Callable[[], object]],
    repeats: int,
    seconds: Callable[[Callable[[], object]], float] = seconds_of,
) -> dict[str, list[float]]:
    """Time several runs, each in turn, several times, after a turn that allocates.

    Args:
        runs: What is timed, by name.
        repeats: Turns.
        seconds: Measures one run.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            spent = seconds(run)
            if repeat:
                times[name].append(spent)
    return times


def median_ratio(first: list[float], second: list[float]) -> float:
    """Return the median of the ratios of paired times: a machine that slows down changes none."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))
