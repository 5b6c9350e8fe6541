"""A model's folder: `model.safetensors`, `config.json`, a card and the history of its training.

Nothing in it can run code. The config names members of families only, and holds the version of the
format and the hash of the weights; a folder of another format, edited or truncated is refused.
Files are written to a temporary folder beside the target, which is then moved into place.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from distembed.files import parse_json
from distembed.model.schema import check_config

__all__ = ["FILES", "FORMAT", "READABLE", "Stored", "read_folder", "restore", "write_folder"]

logger = logging.getLogger(__name__)

FORMAT = 6
"""Version of the content of a folder.

2: conditioning, attachments and nested members; 3: the calibration and the measured pairs;
4: the sampling noise of the training sets; 5: the ranges of the training atoms;
6: scales of the links of counts.
"""
READABLE: dict[int, str | None] = {
    4: "the ranges of the training atoms, so that no set or feature outside is named",
    5: None,
}
"""Older formats that can be read, and what their models lack.

Those with a likelihood of counts cannot be restored: format 6 has other weights.
"""
WEIGHTS, CONFIG, CARD, HISTORY = "model.safetensors", "config.json", "README.md", "history.jsonl"
FILES = (WEIGHTS, CARD, HISTORY, CONFIG)
"""All files of a folder, the config last."""


@dataclass(frozen=True)
class Stored:
    """The content of a folder.

    Attributes:
        config: JSON.
        tensors: Named tensors of the network and of all that was fitted.
        history: Records of the training.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    history: Sequence[dict[str, float]]


def write_folder(path: str | Path, stored: Stored, card: str) -> Path:
    """Write a model's folder; the files of a model that was there before are replaced.

    Raises:
        FileExistsError: If the path is a file, or a folder that holds something else than a model.
        OSError: If it cannot be written.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; a model is a folder. Name another path.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).exists():
        raise FileExistsError(
            f"{folder} holds files that are not a model's; name an empty or a new folder."
        )
    weights = save({k: v.detach().cpu().contiguous() for k, v in stored.tensors.items()})
    config = {
        "format": FORMAT,
        **stored.config,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    config["config_sha256"] = _digest(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        old.mkdir()
        (new / WEIGHTS).write_bytes(weights)
        (new / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        (new / CARD).write_text(card)
        (new / HISTORY).write_text("".join(json.dumps(r) + "\n" for r in stored.history))
        if folder.exists():
            _exchange(new, folder, old)
        else:
            os.replace(new, folder)
    return folder


def _exchange(new: Path, folder: Path, old: Path) -> None:
    """Put the files of `new` in the place of those in a folder, all or none."""
    try:
        for name in FILES:
            if (folder / name).exists():
                os.replace(folder / name, old / name)
            os.replace(new / name, folder / name)
    except OSError:
        for name in FILES:
            if (old / name).exists():
                os.replace(old / name, folder / name)
            elif not (new / name).exists():
                (folder / name).unlink(missing_ok=True)
        raise


def read_folder(path: str | Path) -> Stored:
    """Read a model's folder.

    Raises:
        FileNotFoundError: If it is not there or a file is missing.
        ValueError: If it is of another format, damaged or edited.
    """
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(
            f"There is no model {folder} (from {Path.cwd()}). A model is the folder that "
            "GDE.save or `distembed fit` wrote."
        )
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} is not a model: it has no {name}. A model is the folder that "
                "GDE.save or `distembed fit` wrote."
            )
    try:
        config = parse_json((folder / CONFIG).read_text())
        version = int(config["format"])
        history = folder / HISTORY
        records = _records(history.read_text()) if history.is_file() else []
        signed = config.pop("config_sha256", None)
        unchanged = signed == _digest(config)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"The text files of {folder}, {CONFIG} or {HISTORY}, are damaged: {error}. Copy it "
            "again."
        ) from error
    _check_format(folder, version, config.get("distembed"))
    if not unchanged:
        raise ValueError(f"{folder / CONFIG} was edited after it was written. Copy it again.")
    try:
        check_config(config)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG} is no config of a model: {error}.") from error
    weights = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(weights).hexdigest() != config.get("weights_sha256"):
        raise ValueError(
            f"{folder / WEIGHTS} is not the file that the config was written with: it is "
            "truncated, edited or of another model. Copy the model again."
        )
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is damaged: {error}.") from error
    return Stored(config, tensors, records)


def _records(lines: str) -> list[dict[str, float]]:
    """Read the records of a training, one a line.

    Raises:
        ValueError: If a line is no mapping of names to numbers with a step and its seconds.
    """
    records: list[dict[str, float]] = []
    for number, line in enumerate(lines.splitlines(), 1):
        record = parse_json(line)
        entries = record.items() if isinstance(record, dict) else ()
        numeric = all(type(value) in (int, float) for _, value in entries)
        if not (numeric and {"step", "seconds"} <= dict(entries).keys()):
            raise ValueError(
                f"line {number} of {HISTORY} is {line[:60]!r}; a record is a JSON object of "
                "numbers, with step and seconds"
            )
        records.append(record)
    return records


def _check_format(folder: Path, version: int, author: object) -> None:
    """Raise a ValueError if a folder is of a format that cannot be read; log what is missing."""
    if version == FORMAT:
        return
    if version in READABLE:
        if lacking := READABLE[version]:
            logger.warning(
                "%s has format %d of distembed %s, and lacks %s. All else is as it was; fit the "
                "model again to have it.", folder, version, author, lacking,
            )  # fmt: skip
        return
    if version > FORMAT:
        fix = "Upgrade distembed."
    else:
        fix = (
            "It has other parts than a model of today, so it cannot be converted. Fit it again: "
            "distembed fit with its config and data, or GDE(...).fit(sets) and save(path); its "
            f"settings are in {folder / CONFIG}."
        )
    raise ValueError(
        f"{folder} has format {version}, written by distembed {author}, and this distembed reads "
        f"formats {', '.join(map(str, (*READABLE, FORMAT)))}. {fix}"
    )


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def restore(
    module: torch.nn.Module, tensors: Mapping[str, Tensor], elsewhere: Collection[str] = ()
) -> None:
    """Copy stored tensors into a module.

    Args:
        module: The module.
        tensors: The stored tensors.
        elsewhere: Names of its state that are not stored.

    Raises:
        ValueError: If a tensor is missing, unknown or of another shape; all are named.
    """
    state = {k: v for k, v in module.state_dict().items() if k not in elsewhere}
    errors = [f"{k} is missing" for k in state if k not in tensors]
    errors += [f"{k} is not part of the model" for k in tensors if k not in state]
    errors += [
        f"{k} has shape {tuple(tensors[k].shape)}, expected {tuple(state[k].shape)}"
        for k in state
        # a transform that is not fitted yet has empty buffers and takes any shape
        if k in tensors and state[k].numel() and tensors[k].shape != state[k].shape
    ]
    if errors:
        raise ValueError("The stored weights do not fit the model: " + "; ".join(errors) + ".")
    # the names were compared above
    module.load_state_dict(dict(tensors), strict=False)
