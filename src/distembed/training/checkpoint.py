"""Checkpoints: one safetensors file, replaced atomically; nothing in it can run code.

The batch and the noise of step k are a pure function of (seed, k), so the trained weights, their
average, the best of these, the optimizer's moments, the records and k are the whole state of a
run. Frozen parts are not stored: a fingerprint of them is compared instead. What is not a tensor
is stored as JSON in the header of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from distembed.files import write_atomically
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["Checkpoint", "run_identity"]


class Checkpoint:
    """Save and restore the state of a run in one file.

    Args:
        path: The file, which need not exist yet.
        identity: What decides the numbers of the run, compared when the file is loaded.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = Path(path), dict(identity)

    def save(
        self,
        tensors: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        state: Mapping[str, Any],
    ) -> None:
        """Write tensors, the optimizer's tensors and the JSON state."""
        moments = {
            f"optimizer.{index}.{name}": value
            for index, slot in optimizer.state_dict()["state"].items()
            for name, value in slot.items()
        }
        header = {"state": json.dumps(state), "config": json.dumps(self.identity)}
        content = {k: v.detach().cpu().contiguous() for k, v in {**tensors, **moments}.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, save(content, metadata=header))

    @torch.no_grad()
    def load(
        self, tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> dict[str, Any] | None:
        """Restore a saved run into `tensors` and the optimizer.

        Returns:
            The JSON state, or None if there is no file.

        Raises:
            ValueError: If the file is damaged or belongs to another run.
        """
        if not self.path.exists():
            return None
        header, content = self._read()
        self._check_identity(json.loads(header["config"]))
        for name, tensor in tensors.items():
            tensor.copy_(content[name])
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in content.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                slots.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
        state: dict[str, Any] = json.loads(header["state"])
        return state

    def _read(self) -> tuple[dict[str, str], dict[str, Tensor]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata()
                content = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(
                f"The checkpoint {self.path} is damaged ({error}); delete it to start again."
            ) from error
        if not header or "config" not in header:
            raise ValueError(f"{self.path} is not a checkpoint; name another file.")
        return header, content

    def _check_identity(self, saved: Mapping[str, Any]) -> None:
        keys = saved.keys() | self.identity.keys()
        differences = sorted(k for k in keys if saved.get(k) != self.identity.get(k))
        if differences:
            raise ValueError(
                f"The checkpoint {self.path} belongs to a run with another "
                f"{', '.join(differences)}; a run resumes only with the settings it began with. "
                "Delete the file, or name another."
            )


def run_identity(
    module: nn.Module, collection: Collection, config: TrainConfig, indices: Sequence[int]
) -> dict[str, Any]:
    """Describe what decides the numbers of a run: settings, shapes, frozen weights and data.

    Of the frozen weights and of the data a sample is hashed, which is cheap at any size.
    """
    shapes = sorted((name, tuple(p.shape)) for name, p in module.state_dict().items())
    frozen = [(name, p) for name, p in module.named_parameters() if not p.requires_grad]
    weights = {name: p.flatten()[:8].double().tolist() for name, p in frozen}
    sample = collection.batch(list(indices[:8]), 64, stream("identity"))
    data = sample.x.double().numpy().tobytes() + sample.w.double().numpy().tobytes()
    return {
        **config.model_dump(mode="json", exclude={"device", "threads"}),
        "model": _digest(repr(shapes).encode()),
        "frozen weights": _digest(json.dumps(weights).encode()),
        "number of sets": len(collection),
        "number of atoms": int(np.sum(collection.sizes)),
        "data": _digest(data),
    }


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
