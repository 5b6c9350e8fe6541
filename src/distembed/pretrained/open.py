"""Opening of a published model by name, and the choice of what is trained of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from distembed.nn.low_rank import add_low_rank
from distembed.pretrained import PRETRAINED
from distembed.pretrained.base import Reader
from distembed.pretrained.files import locate
from distembed.registry import lookup

__all__ = ["choose_trained", "open_model"]


def open_model(
    name: str,
    path: str | None,
    config: Mapping[str, Any] | None = None,
    revision: str | None = None,
    download: bool = False,
) -> nn.Module:
    """Read a published model, or make one with random weights.

    Args:
        name: A name of `PRETRAINED`.
        path: Its folder, or its name on the hub.
        config: The content of a `config.json`, in place of a path.
        revision: The revision on the hub.
        download: Whether it may be downloaded.

    Raises:
        ValueError: If there is both a path and a config, or neither, or the files are of another
            model.
        FileNotFoundError: If the files are not there.
    """
    if (path is None) == (config is None):
        raise ValueError(
            f"{name} needs path, the folder of a published model with config.json and "
            "model.safetensors; or config, the content of a config.json, for a model with random "
            f"weights. There is {'neither' if path is None else 'both'}."
        )
    target: Any = lookup(PRETRAINED, name, "published model")
    if path is None:
        return cast(nn.Module, target.from_config(config))
    return cast(nn.Module, target.load(locate(path, revision, download)))


def choose_trained(model: nn.Module, train: str, rank: int, fixed: str) -> None:
    """Choose which weights of a model are trained.

    Args:
        model: The model, whose weights are published or random.
        train: `lora` (corrections of low rank), `all`, or the word for none.
        rank: Rank of the corrections.
        fixed: The word for none: `frozen` or `prefix`.

    Raises:
        ValueError: If there is no such choice, or random weights would not be trained.
    """
    if train not in (fixed, "lora", "all"):
        raise ValueError(
            f"train is {train!r}; it is {fixed!r} (no weight of the published model), 'lora' "
            "(corrections of low rank) or 'all'."
        )
    reader = cast(Reader, model)
    if reader.source is None and train != "all":
        raise ValueError(
            f"train is {train!r}, and the model has random weights, because it was made from a "
            "config. Say train='all', or give the path of a published model."
        )
    if train == "all":
        return
    model.requires_grad_(False)
    if train == "lora":
        # filters of long convolutions are functions of the position
        add_low_rank(reader.blocks, rank, skip=("filter_fn",))
