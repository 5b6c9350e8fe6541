"""Checkpoints: one safetensors file, replaced atomically; nothing in it can run code.

The batch and the noise of step k are a pure function of (seed, k), so the trained weights, their
average, the best of these, the optimizer's moments, the records, the losses since the last record
and k are the whole state of a run. Frozen parts are not stored: a fingerprint of them is compared
instead. What is not a tensor is stored as JSON in the header of the file.
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

from distembed.files import drop_temporaries, parse_json, write_atomically, writing
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.weights import trained_state

__all__ = ["Checkpoint", "run_identity"]


class Checkpoint:
    """Save and restore the state of a run in one file.

    Args:
        path: The file, which need not exist yet.
        identity: What decides the numbers of the run, compared when the file is loaded.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = Path(path), dict(identity)

    def claim(self) -> None:
        """Make the folder of the file, and remove what a killed process has left in it.

        A save does not: a folder that disappears during a run, such as a network drive, is an
        error and no new folder of that name.

        Raises:
            OSError: If it cannot be made.
        """
        with writing(self.path, "Name another file for the checkpoint."):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            drop_temporaries(self.path)

    def save(
        self,
        tensors: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        state: Mapping[str, Any],
    ) -> None:
        """Write tensors, the optimizer's tensors and the JSON state.

        Raises:
            OSError: If the disk is full or the folder is gone; the file before is left as it was.
        """
        moments = {
            f"optimizer.{index}.{name}": value
            for index, slot in optimizer.state_dict()["state"].items()
            for name, value in slot.items()
        }
        header = {"state": json.dumps(state), "config": json.dumps(self.identity)}
        content = {k: v.detach().cpu().contiguous() for k, v in {**tensors, **moments}.items()}
        advice = (
            "Free space on the disk, or restore the folder; the same call then resumes from the "
            "last checkpoint that was written there."
        )
        with writing(self.path, advice):
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
        try:
            self._check_identity(_mapping(header["config"]))
            self._restore(content, tensors, optimizer)
            return _mapping(header["state"])
        except (KeyError, RuntimeError, _DamagedError) as error:
            raise self.damaged(error) from error

    def _restore(
        self,
        content: Mapping[str, Tensor],
        tensors: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        for name, tensor in tensors.items():
            if content[name].shape != tensor.shape:
                raise _DamagedError(f"{name} has shape {tuple(content[name].shape)}")
            tensor.copy_(content[name])
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in content.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                slots.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})

    def _read(self) -> tuple[dict[str, str], dict[str, Tensor]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata()
                content = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise self.damaged(error) from error
        if not header or "config" not in header:
            raise ValueError(f"{self.path} is not a checkpoint; name another file.")
        return header, content

    def damaged(self, error: object) -> ValueError:
        """Return the error of a file whose content no run has written."""
        return ValueError(
            f"The checkpoint {self.path} is damaged ({error}); delete it to start again."
        )

    def _check_identity(self, saved: Mapping[str, Any]) -> None:
        keys = saved.keys() | self.identity.keys()
        differences = [
            f"{k} ({saved.get(k)} there, {self.identity.get(k)} here)"
            for k in sorted(keys)
            if saved.get(k) != self.identity.get(k)
        ]
        if differences:
            raise ValueError(
                f"The checkpoint {self.path} belongs to a run with another "
                f"{', '.join(differences)}; a run resumes only with the settings it began with. "
                "Delete the file, or name another."
            )


class _DamagedError(Exception):
    """Content that no run has written."""


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise _DamagedError(f"its header: {error}") from error
    if not isinstance(value, dict):
        raise _DamagedError(f"its header holds {text[:40]!r}")
    return value


def run_identity(
    module: nn.Module,
    collection: Collection,
    config: TrainConfig,
    indices: Sequence[int],
    parts: int = 1,
) -> dict[str, Any]:
    """Describe what decides the numbers of a run: settings, shapes, frozen state and data.

    The frozen state is hashed whole, at about 1 GB a second; of the data a sample is hashed.

    Args:
        module: What is trained.
        collection: The sets.
        config: The settings.
        indices: The sets to train on.
        parts: Number of parts of a batch.
    """
    shapes = sorted((name, tuple(p.shape)) for name, p in module.state_dict().items())
    trained_ids = {id(tensor) for tensor in trained_state(module).values()}
    state = sorted(module.state_dict(keep_vars=True).items())
    frozen = [tensor for _, tensor in state if id(tensor) not in trained_ids]
    sample = collection.batch(list(indices[:8]), 64, stream("identity"))
    data = sample.with_nan.double().numpy().tobytes() + sample.w.double().numpy().tobytes()
    return {
        **config.model_dump(mode="json", exclude={"device", "threads", "checkpoint_seconds"}),
        "parts": parts,
        "model": _digest(repr(shapes).encode()),
        "frozen weights": _digest(*map(_bytes, frozen)),
        "number of sets": len(collection),
        "number of atoms": int(np.sum(collection.sizes)),
        "data": _digest(data),
    }


def _digest(*contents: bytes) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
