"""What a run will take, measured on a few of its steps before it begins."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Estimate", "estimate", "peak_bytes"]

TRIES = 5


@dataclass(frozen=True)
class Estimate:
    """Seconds for the whole run, and megabytes at its peak."""

    seconds: float
    megabytes: float

    def __str__(self) -> str:
        minutes = self.seconds / 60
        time_ = f"{self.seconds:.0f} s" if minutes < 1.5 else f"{minutes:.0f} min"
        return (
            f"about {time_ if minutes < 90 else f'{minutes / 60:.1f} h'}, {self.megabytes:.0f} MB"
        )


def peak_bytes() -> int:
    """Most memory this process has held; on CUDA, most memory of the device."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def estimate(module: nn.Module, loss: Callable[[int], Tensor], steps: int) -> Estimate:
    """Run a few steps without learning from them, and count what they keep for the gradient.

    Args:
        module: What is trained.
        loss: The loss of step k.
        steps: Length of the run.
    """
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    seconds, largest = [], 0
    for k in range(TRIES):
        kept = 0
        began = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            value = loss(k)
        value.backward()
        if value.is_cuda:
            torch.cuda.synchronize(value.device)
        seconds.append(time.perf_counter() - began)
        largest = max(largest, kept)
    module.zero_grad(set_to_none=True)
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    now = peak_bytes()
    # beside the weights: gradient, two moments, average and best
    peak = now + 5 * weights + largest
    return Estimate(statistics.fmean(seconds[1:]) * steps, peak / 2**20)
