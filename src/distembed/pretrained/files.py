"""The files of a published model: where they are, what they hold, and the hash of it.

A model is a folder with a `config.json` and weights, or a name such as `org/model` of which the
cache of the hub holds such a folder. Weights are read as safetensors, or with torch's reader of
tensors, which refuses a pickle that holds anything else. Of several files of weights in a folder
the first of `WEIGHTS` is read.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distembed.files import parse_json
from distembed.registry import need

__all__ = ["WEIGHTS", "Files", "Source", "locate", "read_config", "read_tensors"]

INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", INDEX, "pytorch_model.bin", "weights.ckpt")
"""Names of files of weights, in the order in which they are looked for."""


@dataclass(frozen=True)
class Source:
    """What identifies published weights.

    Attributes:
        path: The folder, or the name on the hub, as it was given.
        revision: The revision on the hub, a commit where none was asked for; None for folders.
        sha256: Hash of the names and the contents of the files that were read.
    """

    path: str
    revision: str | None
    sha256: str

    def describe(self) -> dict[str, str | None]:
        """Return JSON."""
        return {"path": self.path, "revision": self.revision, "sha256": self.sha256}


@dataclass(frozen=True)
class Files:
    """The files of a model.

    Attributes:
        folder: Where they are.
        weights: The files of weights, one or several shards.
        source: What identifies them.
    """

    folder: Path
    weights: tuple[Path, ...]
    source: Source


def locate(path: str, revision: str | None = None, download: bool = False) -> Files:
    """Find the files of a published model.

    Args:
        path: A folder, or a name on the hub.
        revision: The revision on the hub.
        download: Whether a name may be downloaded; otherwise it is looked for in the hub's cache.

    Raises:
        FileNotFoundError: If there is no such folder or name, or a file is missing.
        ValueError: If a shard lies outside of the folder.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        folder = _cached(path, revision, download)
        revision = revision or folder.name  # the cache names its folders by the commit
    elif revision is not None:
        raise ValueError(
            f"revision = {revision!r}, and {path} is a folder, which has no revisions. Leave it "
            "out; the hash of the files is kept and compared."
        )
    names = _weight_names(folder, path)
    files = [folder / "config.json", *(folder / name for name in names)]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder} has no {file.name}. A published model is a folder with config.json and "
                "all of its weights; copy what is missing from where the model is published."
            )
    return Files(folder, tuple(files[1:]), Source(path, revision, _hash(files)))


def _cached(path: str, revision: str | None, download: bool) -> Path:
    """Return the folder of a name in the cache of the hub.

    Raises:
        FileNotFoundError: If it is not there.
    """
    fix = (
        "Pass the folder of a published model, with config.json and model.safetensors, as path; "
        "for a fitted model whose published model was moved, in Python, GDE.load(path, "
        "pretrained={'old path': 'new path'})"
    )
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise FileNotFoundError(f"There is no folder {path}. {fix}.")
    try:
        hub = need("huggingface_hub", "lm")
    except ImportError as error:
        raise FileNotFoundError(
            f"There is no folder {path}. {fix}; to read a name on the hub, install "
            "'distembed[lm]'."
        ) from error
    try:
        folder: str = hub.snapshot_download(
            path,
            revision=revision,
            local_files_only=not download,
            allow_patterns=["*.json", "*.txt", *WEIGHTS, "*.safetensors"],
        )
    except (OSError, ValueError) as error:
        cause = (
            f"The download failed ({type(error).__name__}): check the name and the revision."
            if download
            else "Nothing is downloaded unless its option download is true."
        )
        raise FileNotFoundError(
            f"There is no folder {path}, and no such name in the cache of the hub. {cause} {fix}."
        ) from error
    return Path(folder)


def _weight_names(folder: Path, path: str) -> Sequence[str]:
    name = next((n for n in WEIGHTS if (folder / n).is_file()), None)
    if name is None:
        raise FileNotFoundError(
            f"{path} has no weights; they are in a file named {', '.join(WEIGHTS)}. Copy it from "
            "where the model is published."
        )
    if name != INDEX:
        return [name]
    shards = read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(s, str) for s in shards.values()):
        raise ValueError(f"{folder / INDEX} has no 'weight_map' of files. Copy it again.")
    names = sorted(set(shards.values()))
    for shard in names:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ValueError(
                f"{folder / INDEX} names the file {shard!r}; the parts of a model are safetensors "
                "in its own folder. Do not use this folder."
            )
    return [INDEX, *names]


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: If the file does not hold one.
    """
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}. Copy it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no JSON object. Copy it again.")
    return content


def read_config(files: Files) -> dict[str, Any]:
    """Read the `config.json` of a model."""
    return read_json(files.folder / "config.json")


def read_tensors(files: Files) -> dict[str, Tensor]:
    """Read the weights of a model, in the types in which they are stored.

    Raises:
        ValueError: If a file is truncated, is another format, or holds more than tensors.
    """
    tensors: dict[str, Tensor] = {}
    for file in files.weights:
        if file.suffix == ".safetensors":
            try:
                tensors |= load_file(file)
            except SafetensorError as error:
                raise ValueError(
                    f"{file} is truncated or no safetensors file ({error}). Copy it again."
                ) from error
        elif file.name != INDEX:
            tensors |= _read_torch(file)
    return tensors


def _read_torch(file: Path) -> dict[str, Tensor]:
    """Read a file that torch has written; that of a trainer has its tensors under a name."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file} holds more than tensors, or is damaged, and is not read, because a pickle "
            "can run code. Use the safetensors file of the model."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{file} is truncated or no file of torch. Copy it again.") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()
    ):
        raise ValueError(f"{file} holds no mapping of names to tensors. Use the safetensors file.")
    return dict(content)


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
