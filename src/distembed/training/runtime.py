"""Choose the device, the precision and the number of threads of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from distembed.nn.precision import reduced_to
from distembed.training.distributed import Ranks

__all__ = ["Runtime"]


@dataclass(frozen=True)
class Runtime:
    """Hold a device, a precision and a number of CPU threads.

    Attributes:
        device: Where tensors live.
        reduced: Type of the matrix products of networks, or None for float32 throughout.
        threads: Number of CPU threads, or None to leave the choice to torch.
    """

    device: torch.device
    reduced: torch.dtype | None = None
    threads: int | None = None

    @classmethod
    def choose(
        cls, device: str = "auto", precision: str = "auto", threads: int | str = "auto"
    ) -> Runtime:
        """Resolve `auto` to CUDA where it is available, and to float32.

        Raises:
            ValueError: If the device does not exist on this machine.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            choice = torch.device(device)
        except RuntimeError as error:
            raise ValueError(f"device is {device!r}; use 'auto', 'cpu' or 'cuda'.") from error
        if choice.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device is {device!r}, but this torch sees no CUDA; use 'cpu'.")
        if choice.type not in ("cpu", "cuda"):
            raise ValueError(
                f"device is {device!r}; moments are pooled in float64, which cpu and cuda have."
            )
        if str(choice) == "cuda" and Ranks.current().size > 1:
            choice = torch.device("cuda", torch.cuda.current_device())  # chosen with the group
        count = None if isinstance(threads, str) else threads
        return cls(choice, torch.bfloat16 if precision == "bfloat16" else None, count)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Use the threads, and the precision in networks, while the block runs."""
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            with reduced_to(self.reduced):
                yield
        finally:
            torch.set_num_threads(before)

    def __str__(self) -> str:
        precision = "bfloat16" if self.reduced else "float32"
        threads = self.threads or torch.get_num_threads()
        return f"{self.device}, {precision}, {threads} thread{'s' if threads > 1 else ''}"
