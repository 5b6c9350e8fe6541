"""Processes that work together: the ranks of one process group of `torch.distributed`.

`torchrun` starts R processes and numbers them. Each reads the data by itself and does its share of
the work. Losses and statistics are exchanged by gloo between CPUs, and gradients, which
`distembed.training.gradient` averages, by gloo or by NCCL between GPUs. Methods that exchange are
collective: all ranks call them, in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Ranks", "process_group"]

T = TypeVar("T")
A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True)
class Ranks:
    """The processes that share out a piece of work; this one alone by default.

    Attributes:
        rank: Number of this process.
        size: Number of processes, R.

    Example:
        >>> Ranks(1, 3).share(range(8))
        range(1, 8, 3)
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Return the ranks of the process group; one where there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items of this rank: every R-th, from its number on."""
        return items[self.rank :: self.size]

    def sum(self, values: NDArray[A]) -> NDArray[A]:
        """Add an array over all ranks."""
        if self.size == 1:
            return values
        total = torch.from_numpy(np.array(values))
        dist.all_reduce(total)
        result: NDArray[A] = total.numpy()
        return result

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def of_first(self, value: T) -> T:
        """Return the value of rank 0."""
        return self.gather(value)[0]

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


@contextmanager
def process_group() -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, for as long as the block runs.

    A process that was not started so, or is in a group already, gets the ranks that there are.
    """
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Ranks.current()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield Ranks.current()
    # after an error the others may wait for this process, which then must end and not wait
    dist.destroy_process_group()
