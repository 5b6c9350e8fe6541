"""Checkpoints: one safetensors file, replaced atomically; nothing in it can run code.

The batch and the noise of step k are a pure function of (seed, k), so the weights, their average,
the optimizer's moments, the history and k are the whole state of a run. Numbers that are not
tensors travel as JSON in the header of the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from distembed.files import write_atomically

__all__ = ["Checkpoint"]


class Checkpoint:
    """The file of a run that can be resumed.

    Args:
        path: Where the file is or will be.
        config: What must agree for a run to be the same run; compared on load.
    """

    def __init__(self, path: str | Path, config: dict[str, Any]) -> None:
        self.path, self.config = Path(path), config

    def save(
        self, tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer, state: dict[str, Any]
    ) -> None:
        """Write tensors, the optimizer's tensors and the JSON state."""
        moments = {
            f"optimizer.{index}.{name}": value
            for index, slot in optimizer.state_dict()["state"].items()
            for name, value in slot.items()
        }
        header = {"state": json.dumps(state), "config": json.dumps(self.config)}
        content = {k: v.detach().cpu().contiguous() for k, v in (tensors | moments).items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, save(content, metadata=header))

    def load(
        self, tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> dict[str, Any] | None:
        """Copy a saved state into `tensors` and the optimizer; None where there is no file.

        Raises:
            ValueError: If the file is damaged or belongs to another run.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata()
                found = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(
                f"The checkpoint {self.path} is damaged ({error}); delete it to start again."
            ) from error
        if not header or "config" not in header:
            raise ValueError(f"{self.path} is not a checkpoint; name another file.")
        before = json.loads(header["config"])
        if before != self.config:
            changed = sorted(
                k for k in before | self.config if before.get(k) != self.config.get(k)
            )
            raise ValueError(
                f"The checkpoint {self.path} belongs to a run with another {', '.join(changed)}; "
                "a run resumes only with the settings it began with. Delete the file, or name "
                "another."
            )
        for name, tensor in tensors.items():
            tensor.copy_(found[name])
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in found.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                slots.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
        state: dict[str, Any] = json.loads(header["state"])
        return state
