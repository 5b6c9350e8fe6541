"""Estimate how long a run takes, and how much memory, from the first of its own steps."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Estimate", "estimate", "peak_bytes"]


@dataclass(frozen=True)
class Estimate:
    """Seconds that remain, and megabytes at the peak.

    Example:
        >>> str(Estimate(seconds=600.0, megabytes=512.0))
        'about 10 min, 512 MB'
        >>> str(Estimate(seconds=0.2, megabytes=512.0))
        'less than 1 s, 512 MB'
    """

    seconds: float
    megabytes: float

    def __str__(self) -> str:
        minutes = self.seconds / 60
        if self.seconds < 1:
            duration = "less than 1 s"
        elif minutes < 1.5:
            duration = f"about {self.seconds:.0f} s"
        else:
            long = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
            duration = f"about {long}"
        return f"{duration}, {self.megabytes:.0f} MB"


def peak_bytes() -> int:
    """Measure the peak memory of this process, or of the device where CUDA is in use."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def estimate(durations: Sequence[float], steps: int) -> Estimate:
    """Extrapolate the mean duration of the first steps of a run.

    The first duration is left out, because the first step also allocates memory. The memory is
    the peak so far: gradients, the optimiser's moments and the averaged weights exist by then,
    but a context or a validation that is larger than the first ones can still exceed it.

    Args:
        durations: Seconds of each of the first steps; at least two.
        steps: How many steps remain.

    Raises:
        ValueError: If there are fewer than two durations.
    """
    if len(durations) < 2:
        raise ValueError(
            f"There are {len(durations)} durations; at least two are needed, because the first "
            "step is left out."
        )
    return Estimate(statistics.fmean(durations[1:]) * steps, peak_bytes() / 2**20)
